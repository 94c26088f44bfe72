"""glue-fanout on the laptop cloud: `make run`, `make up`, `make invoke`."""
