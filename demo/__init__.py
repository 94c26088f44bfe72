"""glue-fanout on the laptop cloud: `make run` and `make up`."""

from laptop_cloud.errors import LaptopCloudError

STACK_NAME = "glue-fanout-dev"
"""The name of the stack on the laptop cloud, as in samconfig.toml."""


class DemoError(LaptopCloudError):
    """The demonstration cannot run with this input."""
