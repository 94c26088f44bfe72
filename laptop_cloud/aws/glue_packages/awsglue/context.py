"""`GlueContext`: a Glue script's Spark session, its sources, and the bookmark of its run."""

from __future__ import annotations

from typing import Any

from pyspark import SparkContext
from pyspark.sql import SparkSession

from .bookmarks import Bookmark, SourceState
from .dynamicframe import DynamicFrameReader


class GlueContext:
    """Has a script's Spark session, and creates DynamicFrames by `create_dynamic_frame`."""

    def __init__(self, sparkContext: SparkContext | None = None, **options: Any) -> None:  # noqa: N803 - AWS's name
        if options:
            raise NotImplementedError(f"not supported by the laptop cloud: {', '.join(options)}")
        self.spark_session = SparkSession.builder.getOrCreate()
        self.spark_context = sparkContext or self.spark_session.sparkContext
        self.create_dynamic_frame = DynamicFrameReader(self)
        self._bookmark: Bookmark | None = None
        self._read_sources: dict[str, SourceState] = {}
