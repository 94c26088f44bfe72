"""Scripts that the Makefile runs: checks, generated docs, packages, cost and releases."""
