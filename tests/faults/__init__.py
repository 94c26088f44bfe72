"""Random histories under faults: what must hold whatever happens, and that each safeguard is needed for it."""
