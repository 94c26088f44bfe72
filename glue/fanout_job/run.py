"""A run from its arguments to its result, the same for every job.

A job is a script with two entry points, `handler` for Lambda and `main` for Glue. Each passes the job's work,
a function of a `Run`, to this module, which writes `result.json`. A run without this file is not committed.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from contract.document import plain
from contract.manifest import PlannedObject
from contract.result import MAX_FAILURES, JobResult, in_order
from contract.uris import result_uri, split_uri
from fanout_job.engines import Engine, Work, each_in_this_process, each_on_spark, spark_workers
from fanout_job.errors import JobError, RunFailedError, UnexpectedError, unexpected
from fanout_job.logs import start_logging
from fanout_job.objects import put, read_manifest, s3_client
from fanout_job.settings import Settings
from fanout_job.task import Tally

log = logging.getLogger("fanout_job")

DEADLINE_MARGIN_SECONDS = 5.0
"""Time that a Lambda run reserves at its end to record its result."""


@dataclass
class Run:
    """The argument of a job's work: its settings and objects, and the counts and notes for its result."""

    settings: Settings
    engine: Engine
    argv: Sequence[str] = ()
    """Glue's arguments."""
    deadline: float | None = None
    """The `time.monotonic()` at which the Lambda run must be done."""
    tally: Tally = field(default_factory=Tally)
    notes: dict[str, Any] = field(default_factory=dict)
    """Additional values for the result, by name."""

    def __reduce__(self) -> Any:
        """Refuse to be copied into a Spark task: the task's changes of the copy would be lost."""
        raise UnexpectedError("the work of an object uses the run, which is not in its process; return a value instead")

    def objects(self) -> list[PlannedObject]:
        """Return the objects of the manifest.

        Raises
        ------
        ManifestError, StorageError
        """
        return read_manifest(s3_client(), self.settings.manifest, self.settings.provider)

    def each_object(self, work: Work) -> list[Any]:
        """Call `work` for each object of the manifest, and return its results in the manifest's order.

        The engine distributes the objects over its processes, counts them, and handles bad input by OnBadRecord.

        Raises
        ------
        RunFailedError
            An object failed. Raised after all objects were processed.
        """
        if self.engine == "glue":
            made, tally = each_on_spark(self.settings, self.objects(), work)
        else:
            made, tally = each_in_this_process(self.settings, self.objects(), work, self.deadline)
        self.tally += tally
        if self.tally.failures:
            raise RunFailedError
        return [value for _, value in sorted(made, key=lambda one: one[0])]

    def put_json(self, key: str, value: Any) -> None:
        """Write a JSON document into the data bucket.

        Raises
        ------
        StorageError
        """
        put(s3_client(), self.settings.data_bucket, key, json.dumps(value, indent=2).encode())


def in_lambda(event: Mapping[str, Any], context: Any, work: Callable[[Run], None]) -> dict[str, Any]:
    """Run in Lambda.

    Parameters
    ----------
    event
        From the state machine: provider, run_id, manifest and run_dir.
    context
        Lambda's.
    work : callable
        The job's work.

    Returns
    -------
    The run's result.
    """
    started = time.monotonic()
    settings = Settings.from_event(event, os.environ)
    deadline = started + context.get_remaining_time_in_millis() / 1000 - DEADLINE_MARGIN_SECONDS
    return do(work, Run(settings, "lambda", deadline=deadline))


def on_glue(argv: Sequence[str], work: Callable[[Run], None]) -> None:
    """Run on Glue, or in any PySpark.

    Parameters
    ----------
    argv
        Glue's arguments.
    work : callable
        The job's work.
    """
    do(work, Run(Settings.from_arguments(argv), "glue", argv))


def do(work: Callable[[Run], None], this: Run) -> dict[str, Any]:
    """Do the work of a run, write its result to the run folder, and return the result.

    Raises
    ------
    JobError
        The run failed. Raised after the result was recorded.
    """
    start_logging(this.settings)
    started, workers = time.monotonic(), 0
    failed: JobError | None = None
    try:
        with suppress(RunFailedError):  # the tally has the failures
            work(this)
        workers = spark_workers() if this.engine == "glue" else 1
    except JobError as error:
        failed = error
    except Exception as error:  # noqa: BLE001 - records a result for any error, including Spark's
        failed = unexpected(error, work)
    try:
        json.dumps(plain(this.notes), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        failed, this.notes = failed or unexpected(error, work), {}
    if failed:
        this.tally.failures.append(failed.as_failure())
    result = result_of(this, workers, time.monotonic() - started)
    bucket, key = split_uri(result_uri(this.settings.run_dir))
    put(s3_client(), bucket, key, result.to_json())
    shown = plain(result)
    log.info("run %s: %s", result.status, json.dumps({k: v for k, v in shown.items() if not k.startswith("failure")}))
    if result.failure is not None:
        for failure in result.failures:
            log.error("%s: %s", failure.type, failure.text)
        raise failed or RunFailedError(result.failure.in_one_line(result.failure_count)) from None
    return dict(shown)


def result_of(this: Run, workers: int, seconds: float) -> JobResult:
    """Return the result of a run."""
    tally, failures = this.tally, in_order(this.tally.failures)
    return JobResult(
        run_id=this.settings.run_id,
        provider=this.settings.provider,
        job=this.settings.job,
        engine=this.engine,
        status="failed" if failures else "succeeded",
        objects=tally.objects,
        bytes=tally.bytes,
        rows=tally.rows,
        messages=tally.messages,
        quarantined=tally.quarantined,
        seconds=round(seconds, 3),
        workers=workers,
        notes=this.notes,
        failure=failures[0] if failures else None,
        failures=tuple(failures[:MAX_FAILURES]),
        failure_count=len(failures),
    )
