"""The laptop cloud: a SAM template's stack on this machine, with no AWS account and no container."""
