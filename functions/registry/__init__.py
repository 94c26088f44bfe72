"""The built-in config API, for those who have none: its table, its documents, its preconditions."""
