"""The last log lines of a run, from CloudWatch Logs."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

MARGIN = timedelta(minutes=15)
"""How long after its start a function's lines about a run are looked for: the Lambda's time limit."""


class CloudWatchLogs:
    """Log groups of the stack.

    Parameters
    ----------
    logs, glue
        boto3 clients of CloudWatch Logs and Glue.
    group
        The log group of all functions.
    job_name
        The Glue job, whose arguments say which log group its runs write to.
    """

    def __init__(self, logs: Any, glue: Any, group: str, job_name: str) -> None:
        self._logs = logs
        self._glue = glue
        self._group = group
        self._job_name = job_name

    def of_function(self, function: str, run_id: str, began: datetime, lines: int) -> list[str]:
        """The last lines of a function that name the run.

        Functions share the group; their streams are named ``2026/11/22/FUNCTION[$LATEST]...``.
        """
        pages = self._logs.get_paginator("filter_log_events").paginate(
            logGroupName=self._group,
            startTime=int(began.timestamp() * 1000),
            endTime=int((began + MARGIN).timestamp() * 1000),
            filterPattern=f'"{run_id}"',
        )
        found = [
            event["message"].rstrip()
            for page in pages
            for event in page["events"]
            if f"/{function}[" in event["logStreamName"]
        ]
        return found[-lines:]

    def of_job_run(self, job_run_id: str, lines: int) -> list[str]:
        """The last lines of a Glue job run. Driver and executors have a stream each, ``{job run id}-driver`` and
        ``{job run id}-executor1``.
        """
        arguments = self._glue.get_job(JobName=self._job_name)["Job"].get("DefaultArguments", {})
        group = arguments.get("--custom-logGroup-prefix", "/aws-glue/jobs") + "/output"
        pages = self._logs.get_paginator("describe_log_streams").paginate(
            logGroupName=group, logStreamNamePrefix=job_run_id
        )
        events: list[dict[str, Any]] = []
        try:
            for stream in (stream["logStreamName"] for page in pages for stream in page["logStreams"]):
                events += self._logs.get_log_events(
                    logGroupName=group, logStreamName=stream, limit=lines, startFromHead=False
                )["events"]
        except self._logs.exceptions.ResourceNotFoundException:
            return []  # no run has written anything yet
        events.sort(key=lambda event: event["timestamp"])
        return [event["message"].rstrip() for event in events[-lines:]]


def short(line: str) -> str:
    """A structured line as time, level and message; any other as it is."""
    try:
        record = json.loads(line)
        message = record["message"]
    except (ValueError, KeyError, TypeError):
        return line
    parts = [record.get("timestamp") or record.get("time"), record.get("level"), message, record.get("reason")]
    return " ".join(str(part) for part in parts if part)
