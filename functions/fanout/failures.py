"""Failures without a job's result: errors that the state machine caught, and orphaned runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from contract.failure import NEXT_ON_GLUE, SEE_THE_RUN, Failure
from fanout.errors import FanoutError

RUN_AGAIN = (
    "Nothing to do: the next tick at the latest releases the lease, and the next run sends the same changes again with "
    "the same ids."
)
ADVICE = {
    "States.Timeout": "If it repeats, lower MaxBytesPerRun, so that a run has less to do.",
    "Sandbox.Timedout": NEXT_ON_GLUE,
    "Runtime.ExitError": NEXT_ON_GLUE,
    "Glue.ConcurrentRunsExceededException": "Lower MaxConcurrentRuns, or ask for a higher Glue quota.",
    "Glue.ResourceNumberLimitExceededException": "Lower MaxConcurrentRuns, or ask for a higher Glue quota.",
    "Lambda.TooManyRequestsException": "Ask for more concurrent Lambda functions in Service Quotas.",
}
"""Name of an AWS error -> advice for the operator."""


def orphaned(reason: str) -> Failure:
    """The failure of an orphaned run, for a reason such as "its lease expired"."""
    message = f"the run timed out or was aborted: {reason}"
    return Failure(type="OrphanedRun", message=message, cause=message, advice=RUN_AGAIN, transient=True)


def not_claimed(run_id: str) -> Failure:
    """The failure of a run whose execution failed before it took the lease. It is not in the ledger."""
    message = "the run failed before it took the lease"
    return Failure(type="ClaimFailed", message=message, advice=f"Look at the error with `fanout trace {run_id}`.")


def as_error(failure: Failure, count: int) -> dict[str, str]:
    """A run's failure as the error of its execution, which Step Functions shows.

    The error's name is fixed: a failure's type may begin with "States.", which a Fail state does not accept.
    """
    return {"Error": "RunFailed", "Cause": failure.in_one_line(count)}


def caught(result: Mapping[str, Any] | None) -> Failure:
    """Convert the error that a Catch stored, or a job run that did not succeed, into a failure.

    The Cause of a Lambda error is JSON with ``{"errorType", "errorMessage"}``; that of a failed job run is the JobRun.
    A job run that was stopped is not an error, so `result` is the JobRun itself.
    """
    if not result:
        message = "the run failed, and the state machine has no error for it"
        return Failure(type="UnknownError", message=message, cause=message)
    if "JobRunState" in result:
        return _of_job_run(result)
    try:
        cause = json.loads(result.get("Cause") or "")
    except (ValueError, RecursionError):
        cause = result.get("Cause")
    if isinstance(cause, Mapping) and "JobRunState" in cause:
        return _of_job_run(cause)
    if isinstance(cause, Mapping) and "errorMessage" in cause:
        return _of_error(str(cause.get("errorType")), str(cause["errorMessage"]))
    return _of_error(str(result.get("Error")), str(cause or ""))


def _of_job_run(job_run: Mapping[str, Any]) -> Failure:
    ended = f"the job run ended {job_run['JobRunState']}"
    told = f": {job_run['ErrorMessage']}" if job_run.get("ErrorMessage") else ""
    message = f"job run {job_run.get('Id')} ended {job_run['JobRunState']}{told}"
    advice = ADVICE["States.Timeout"] if job_run["JobRunState"] == "TIMEOUT" else SEE_THE_RUN
    return Failure(type="GlueJobRunError", message=message, cause=ended, advice=advice).bounded()


def _of_error(name: str, message: str) -> Failure:
    """Convert an error by its name; the classes of `fanout.errors` have their own advice."""
    ours = _classes().get(name)
    if ours is not None:
        summary = " ".join((ours.__doc__ or "").split("\n\n")[0].split())
        found = Failure(type=name, message=message, cause=summary, advice=ours.advice, transient=ours.transient)
    elif name in ADVICE:
        found = Failure(type=name, message=message or "AWS gave no cause", cause=name, advice=ADVICE[name])
    else:
        found = Failure(type=name, message=message or "AWS gave no cause", cause=message)
    return found.bounded()


def _classes() -> dict[str, type[FanoutError]]:
    found, waiting = dict[str, type[FanoutError]](), [FanoutError]
    while waiting:
        kind = waiting.pop()
        found[kind.__name__] = kind
        waiting += kind.__subclasses__()
    return found
