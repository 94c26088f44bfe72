"""In-memory ports with injectable faults, shared by the unit, property and fault tests."""
