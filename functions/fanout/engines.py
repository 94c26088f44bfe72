"""Chooses the engine of a run by the time that it would take in Lambda. Pure: no clock, no I/O.

A run that would need more than half of Lambda's time limit goes to Glue, so that an estimate (`contract.rates`) may be
wrong by a factor of two.
"""

from __future__ import annotations

from typing import Literal

from fanout.runs import RunRecord

LAMBDA_SECONDS = 900.0
"""Time limit of a Lambda run: the function's Timeout in template.yaml, which is Lambda's highest."""
WORKER_SECONDS = 300.0
"""Seconds in Lambda that are one G.1X worker's share of a run on Glue. A worker has four times the CPU."""
UNFINISHED = frozenset({"DeadlineError", "Sandbox.Timedout", "Runtime.ExitError", "States.Timeout"})
"""Failures of a Lambda run that ran out of time or memory."""


def choose_engine(
    size: int, seconds: float, lambda_max_bytes: int, last_run: RunRecord | None
) -> tuple[Literal["lambda", "glue"], str]:
    """Choose the engine of a run that has objects; return it with the reason.

    Parameters
    ----------
    size, seconds
        Stored bytes of its objects, and the estimate for Lambda.
    lambda_max_bytes
        The parameter LambdaMaxBytes.
    last_run
        The provider's last run. If Lambda did not finish it, the estimate is too low for this provider.
    """
    if lambda_max_bytes == 0:
        return "glue", "LambdaMaxBytes = 0 sends all runs to Glue"
    if size > lambda_max_bytes:
        return "glue", f"{size} bytes are more than LambdaMaxBytes = {lambda_max_bytes}"
    if seconds > LAMBDA_SECONDS / 2:
        return "glue", f"an estimated {seconds:.0f} s in Lambda are more than half of its {LAMBDA_SECONDS:.0f} s"
    failure = last_run.failure if last_run is not None and last_run.engine == "lambda" else None
    if failure is not None and failure.type in UNFINISHED:
        return "glue", f"the last run did not finish in Lambda: {failure.type}"
    return "lambda", f"{size} bytes are at most LambdaMaxBytes = {lambda_max_bytes}"
