"""The change-log job on Spark: distributes objects over tasks, or brings all messages of a key into one task."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from contract.manifest import NO_MANIFEST
from fanout_job.delivery import Delivery, spark_delivery
from fanout_job.engines import spark_context, task_groups
from fanout_job.errors import FrameEtlError, RecordError
from fanout_job.frames import FrameEtl, send_frame
from fanout_job.messages import Message, Transform
from fanout_job.run import Run
from fanout_job.settings import Settings
from fanout_job.targets import target_of
from fanout_job.task import Tally

if TYPE_CHECKING:
    from pyspark import RDD

Reading = Callable[[Delivery, Iterable[Any]], Iterator[Message]]
"""Returns the messages of one partition."""


def send_changes(this: Run, transform: Transform, etl: FrameEtl | None) -> None:
    """Send the changes in the objects of the manifest or, with BookmarkMode=glue, of Glue's job bookmark."""
    settings = this.settings
    target_of(settings)
    if settings.bookmark_mode == "glue" and settings.manifest == NO_MANIFEST:  # a replay always has a manifest
        if etl is not None:
            raise FrameEtlError("`etl` needs a manifest. Set BookmarkMode=manifest, or use `transform`.")
        this.tally += send_bookmarked(settings, this.argv, transform)
        return
    groups = task_groups(this.objects())
    if not groups:
        return
    sc = spark_context()
    if etl is not None:
        this.tally += send_frame(sc, settings, groups, transform, etl)
        return
    sources = sc.parallelize(groups, len(groups))
    this.tally += send_rdd(sources, settings, transform, lambda task, part: task.messages(chain(*part)))


def send_rdd(sources: RDD[Any], settings: Settings, transform: Transform, read: Reading) -> Tally:
    """Send the messages of each partition, as returned by `read`. Each partition is one task."""
    if settings.message_order == "key":
        return send_by_key(sources, settings, transform, read)

    def send_part(part: Iterable[Any]) -> Iterator[Tally]:
        with spark_delivery(settings, transform) as task:
            task.send(read(task, part))
        yield task.tally

    return sum(sources.mapPartitions(send_part).collect(), Tally())


def send_by_key(sources: RDD[Any], settings: Settings, transform: Transform, read: Reading) -> Tally:
    """Bring all messages of a key into one task, sort and send them. Sends nothing if any row failed."""
    buckets = sources.getNumPartitions()

    def to_buckets(part: Iterable[Any]) -> Iterator[tuple[tuple[int, tuple[int, ...]], Any]]:
        with spark_delivery(settings, transform) as task:
            for message in read(task, part):
                # A plain tuple is faster to pickle and to sort than a Message.
                yield (int(message.group[:8], 16) % buckets, message.position), tuple(message)
        for bucket in range(buckets):
            yield (bucket, ()), task.tally

    def send_bucket(bucket: int, rows: Iterable[tuple[Any, Any]]) -> Iterator[Tally]:
        read_so_far, first = Tally(), None
        rows = iter(rows)
        for _, row in rows:  # the tallies have the lowest position, so they come first
            if isinstance(row, tuple):
                first = row
                break
            read_so_far += row
        with spark_delivery(settings, transform) as task:
            if first is not None and not read_so_far.failures:
                task.send(Message(*row) for row in chain([first], (row for _, row in rows)))
        yield task.tally + (read_so_far if bucket == 0 else Tally())

    keyed: RDD[Any] = sources.mapPartitions(to_buckets)
    sorted_buckets = keyed.repartitionAndSortWithinPartitions(buckets, lambda key: int(key[0]))
    return sum(sorted_buckets.mapPartitionsWithIndex(send_bucket).collect(), Tally())


def send_bookmarked(settings: Settings, argv: Sequence[str], transform: Transform) -> Tally:
    """Send the objects that Glue's job bookmark has not seen: the article's design (docs/glue-bookmarks.md).

    A DynamicFrame has no object names and no line numbers. So errors name neither, and the id of a record without an
    event id is a hash of the record. Glue's schema inference may turn `{"M": {}}` into null.
    """
    context = importlib.import_module("awsglue.context").GlueContext(spark_context())
    job = importlib.import_module("awsglue.job").Job(context)
    # One of Glue's own arguments turns bookmarks on. Without bookmarks, every run would read all objects again.
    job.init(settings.JOB_NAME, importlib.import_module("awsglue.utils").getResolvedOptions(list(argv), ["JOB_NAME"]))
    source = f"{settings.change_log_dir.rstrip('/')}/provider={settings.provider}/"
    frame = context.create_dynamic_frame.from_options(
        connection_type="s3",
        connection_options={"paths": [source], "recurse": True},
        format="json",
        transformation_ctx=f"{settings.env}_{settings.provider}",
    )
    if frame.errorsCount():
        raise RecordError(
            f"Glue could not read {frame.errorsCount()} records", cause="Glue could not read some records", uri=source
        )
    # toJSON omits the nulls that schema inference adds to a struct; DynamoDB's own null is {"NULL": true}.
    tally = send_rdd(frame.toDF().toJSON(), settings, transform, lambda task, lines: task.frame_messages(lines))
    if not tally.failures:
        job.commit()
    return tally
