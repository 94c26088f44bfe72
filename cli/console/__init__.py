"""`fanout console`: a page that shows what is late, failing, stuck and costly, on the operator's own machine."""
