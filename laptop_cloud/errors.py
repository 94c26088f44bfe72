"""The errors of the laptop cloud. Each names what is wrong and says how to fix it."""

from __future__ import annotations


class LaptopCloudError(Exception):
    """Base class of every error that the laptop cloud raises."""


class TemplateError(LaptopCloudError):
    """The template cannot be read, expanded or resolved."""


class ParameterError(LaptopCloudError):
    """A parameter override does not fit the template's Parameters section."""


class UnsupportedResourceError(LaptopCloudError):
    """The template has a resource type that the laptop cloud neither makes nor deliberately leaves out."""

    def __init__(self, logical_id: str, resource_type: str) -> None:
        super().__init__(
            f"{logical_id}: the laptop cloud does not support {resource_type}. Add a maker for it in "
            f"laptop_cloud/stack/makers/ or, if it is not needed locally, add it with a reason to LEFT_OUT there."
        )


class ResourceError(LaptopCloudError):
    """A resource of the template could not be made."""


class DriverError(LaptopCloudError):
    """A Spark driver did not start."""


class BusyError(LaptopCloudError):
    """All concurrent invocations of the account are in use."""


class NotRunningError(LaptopCloudError):
    """No laptop cloud is running."""
