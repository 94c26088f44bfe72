"""The documents that functions and jobs exchange, defined once. Standard library only: it is built into both deployables."""
