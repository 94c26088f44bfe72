"""The dispatcher, called by the schedule: starts one execution for each provider that is due."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from contract.times import compact
from fanout import bootstrap
from fanout.bootstrap import logger, metrics
from fanout.dispatcher import TickReport, tick_time
from fanout.errors import ConfigApiAccessError, ConfigApiAnswerError, ConfigApiUnavailableError, FanoutError


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Do one tick.

    Parameters
    ----------
    event
        ``{"scheduled_at": ISO time}`` from the schedule, an EventBridge event with ``time``, or ``{}``.

    Returns
    -------
    The report of the tick: counts, and lists of names and faults up to a limit. See `fanout.dispatcher.TickReport`.
    """
    dispatcher = bootstrap.dispatcher()
    metrics.set_default_dimensions(env=dispatcher.settings.env)
    try:
        scheduled_at = tick_time(event, dispatcher.clock())
        logger.set_correlation_id(compact(scheduled_at))  # the names of the executions that it starts end with this
        report = dispatcher.tick(scheduled_at, lambda: context.get_remaining_time_in_millis() / 1000)
    except FanoutError as error:
        metrics.add_metric("DispatchFailed", "Count", 1)
        metrics.add_metric("ConfigApiFailed", "Count", int(isinstance(error, _CONFIG_API_ERRORS)))
        logger.error("nothing was dispatched", extra={"error": type(error).__name__, "reason": str(error)})
        raise
    _measure(report)
    logger.info("tick done", extra={"report": asdict(report)})
    return asdict(report)


_CONFIG_API_ERRORS = (ConfigApiAccessError, ConfigApiAnswerError, ConfigApiUnavailableError)
_METRICS = {
    "Providers": "providers",
    "Due": "due",
    "Started": "started",
    "AlreadyStarted": "already_started",
    "Running": "running",
    "Deferred": "deferred",
    "BackingOff": "backing_off",
    "Paused": "paused",
    "Idle": "idle",
    "Invalid": "invalid",
    "FailedStarts": "failed_starts",
    "NeverSucceeded": "never_succeeded",
    "Reconciled": "reconciled",
    "ReleasedLeases": "released_leases",
    "Unlisted": "unlisted",
    "MissingProviders": "missing_providers",
    "LateData": "late_data",
    "LiveRuns": "live",
}
"""Metric -> field of the report."""


def _measure(report: TickReport) -> None:
    counts = asdict(report)
    metrics.add_metric("Dispatched", "Count", 1)
    for name, counter in _METRICS.items():
        metrics.add_metric(name, "Count", counts[counter])
    metrics.add_metric("OldestOverdueMinutes", "NoUnit", report.oldest_overdue_minutes)
    metrics.add_metric("OldestPendingMinutes", "NoUnit", report.oldest_pending_minutes)
