"""Failures of which no job and no handler of ours could tell: what the state machine caught, and orphaned runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from contract.failure import SEE_THE_RUN, Failure
from fanout.errors import FanoutError

RUN_AGAIN = (
    "Nothing to do: the next tick at the latest releases the lease, and the next run sends the same changes again with "
    "the same ids."
)
ADVICE = {
    "States.Timeout": "If it repeats, lower MaxBytesPerRun, so that a run has less to do.",
    "Sandbox.Timedout": "If it repeats, lower LambdaMaxBytes, so that Glue takes runs of this size.",
    "Runtime.ExitError": "If it repeats, lower LambdaMaxBytes, so that Glue takes runs of this size.",
    "Glue.ConcurrentRunsExceededException": "Lower MaxConcurrentRuns, or ask for a higher Glue quota.",
    "Glue.ResourceNumberLimitExceededException": "Lower MaxConcurrentRuns, or ask for a higher Glue quota.",
    "Lambda.TooManyRequestsException": "Ask for more concurrent Lambda functions in Service Quotas.",
}
"""AWS's name of an error -> what the operator can do."""


def orphaned(reason: str) -> Failure:
    """The failure of a run that cannot record its end any more, for a reason such as "its lease expired"."""
    message = f"the run timed out or was aborted: {reason}"
    return Failure(type="OrphanedRun", message=message, cause=message, advice=RUN_AGAIN, transient=True)


def not_claimed(run_id: str) -> Failure:
    """The failure of a run whose execution failed before it took the lease, so that the ledger knows nothing of it."""
    message = "the run failed before it took the lease"
    return Failure(type="ClaimFailed", message=message, advice=f"Look at the error with `fanout trace {run_id}`.")


def as_error(failure: Failure, count: int) -> dict[str, str]:
    """A run's failure as the execution's own error, which Step Functions shows.

    Not by its type: names that begin with "States." are reserved, and a Fail state with one is an error of its own.
    """
    return {"Error": "RunFailed", "Cause": failure.in_one_line(count)}


def caught(result: Mapping[str, Any] | None) -> Failure:
    """What a Catch or a job run left in the execution's state.

    A caught Lambda error carries ``{"errorType", "errorMessage"}`` as JSON in its Cause, a failed job run the
    JobRun; a job run that ended without failing (STOPPED) is there as it is.
    """
    if not result:
        message = "the run failed, and the state machine has no error of it"
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
    """A Lambda function's error by its name: our own classes know what to do."""
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
