"""Scripts of the Makefile: what `make validate` checks beyond what the linters do."""
