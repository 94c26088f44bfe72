"""The errors of the laptop cloud. Each says what is wrong, names it, and says what to do."""

from __future__ import annotations


class LaptopCloudError(Exception):
    """Base of every error that the laptop cloud raises on purpose."""


class TemplateError(LaptopCloudError):
    """The template cannot be read, expanded or resolved."""


class ParameterError(LaptopCloudError):
    """A parameter override does not fit the template's Parameters section."""


class UnsupportedResourceError(LaptopCloudError):
    """The template holds a resource type that the laptop cloud neither makes nor knowingly leaves out."""

    def __init__(self, logical_id: str, resource_type: str) -> None:
        super().__init__(
            f"{logical_id}: the laptop cloud cannot make {resource_type}. Write a maker for it in "
            f"laptop_cloud/stack/makers/ or, if a local run does not need it, add it with the reason to LEFT_OUT there."
        )


class ResourceError(LaptopCloudError):
    """A resource of the template was refused when it was made."""


class DriverError(LaptopCloudError):
    """A Spark driver did not start."""


class NotRunningError(LaptopCloudError):
    """There is no running laptop cloud to talk to."""


class DemoError(LaptopCloudError):
    """The demonstration run cannot go on."""
