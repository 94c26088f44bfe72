"""The built-in config API: its table, its documents, and its preconditions."""
