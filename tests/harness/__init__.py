"""In-memory ports with injectable faults, shared by unit, property and fault tests."""
