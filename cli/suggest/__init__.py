"""Suggests a mapping from samples of a provider's files."""
