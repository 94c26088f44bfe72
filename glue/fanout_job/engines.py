"""The two engines: how a run's objects are spread over processes, and what `each` of them does there."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal

from contract.manifest import PlannedObject
from fanout_job.logs import start_logging
from fanout_job.objects import grouped
from fanout_job.settings import Settings
from fanout_job.task import Source, Tally, Task, guarded

if TYPE_CHECKING:
    from pyspark import SparkContext

Engine = Literal["lambda", "glue"]

Work = Callable[[Source], Any]
"""What a job does with one object. On Glue it runs in a Spark task, so it and what it returns must be picklable."""

Done = tuple[list[tuple[int, Any]], Tally]
"""What `work` returned for each object, by the object's index, and what was done."""

TASKS_PER_CORE = 3
"""Enough to even out objects of unequal size; each further task costs 55-95 ms to start."""


def each_in_this_process(
    settings: Settings, objects: Iterable[PlannedObject], work: Work, deadline: float | None = None
) -> Done:
    """Do the work of a run, or of one Spark task, object by object."""
    task, made = Task(settings, deadline), list[tuple[int, Any]]()
    with guarded(task):
        made.extend(task.each(objects, lambda source: [(source.object.index, work(source))]))
    return made, task.tally


def each_on_spark(settings: Settings, objects: Sequence[PlannedObject], work: Work) -> Done:
    """Do it in Spark tasks, each with a share of the objects."""

    def in_task(part: Iterable[list[PlannedObject]]) -> Iterator[Done]:
        start_logging(settings, sys.stderr)
        yield each_in_this_process(settings, chain(*part), work)

    groups = task_groups(objects)
    found = spark_context().parallelize(groups, len(groups)).mapPartitions(in_task).collect() if groups else []
    return list(chain(*(made for made, _ in found))), sum((tally for _, tally in found), Tally())


def task_groups(objects: Sequence[PlannedObject]) -> list[list[PlannedObject]]:
    """Return what each Spark task is to read: nearly equal bytes, a few tasks a core."""
    return grouped(objects, spark_context().defaultParallelism * TASKS_PER_CORE) if objects else []


def spark_context() -> SparkContext:
    """Return the process's Spark, which this starts if there is none."""
    from pyspark import SparkContext

    return SparkContext.getOrCreate()


def spark_workers() -> int:
    """Return how many machines take part. The driver's is one of them, and the only one when Spark runs locally."""
    return int(spark_context()._jsc.sc().getExecutorMemoryStatus().size())
