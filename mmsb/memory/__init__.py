"""The memory: commit, at(epoch), diff, log. The only code that writes."""
