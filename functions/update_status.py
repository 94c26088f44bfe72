"""*Update Status*: commits a run that ended, or records why it failed.

Also handles executions that timed out or were aborted.
"""

from __future__ import annotations

import json
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from contract.document import plain
from fanout import bootstrap
from fanout.bootstrap import logger, metrics
from fanout.claims import ClaimRequest
from fanout.endings import Ending
from fanout.errors import InvalidRequestError
from fanout.failures import as_error, orphaned
from fanout.runs import RunRecord


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """End a run.

    Parameters
    ----------
    event
        From the state machine ``{"outcome": "succeeded" | "failed", "provider", "run_id", "result"?}``, where `result`
        is the caught error, or EventBridge's *Step Functions Execution Status Change* for an execution that timed out
        or was aborted.

    Returns
    -------
    The run's record, or for a failed run ``{"Error", "Cause"}``, which the state machine's last state shows.
    """
    endings = bootstrap.endings()
    metrics.set_default_dimensions(env=endings.settings.env)
    if "detail-type" in event:
        return _execution_gone(event)
    ending = Ending.from_event(event)
    logger.append_keys(provider=ending.provider, run_id=ending.run_id)
    if ending.outcome == "failed":
        failure, count = endings.fail(ending)
        metrics.add_metric("RunsFailed", "Count", 1)
        logger.error("run failed", extra={"reason": failure.in_one_line(count), "failure": plain(failure)})
        return as_error(failure, count)
    record = endings.succeed(ending)
    if record is None:
        return {"status": "succeeded"}
    _measure(record)
    logger.info("run succeeded", extra={"record": record.model_dump(mode="json")})
    return record.model_dump(mode="json")


def _execution_gone(event: dict[str, Any]) -> dict[str, Any]:
    try:
        detail = event["detail"]
        status, name, execution_input = detail["status"], detail["name"], json.loads(detail["input"])
    except (KeyError, TypeError, ValueError):
        raise InvalidRequestError("not a Step Functions Execution Status Change event with its input") from None
    request = ClaimRequest.from_event({"run_id": name, "input": execution_input})
    logger.append_keys(provider=request.provider, run_id=name)
    freed = bootstrap.endings().end(request.provider, name, orphaned(f"its execution is {status}"))
    if freed:
        metrics.add_metric("RunsFailed", "Count", 1)
    logger.error("execution timed out or was aborted", extra={"status": status, "freed": freed})
    return {"provider": request.provider, "run_id": name, "freed": freed}


def _measure(record: RunRecord) -> None:
    metrics.add_dimension("engine", record.engine)
    metrics.add_metric("RunsSucceeded", "Count", 1)
    if record.engine == "none":  # nothing new: no figures, and no metrics to pay for
        return
    metrics.add_metric("Rows", "Count", record.rows)
    metrics.add_metric("Messages", "Count", record.messages)
    metrics.add_metric("Quarantined", "Count", record.quarantined)
    metrics.add_metric("Ignored", "Count", record.ignored)
    metrics.add_metric("RunSeconds", "Seconds", record.seconds)
    metrics.add_metric("RunDollars", "NoUnit", record.dollars)
