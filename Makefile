# make demo       record a Julia program and look at it; installs what it needs first
# make test       checks and the whole test suite, live Julia included (MMSB_NO_JULIA=1: without one, and none is installed)
# make test-long  the tests that take minutes
# make check      ruff and mypy only
# make install    .venv with the package, editable, and its development tools
# make recordings  record anew what the tests read where there is no modern Julia
# make bench-capture  what recording costs a compile-heavy program, beside SnoopCompile; minutes
# make bench-memory  the memory beside TileDB, Icechunk, Lance, Delta Lake, LMDB, SQLite, DuckDB; minutes
# make bench-graph  the graph beside SuiteSparse GraphBLAS, SciPy, rustworkx, networkx; minutes (BENCH=--quick, or names of claims, of either)
# make shipped    record anew the tour that `mmsb demo` plays where there is no Julia
# make clean      remove what make made (a Julia that was installed stays)

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help install demo check julia test test-long bench-capture bench-memory bench-graph shipped recordings clean

PYTHON ?= python3
BIN := .venv/bin

help:
	@sed -n 's/^# make /make /p' Makefile

install: .venv/installed

demo: install
	@$(BIN)/mmsb demo
	@echo && echo "mmsb is in $(BIN): run '. $(BIN)/activate' first, or write $(BIN)/mmsb"

check: install
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy --strict mmsb

# MMSB_NO_JULIA=1 asks for the suite without a Julia; then none is installed either.
julia: install
	@[ -n "$${MMSB_NO_JULIA:-}" ] || $(BIN)/mmsb doctor --install

# A file's tests stay together: its Julia's recordings are made once. tests/conftest.py says which
# come first; the quick ones come last.
test: check julia
	@$(BIN)/pytest -n $${MMSB_TEST_PROCESSES:-2} --dist loadfile --no-loadscope-reorder

test-long: install julia
	@$(BIN)/pytest -m long --hypothesis-profile=searching -n $${MMSB_TEST_PROCESSES:-2} \
	    --dist loadfile --no-loadscope-reorder

bench-capture: install julia
	@$(BIN)/python benchmarks/capture.py

# BENCH=--quick, or the names of claims. MMSB_BENCH_FOLDER=/dev/shm takes the disk out of it.
bench-memory: .venv/bench
	@$(BIN)/python -m benchmarks.memory $(BENCH)

bench-graph: .venv/bench
	@$(BIN)/python -m benchmarks.graph $(BENCH)

shipped: install julia
	@$(BIN)/mmsb record --replace -o mmsb/data/tour.mmsb examples/tour.jl

recordings: install julia
	@$(BIN)/python tests/julia/recordings.py

clean:
	rm -rf .venv dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# pip's output, less all but the name of each package it fetches.
.venv/installed: pyproject.toml | .venv/bin/pip
	@echo "installing mmsb and its development tools into .venv"
	@$(BIN)/pip install --disable-pip-version-check --progress-bar off -e '.[dev,embedded]' \
	    | sed -n -u -e 's/^Collecting \([^ ]*\).*/  \1/p' -e 's/^Installing collected.*/  unpacking/p'
	@touch $@

.venv/bench: .venv/installed
	@echo "installing the peers that mmsb is measured beside"
	@$(BIN)/pip install --disable-pip-version-check --quiet --progress-bar off -e '.[bench]'
	@touch $@

# Debian's python3 comes without ensurepip, which python3-venv brings.
.venv/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
	    || { echo "mmsb needs Python 3.10 or newer: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || $(MAKE) --no-print-directory python3-venv
	@rm -rf .venv && $(PYTHON) -m venv .venv

.PHONY: python3-venv
python3-venv:
	@command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ] \
	    || { echo "$(PYTHON) cannot make a virtual environment: run 'apt-get install python3-venv' as root" >&2; exit 1; }
	@echo "installing Debian's python3-venv"
	@apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y python3-venv >/dev/null
