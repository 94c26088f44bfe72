"""The documents that functions and jobs exchange, defined once. Standard library only, for it is in both packages."""
