"""The two engines: they distribute the objects of a run over processes and call the job's work for each object."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import wraps
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal

from contract.manifest import PlannedObject
from fanout_job.errors import JobError, place_of
from fanout_job.logs import start_logging
from fanout_job.objects import grouped
from fanout_job.settings import Settings
from fanout_job.task import Source, Tally, Task, guarded

if TYPE_CHECKING:
    from pyspark import SparkContext

Engine = Literal["lambda", "glue"]

Work = Callable[[Source], Any]
"""The work of a job for one object. On Glue it runs in a Spark task, so it and its results must be picklable."""

Done = tuple[list[tuple[int, Any]], Tally]
"""Index of each object with the result of `work` for it, and the counts."""

TASKS_PER_CORE = 3
"""Enough to balance objects of different size. Each additional task takes 55-95 ms to start."""


def each_in_this_process(
    settings: Settings, objects: Iterable[PlannedObject], work: Work, deadline: float | None = None
) -> Done:
    """Do the work of a run, or of one Spark task, object by object."""
    task, made = Task(settings, deadline), list[tuple[int, Any]]()

    @wraps(work)  # an error without a line of the user's code names the user's function
    def one(source: Source) -> list[tuple[int, Any]]:
        value = work(source)
        pickle.dumps(value)  # on both engines, so that a value that Glue refuses is found in Lambda, with its object
        return [(source.object.index, value)]

    with guarded(task):
        made.extend(task.each(objects, one))
    return made, task.tally


def each_on_spark(settings: Settings, objects: Sequence[PlannedObject], work: Work) -> Done:
    """Do the work of a run in Spark tasks, each with a part of the objects."""

    def in_task(part: Iterable[list[PlannedObject]]) -> Iterator[Done]:
        start_logging(settings, sys.stderr)
        yield each_in_this_process(settings, chain(*part), work)

    from pyspark.cloudpickle import dumps

    try:
        dumps(work)  # type: ignore[no-untyped-call]
    except JobError as error:
        raise type(error)(f"{error}: {place_of(error, work)}") from None
    groups = task_groups(objects)
    found = spark_context().parallelize(groups, len(groups)).mapPartitions(in_task).collect() if groups else []
    return list(chain(*(made for made, _ in found))), sum((tally for _, tally in found), Tally())


def task_groups(objects: Sequence[PlannedObject]) -> list[list[PlannedObject]]:
    """Return the objects of each Spark task: nearly equal bytes, TASKS_PER_CORE tasks per core."""
    return grouped(objects, spark_context().defaultParallelism * TASKS_PER_CORE)


def spark_context() -> SparkContext:
    """Return the process's Spark context. Starts one if necessary."""
    from pyspark import SparkContext

    return SparkContext.getOrCreate()


def spark_workers() -> int:
    """Return the number of Spark's machines, including the driver's, which is the only one if Spark runs locally."""
    return int(spark_context()._jsc.sc().getExecutorMemoryStatus().size())
