"""`DynamicFrame`: records without a schema; here a DataFrame with the schema that Spark infers.

Glue infers the schema per record, and makes a field with two types a *choice*; Spark makes it a string. Code that
depends on the difference cannot be tested on the laptop cloud.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import boto3

from . import bookmarks
from .bookmarks import Listed

if TYPE_CHECKING:
    from pyspark import RDD
    from pyspark.sql import DataFrame

_NOTHING: Mapping[str, Any] = MappingProxyType({})


class DynamicFrame:
    """The records of a source."""

    def __init__(self, jdf: DataFrame, glue_ctx: Any, name: str = "") -> None:
        self.glue_ctx = glue_ctx
        self.name = name
        self._frame = jdf
        self._bad_lines: RDD[str] | None = None

    def toDF(self, options: Any = None) -> DataFrame:  # noqa: N802 - AWS's name
        """Return the records as a DataFrame."""
        if options:
            raise NotImplementedError("toDF: options are not supported by the laptop cloud")
        return self._frame

    def errorsCount(self) -> int:  # noqa: N802 - AWS's name
        """Return the number of lines that are not records."""
        return 0 if self._bad_lines is None else self._bad_lines.count()


class DynamicFrameReader:
    """Creates DynamicFrames; a GlueContext's `create_dynamic_frame`."""

    def __init__(self, glue_context: Any) -> None:
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
        """Read JSON lines, gzip or plain, from S3 paths.

        With bookmarks enabled and a `transformation_ctx`, only objects that are new according to the bookmark are read.

        Raises
        ------
        NotImplementedError
            The source, the format or an option is not supported; the message names it.
        """
        refused = sorted({*connection_options} - {"paths", "recurse"}) + sorted(format_options) + sorted(kwargs)
        if connection_type != "s3" or format != "json" or push_down_predicate or refused:
            what = ", ".join(refused) or f"{connection_type}, {format}, {push_down_predicate!r}"
            raise NotImplementedError(f"the laptop cloud supports only JSON from S3, not: {what}")
        now, recurse = datetime.now(UTC), bool(connection_options.get("recurse"))
        listing = [listed for path in connection_options["paths"] for listed in _list(path, recurse)]
        bookmark = self._context._bookmark
        if bookmark is not None and transformation_ctx:
            listing, state = bookmarks.unread(listing, bookmark.sources.get(transformation_ctx), now)
            self._context._read_sources[transformation_ctx] = state
        spark = self._context.spark_context
        slices = max(1, min(len(listing), spark.defaultParallelism * 2))
        lines = spark.parallelize([listed.path for listed in listing], slices).flatMap(_lines)
        frame = DynamicFrame(self._context.spark_session.read.json(lines.filter(_is_record)), self._context)
        frame._bad_lines = lines.filter(lambda line: not _is_record(line))
        return frame


def _list(path: str, recurse: bool) -> Iterator[Listed]:
    """List a path's objects as Glue does: without folder markers and names that begin with `_` or `.`."""
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
