"""The run with the user's native PySpark ETL: reads rows into a DataFrame, calls `etl`, sends the result."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import orjson

from contract.manifest import PlannedObject
from fanout_job.delivery import spark_delivery
from fanout_job.errors import TransformError
from fanout_job.messages import Draft, Transform, encode
from fanout_job.settings import Settings
from fanout_job.task import Tally

if TYPE_CHECKING:
    from pyarrow import RecordBatch  # type: ignore[import-untyped]
    from pyspark import SparkContext
    from pyspark.sql import DataFrame

FrameEtl = Callable[["DataFrame"], "DataFrame"]
"""The user's native ETL, for all rows at once."""

FRAME_COLUMNS = ("id", "operation", "time", "subject", "sequence", "position", "data")
"""Columns of the DataFrame that the user's `etl` gets and returns, all strings."""


def send_frame(
    sc: SparkContext, settings: Settings, groups: list[list[PlannedObject]], transform: Transform, etl: FrameEtl
) -> Tally:
    """Read all rows into a DataFrame, apply the user's native ETL, and send the result. Sends nothing if any row is
    bad and not quarantined.
    """
    from pyspark.sql import SparkSession
    from pyspark.storagelevel import StorageLevel

    spark = SparkSession.builder.getOrCreate()
    schema = ", ".join(f"{column} string" for column in (*FRAME_COLUMNS, "tally"))

    def read(numbers: Iterable[RecordBatch]) -> Iterator[RecordBatch]:
        for number in (n.as_py() for batch in numbers for n in batch.column(0)):
            with spark_delivery(settings, transform) as task:
                drafts = task.drafts(groups[number])
                while rows := [as_frame_row(draft) for draft in islice(drafts, 2_000)]:
                    yield record_batch(rows, (*FRAME_COLUMNS, "tally"))
            yield record_batch([{"tally": task.tally.to_json()}], (*FRAME_COLUMNS, "tally"))

    def send(rows: Iterable[RecordBatch]) -> Iterator[RecordBatch]:
        with spark_delivery(settings, transform) as task:
            task.send(task.maker.message(from_frame_row(row)) for batch in rows for row in batch.to_pylist())
        yield record_batch([{"tally": task.tally.to_json()}], ("tally",))

    found = spark.range(0, len(groups), 1, len(groups)).mapInArrow(read, schema).persist(StorageLevel.MEMORY_AND_DISK)
    try:
        tally = added_up(found.where("tally is not null"))
        if tally.failures:
            return tally
        changes = etl(found.where("tally is null").drop("tally"))
        if missing := set(FRAME_COLUMNS) - set(changes.columns):
            raise TransformError(f"etl returned a DataFrame without {', '.join(sorted(missing))}")
        changes = changes.select(*(changes[column].cast("string") for column in FRAME_COLUMNS))
        if settings.message_order == "key":
            changes = changes.repartition(len(groups), "subject").sortWithinPartitions("position")
        return tally + added_up(changes.mapInArrow(send, "tally string"))
    finally:
        found.unpersist()


def as_frame_row(draft: Draft) -> dict[str, str | None]:
    """Return a draft as the strings of FRAME_COLUMNS. Positions are padded with zeros, so that they sort as strings."""
    position = ".".join(f"{part:040d}" for part in draft.position)
    return {**draft._asdict(), "position": position, "data": encode(draft.payload).decode()}


def from_frame_row(row: Mapping[str, Any]) -> Draft:
    """Return the draft of a row of FRAME_COLUMNS.

    Raises
    ------
    TransformError
        The user's ETL returned an invalid value in a column.
    """
    try:
        orjson.loads(row["data"])
        position = tuple(int(part) for part in row["position"].split("."))
        payload = orjson.Fragment(row["data"])
        return Draft(row["id"], row["operation"], row["time"], row["subject"], row["sequence"], position, payload)
    except (ValueError, TypeError, AttributeError):
        raise TransformError("etl returned a row with an invalid position, or with data that is not JSON") from None


def record_batch(rows: list[dict[str, Any]], columns: Sequence[str]) -> RecordBatch:
    """Return rows of strings as an Arrow batch."""
    import pyarrow

    return pyarrow.RecordBatch.from_pydict(
        {c: pyarrow.array([r.get(c) for r in rows], pyarrow.string()) for c in columns}
    )


def added_up(frame: DataFrame) -> Tally:
    """Add up the tallies in a DataFrame."""
    return sum((Tally.from_json(row["tally"]) for row in frame.select("tally").collect()), Tally())
