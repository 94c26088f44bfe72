"""The documents that functions and jobs exchange, defined once. Part of both packages, so it has no dependency."""
