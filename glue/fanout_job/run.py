"""A run from its arguments to its result: what every job does, whatever its work is."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fanout_job.errors import JobError, RunFailedError, unexpected
from fanout_job.logs import start_logging
from fanout_job.objects import put, s3_client, split_uri
from fanout_job.settings import Settings
from fanout_job.task import Tally

log = logging.getLogger("fanout_job")

DEADLINE_MARGIN_SECONDS = 5.0
"""What the small run keeps of the Lambda's time to record its result."""


def in_lambda(event: Mapping[str, Any], context: Any, work: Callable[[Settings, float], Tally]) -> dict[str, Any]:
    """Run small: in the Lambda that the state machine invokes with provider, run_id, manifest and run_dir.

    Parameters
    ----------
    event, context
        Lambda's.
    work : callable
        Gets the settings and the `time.monotonic()` at which it must be done; returns what it did.
    """
    started = time.monotonic()
    settings = Settings.from_event(event, os.environ)
    start_logging(settings)
    deadline = started + context.get_remaining_time_in_millis() / 1000 - DEADLINE_MARGIN_SECONDS
    return run(settings, "small", lambda: (work(settings, deadline), 1))


def on_glue(argv: Sequence[str], work: Callable[[Settings], tuple[Tally, int]]) -> None:
    """Run on Glue, or wherever there is PySpark.

    Parameters
    ----------
    argv
        Glue's arguments.
    work : callable
        Gets the settings; returns what it did, and the number of workers.
    """
    settings = Settings.from_arguments(argv)
    start_logging(settings)
    run(settings, "glue", lambda: work(settings))


def run(settings: Settings, engine: str, work: Callable[[], tuple[Tally, int]]) -> dict[str, Any]:
    """Do the work of a run, record its result beside the manifest, and return the result.

    Parameters
    ----------
    settings : Settings
    engine : str
        "glue" or "small".
    work : callable
        Returns the tally and the number of workers.

    Raises
    ------
    JobError
        If any of it failed, after the result was recorded.
    """
    started = time.monotonic()
    failed: JobError | None = None
    tally, workers = Tally(), 0
    try:
        tally, workers = work()
    except JobError as error:
        failed = error
    except Exception as error:  # noqa: BLE001 - the result is recorded whatever happens, Spark's own errors included
        failed = unexpected(error)
    if failed:
        tally.failures.append(failed.as_value())
    result = result_of(settings, engine, tally, workers, time.monotonic() - started)
    bucket, key = result_location(settings)
    put(s3_client(), bucket, key, json.dumps(result, indent=2).encode())
    log.info("run %s: %s", result["status"], json.dumps({k: v for k, v in result.items() if k != "error"}))
    if tally.failures:
        first = result["error"]
        log.error("%s: %s", first["type"], first["message"])
        raise failed or RunFailedError(f"{first['type']}: {first['message']}") from None
    return result


def result_of(settings: Settings, engine: str, tally: Tally, workers: int, seconds: float) -> dict[str, Any]:
    """Return the result of a run: what the ledger stores and the state machine sees."""
    # The first object's failure, however the tasks finished: the same run fails in the same words on either engine.
    failures = sorted(tally.failures, key=lambda f: (f["object"] is None, f["object"] or "", f["line"] or 0))
    error = dict(failures[0]) if failures else None
    if error and len(failures) > 1:
        error["message"] += f" (and {len(failures) - 1} more)"
    counts = {name: count for name, count in vars(tally).items() if name != "failures"}
    return {
        "run_id": settings.run_id,
        "provider": settings.provider,
        "engine": engine,
        "status": "failed" if error else "succeeded",
        **counts,
        "seconds": round(seconds, 3),
        "workers": workers,
        "error": error,
    }


def result_location(settings: Settings) -> tuple[str, str]:
    """Return bucket and key of result.json: where the claim said, and the end of the run looks for it."""
    return split_uri(settings.run_dir + "result.json")
