"""`fanout console`: a web page on the operator's machine, with the status, runs, logs and cost of all providers."""
