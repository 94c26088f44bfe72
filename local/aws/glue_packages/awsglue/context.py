"""`GlueContext`: the Spark session of a Glue script, and its sources."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import boto3
from pyspark import SparkContext
from pyspark.sql import SparkSession

from . import bookmarks
from .bookmarks import Bookmark, Listed, SourceState
from .dynamicframe import DynamicFrame, DynamicFrameReader

_NOTHING: Mapping[str, Any] = MappingProxyType({})
_KNOWN_OPTIONS = {"paths", "recurse", "maxBand", "maxFilesInBand"}


class GlueContext:
    """Gives a script its Spark session and its DynamicFrames.

    Attributes
    ----------
    spark_session
        The session.
    create_dynamic_frame
        Its readers.
    """

    def __init__(self, sparkContext: SparkContext | None = None, **options: Any) -> None:  # noqa: N803 - AWS's name
        if options:
            raise NotImplementedError(f"not there on the laptop: {', '.join(options)}")
        self.spark_session = SparkSession.builder.getOrCreate()
        self.spark_context = sparkContext or self.spark_session.sparkContext
        self.create_dynamic_frame = DynamicFrameReader(self)
        self._bookmark: Bookmark | None = None
        self._read_sources: dict[str, SourceState] = {}

    def get_logger(self) -> Any:
        """Return the JVM's logger, as in Glue."""
        jvm: Any = self.spark_context._jvm
        return jvm.org.apache.log4j.LogManager.getLogger("GlueLogger")

    def create_dynamic_frame_from_options(
        self,
        connection_type: str,
        connection_options: Mapping[str, Any] = _NOTHING,
        format: str | None = None,  # noqa: A002 - AWS's name
        format_options: Mapping[str, Any] = _NOTHING,
        transformation_ctx: str = "",
        push_down_predicate: str = "",
        **kwargs: Any,
    ) -> DynamicFrame:
        """Read JSON lines, gzip or plain, below S3 paths.

        With bookmarks on and a `transformation_ctx`, only what the bookmark has not seen under that name.

        Raises
        ------
        NotImplementedError
            Another source or format, or an option that is not there on the laptop; names it.
        """
        refused = sorted(set(connection_options) - _KNOWN_OPTIONS) + sorted(format_options) + sorted(kwargs)
        if connection_type != "s3" or format != "json" or push_down_predicate or refused:
            what = ", ".join(refused) or f"{connection_type}, {format}, {push_down_predicate!r}"
            raise NotImplementedError(f"only JSON from S3 is there on the laptop, not: {what}")
        now = datetime.now(UTC)
        listing = [
            listed
            for path in connection_options["paths"]
            for listed in _list(path, bool(connection_options.get("recurse")))
        ]
        paths = [listed.path for listed in listing]
        if self._bookmark is not None and transformation_ctx:
            chosen, self._read_sources[transformation_ctx] = bookmarks.unread(
                listing,
                self._bookmark.sources.get(transformation_ctx),
                now,
                float(connection_options.get("maxBand", bookmarks.MAX_BAND_MILLISECONDS)),
                int(connection_options.get("maxFilesInBand", bookmarks.MAX_FILES_IN_BAND)),
            )
            paths = [listed.path for listed in chosen]
        return self._frame(paths, transformation_ctx)

    def _frame(self, paths: list[str], name: str) -> DynamicFrame:
        slices = max(1, min(len(paths), self.spark_context.defaultParallelism * 2))
        lines = self.spark_context.parallelize(paths, slices).flatMap(_lines)
        good = lines.filter(_is_record)
        frame = DynamicFrame.fromDF(self.spark_session.read.json(good), self, name)
        frame._bad_lines = lines.filter(_is_no_record)
        return frame


def _list(path: str, recurse: bool) -> Iterator[Listed]:
    """Objects below a path, as Glue sees them: no folder markers, nothing whose name begins with `_` or `.`."""
    bucket, _, prefix = path.removeprefix("s3://").partition("/")
    pages = boto3.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    for entry in (entry for page in pages for entry in page.get("Contents", [])):
        key = entry["Key"]
        below = key.removeprefix(prefix).lstrip("/")
        hidden = key.endswith("/") or key.rpartition("/")[2][:1] in ("_", ".")
        if not hidden and (recurse or "/" not in below):
            yield Listed(f"s3://{bucket}/{key}", entry["LastModified"])


def _lines(path: str) -> list[str]:
    bucket, _, key = path.removeprefix("s3://").partition("/")
    body: bytes = boto3.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    if body[:2] == b"\x1f\x8b":
        body = gzip.decompress(body)
    return [line for line in body.decode("utf-8", "replace").split("\n") if line.strip()]


def _is_record(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _is_no_record(line: str) -> bool:
    return not _is_record(line)
