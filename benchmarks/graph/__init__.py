"""The graph, measured beside its peers: ``python -m benchmarks.graph``."""
