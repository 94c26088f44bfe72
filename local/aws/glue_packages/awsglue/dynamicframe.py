"""`DynamicFrame`: records without a schema; here a DataFrame with the schema that Spark infers.

Glue infers per record and turns a field of two types into a *choice*; Spark settles for text. Code that depends on
the difference cannot be tried on the laptop.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark.rdd import RDD
    from pyspark.sql import DataFrame

    from .context import GlueContext

_NOTHING: Mapping[str, Any] = MappingProxyType({})


class DynamicFrame:
    """The records of a source."""

    def __init__(self, jdf: DataFrame, glue_ctx: GlueContext, name: str = "") -> None:
        self.glue_ctx = glue_ctx
        self.name = name
        self._frame = jdf
        self._bad_lines: RDD[str] | None = None

    @classmethod
    def fromDF(cls, dataframe: DataFrame, glue_ctx: GlueContext, name: str = "") -> DynamicFrame:  # noqa: N802
        """Make one from a DataFrame."""
        return cls(dataframe, glue_ctx, name)

    def toDF(self, options: Any = None) -> DataFrame:  # noqa: N802 - AWS's name
        """Return the records as a DataFrame."""
        if options:
            raise NotImplementedError("toDF takes no options on the laptop")
        return self._frame

    def count(self) -> int:
        """How many records there are."""
        return self._frame.count()

    def errorsCount(self) -> int:  # noqa: N802 - AWS's name
        """How many lines were no records."""
        return 0 if self._bad_lines is None else self._bad_lines.count()


class DynamicFrameReader:
    """Makes DynamicFrames; a GlueContext's `create_dynamic_frame`."""

    def __init__(self, glue_context: GlueContext) -> None:
        self._context = glue_context

    def from_options(
        self,
        connection_type: str,
        connection_options: Mapping[str, Any] = _NOTHING,
        format: str | None = None,  # noqa: A002 - AWS's name
        format_options: Mapping[str, Any] = _NOTHING,
        transformation_ctx: str = "",
        push_down_predicate: str = "",
        **kwargs: Any,
    ) -> DynamicFrame:
        """See `GlueContext.create_dynamic_frame_from_options`."""
        return self._context.create_dynamic_frame_from_options(
            connection_type,
            connection_options,
            format,
            format_options,
            transformation_ctx,
            push_down_predicate,
            **kwargs,
        )
