"""Links from a run's page to AWS's console. AWS documents the pages but not their addresses; these are in wide use."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import quote

from ..commands.trace import Trace
from ..deployment import Deployment

DOMAINS = {"aws": "aws.amazon.com", "aws-cn": "amazonaws.cn", "aws-us-gov": "amazonaws-us-gov.com"}
"""Partition of an ARN -> domain."""
LAST_LINES = timedelta(minutes=1)
"""How long after a run's end its last lines are searched for."""


def aws_links(stack: Deployment, found: Trace) -> list[tuple[str, str]]:
    """The execution, the job run and their logs in AWS's console: name and address of each.

    Returns
    -------
    Empty for the laptop cloud, and for a run whose execution no longer exists.
    """
    execution = found.execution
    if stack.is_local or execution is None:
        return []
    _, partition, _, region, *_ = execution.arn.split(":")
    root = f"https://{region}.console.{DOMAINS[partition]}"
    logs = f"{root}/cloudwatch/home?region={region}#logsV2:log-groups/log-group"
    times = f"$26start$3D{execution.started_at.timestamp() * 1000:.0f}"
    if execution.ended_at:
        times += f"$26end$3D{(execution.ended_at + LAST_LINES).timestamp() * 1000:.0f}"
    quoted = f'"{found.run_id}"'
    lines = f"log-events$3FfilterPattern$3D{_twice(quoted)}{times}"
    links = [
        ("Execution", f"{root}/states/home?region={region}#/v2/executions/details/{execution.arn}"),
        ("Log of the functions", f"{logs}/{_twice(stack.output('FunctionLogGroup'))}/{lines}"),
    ]
    if found.job_run:
        job, job_run = quote(stack.output("GlueJobName"), safe=""), found.job_run["Id"]
        streams = f"$3FlogStreamNameFilter$3D{_twice(job_run)}"
        links += [
            ("Job run", f"{root}/gluestudio/home?region={region}#/job/{job}/run/{job_run}"),
            ("Log streams of the job run", f"{logs}/{_twice(stack.job_log_group)}{streams}"),
        ]
    return links


def _twice(value: str) -> str:
    """A value in the fragment of CloudWatch's address: percent-encoded twice, with $ for the outer %."""
    return quote(value, safe="").replace("%", "$25")
