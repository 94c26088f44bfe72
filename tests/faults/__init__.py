"""Random histories under faults: invariants that must always hold, and proof that each safeguard is needed for them."""
