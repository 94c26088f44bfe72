"""*Update Status*: the run ended. Commit it, or record why it failed; also for executions that ended without a word."""

from __future__ import annotations

import json
from typing import Any

from aws_lambda_powertools import Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from fanout import bootstrap
from fanout.bootstrap import logger
from fanout.claims import ClaimRequest
from fanout.errors import InvalidRequestError
from fanout.ledger import RunRecord
from fanout.outcomes import Ending

metrics = Metrics(namespace="glue-fanout")


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """End a run.

    Parameters
    ----------
    event
        From the state machine ``{"outcome": "succeeded" | "failed", "run_id", "state": {…}}``, or EventBridge's
        *Step Functions Execution Status Change* for an execution that timed out or was aborted.

    Returns
    -------
    The run's record, or for a failed run ``{"Error", "Cause"}``, which the state machine's last state shows.
    """
    metrics.set_default_dimensions(env=bootstrap.outcomes().settings.env)
    if "detail-type" in event:
        return _execution_gone(event)
    ending = Ending.from_event(event)
    logger.append_keys(provider=ending.provider, run_id=ending.run_id)
    if ending.outcome == "failed":
        error = bootstrap.outcomes().fail(ending)
        metrics.add_metric("RunsFailed", MetricUnit.Count, 1)
        logger.error("run failed", extra={"reason": error})
        return {"Error": "RunFailed", "Cause": error}
    record = bootstrap.outcomes().succeed(ending)
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
    freed = bootstrap.outcomes().end(request.provider, name, f"its execution is {status}")
    if freed:
        metrics.add_metric("RunsFailed", MetricUnit.Count, 1)
    logger.error("execution ended without a word", extra={"status": status, "freed": freed})
    return {"provider": request.provider, "run_id": name, "freed": freed}


_UNITS = {
    "Rows": ("rows", MetricUnit.Count),
    "Messages": ("messages", MetricUnit.Count),
    "Quarantined": ("quarantined", MetricUnit.Count),
    "RunSeconds": ("seconds", MetricUnit.Seconds),
    "RunDollars": ("dollars", MetricUnit.NoUnit),
}


def _measure(record: RunRecord) -> None:
    metrics.add_dimension("engine", record.engine)
    metrics.add_metric("RunsSucceeded", MetricUnit.Count, 1)
    if record.engine == "none":  # nothing new: no figures, and no metrics to pay for
        return
    for name, (figure, unit) in _UNITS.items():
        metrics.add_metric(name, unit, getattr(record, figure))
