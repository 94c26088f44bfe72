"""`GlueContext`: the Spark session of a Glue script."""

from __future__ import annotations

from typing import Any

from pyspark.sql import SparkSession


class GlueContext:
    """Gives a script its Spark session; reading through DynamicFrames needs Glue's jars and is not there."""

    def __init__(self, spark_context: Any) -> None:
        self.spark_context = spark_context
        self.spark_session = SparkSession.builder.getOrCreate()

    def get_logger(self) -> Any:
        """The JVM's logger, as in Glue."""
        return self.spark_context._jvm.org.apache.log4j.LogManager.getLogger("GlueLogger")
