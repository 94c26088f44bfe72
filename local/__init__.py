"""The laptop cloud: the deployable system, run from its own template.yaml, with no AWS account and no container."""
