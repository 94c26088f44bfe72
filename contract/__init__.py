"""What the functions and the jobs exchange, defined once. Standard library only: it is built into both deployables."""
