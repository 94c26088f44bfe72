"""The laptop cloud: the stack of a SAM template on this machine, without an AWS account and without containers."""
