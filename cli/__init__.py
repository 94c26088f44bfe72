"""fanout, the operator's command line."""
