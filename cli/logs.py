"""Log lines of runs and ticks, from CloudWatch Logs."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from contract.times import parse_iso

from .deployment import Deployment

MARGIN = timedelta(minutes=15)
"""How long after a run's start its lines are searched for: the time limit of a Lambda function."""


def of_function(stack: Deployment, function: str, run_id: str, began: datetime, lines: int) -> list[str]:
    """The last lines of a function that contain the run's id.

    The functions share a log group; their streams are named ``2026/11/22/FUNCTION[$LATEST]...``.
    """
    pages = (
        stack.client("logs")
        .get_paginator("filter_log_events")
        .paginate(
            logGroupName=stack.output("FunctionLogGroup"),
            startTime=int(began.timestamp() * 1000),
            endTime=int((began + MARGIN).timestamp() * 1000),
            filterPattern=f'"{run_id}"',
        )
    )
    events = [event for page in pages for event in page["events"] if f"/{function}[" in event["logStreamName"]]
    return [event["message"].rstrip() for event in events[-lines:]]


def of_job_run(stack: Deployment, job_run_id: str, lines: int) -> list[str]:
    """The last lines of a Glue job run.

    The driver and each executor have a stream, ``{job run id}-driver`` and ``{job run id}-executor1``.
    """
    logs, group = stack.client("logs"), stack.job_log_group
    pages = logs.get_paginator("describe_log_streams").paginate(logGroupName=group, logStreamNamePrefix=job_run_id)
    events: list[dict[str, Any]] = []
    try:
        for stream in (stream["logStreamName"] for page in pages for stream in page["logStreams"]):
            events += logs.get_log_events(logGroupName=group, logStreamName=stream, limit=lines, startFromHead=False)[
                "events"
            ]
    except logs.exceptions.ResourceNotFoundException:
        return []  # no run has written a line yet
    events.sort(key=lambda event: event["timestamp"])
    return [event["message"].rstrip() for event in events[-lines:]]


def short(line: str) -> str:
    """A structured line as time, level and message; any other line unchanged."""
    try:
        record = json.loads(line)
        message = record["message"]
    except (ValueError, KeyError, TypeError):
        return line
    parts = [record.get("timestamp") or record.get("time"), record.get("level"), message, record.get("reason")]
    return " ".join(str(part) for part in parts if part)


def ticks(stack: Deployment, since: datetime, until: datetime) -> list[dict[str, Any]]:
    """The reports (`fanout.dispatcher.TickReport`) of the ticks that ended since a time, the newest first."""
    pages = stack.client("logs").get_paginator("filter_log_events")
    found = []
    for day in {f"{since:%Y/%m/%d}", f"{until:%Y/%m/%d}"}:
        streams = f"{day}/{stack.output('DispatchFunctionName')}["
        for page in pages.paginate(
            logGroupName=stack.output("FunctionLogGroup"),
            logStreamNamePrefix=streams,
            startTime=int(since.timestamp() * 1000),
            filterPattern='"tick done"',
        ):
            found += [event["message"] for event in page["events"] if event["logStreamName"].startswith(streams)]
    reports = [report for message in found if (report := _report(message))]
    return sorted(reports, key=lambda report: str(report["scheduled_at"]), reverse=True)


def _report(message: str) -> dict[str, Any] | None:
    """The report in a line of the dispatcher; None if the line is truncated or has no report."""
    try:
        report = json.loads(message)["report"]
        parse_iso(report["scheduled_at"])
    except (ValueError, KeyError, TypeError):
        return None
    return dict(report)
