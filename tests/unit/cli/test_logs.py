"""The log lines of runs and ticks on AWS."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest

from cli.deployment import Deployment
from cli.logs import MARGIN, of_function, of_job_run, short, ticks

FUNCTIONS, JOBS = "/aws/lambda/glue-fanout-dev", "/aws-glue/glue-fanout-dev/output"
BEGAN = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
"""An hour ago: CloudWatch Logs rejects lines that are older than two weeks."""


class Group:
    """A log group that tests write to."""

    def __init__(self, logs: Any, name: str) -> None:
        self.logs, self.name = logs, name
        logs.create_log_group(logGroupName=name)

    def write(self, stream: str, *lines: str, at: datetime = BEGAN) -> None:
        """Write lines a second apart into a stream of its own."""
        self.logs.create_log_stream(logGroupName=self.name, logStreamName=stream)
        events = [
            {"timestamp": int((at + timedelta(seconds=n)).timestamp() * 1000), "message": line + "\n"}
            for n, line in enumerate(lines)
        ]
        self.logs.put_log_events(logGroupName=self.name, logStreamName=stream, logEvents=events)


@pytest.fixture
def logs() -> Iterator[Any]:
    from moto import mock_aws

    with mock_aws():
        yield boto3.client("logs", region_name="us-east-1")


class Stack(Deployment):
    """A stack with the log groups of the template."""

    def __init__(self, logs: Any) -> None:
        glue = boto3.client("glue", region_name="us-east-1")
        glue.create_job(
            Name="etl-dev-change_log",
            Role="role",
            Command={"Name": "glueetl"},
            DefaultArguments={"--custom-logGroup-prefix": JOBS.removesuffix("/output")},
        )
        self.clients = {"logs": logs, "glue": glue}

    def client(self, service: str) -> Any:
        return self.clients[service]

    def output(self, name: str) -> str:
        named = {"FunctionLogGroup": FUNCTIONS, "GlueJobName": "etl-dev-change_log", "DispatchFunctionName": "dispatch"}
        return named[name]


@pytest.fixture
def stack(logs: Any) -> Any:
    return Stack(logs)


def test_a_run_gets_the_lines_of_its_function_that_contain_its_id(logs: Any, stack: Any) -> None:
    group = Group(logs, FUNCTIONS)
    group.write("2026/11/22/lambda_run[$LATEST]aaaa", "run-1 began", "run-2 began", "run-1 sent 3")
    group.write("2026/11/22/lambda_run[7]bbbb", "run-1 is tried again", at=BEGAN + timedelta(minutes=1))
    group.write("2026/11/22/claim[$LATEST]cccc", "run-1 is claimed")
    group.write("2026/11/22/not_lambda_run[$LATEST]dddd", "run-1 in another function")
    group.write("2026/11/22/lambda_run[$LATEST]eeee", "run-1, long after", at=BEGAN + MARGIN + timedelta(seconds=1))

    assert of_function(stack, "lambda_run", "run-1", BEGAN, 10) == [
        "run-1 began",
        "run-1 sent 3",
        "run-1 is tried again",
    ]
    assert of_function(stack, "lambda_run", "run-1", BEGAN, 1) == ["run-1 is tried again"]


def test_a_job_run_gets_the_last_lines_of_its_driver_and_executors(logs: Any, stack: Any) -> None:
    group = Group(logs, JOBS)
    group.write("jr_1-driver", "driver starts", at=BEGAN)
    group.write("jr_1-executor1", "executor sends", "executor fails", at=BEGAN + timedelta(seconds=5))
    group.write("jr_2-driver", "another run")

    assert of_job_run(stack, "jr_1", 10) == ["driver starts", "executor sends", "executor fails"]
    assert of_job_run(stack, "jr_1", 2) == ["executor sends", "executor fails"]
    assert of_job_run(stack, "jr_3", 10) == []


def test_before_the_first_job_run_there_are_no_lines(stack: Any) -> None:
    assert of_job_run(stack, "jr_1", 10) == []


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ('{"timestamp":"07:30","level":"ERROR","message":"failed","reason":"x"}', "07:30 ERROR failed x"),
        ('{"time":"07:30","message":"m"}', "07:30 m"),
        ("[1, 2]", "[1, 2]"),
        ('{"level":"INFO"}', '{"level":"INFO"}'),
        ("plain", "plain"),
    ],
)
def test_a_structured_line_is_shown_as_time_level_message_and_reason(line: str, shown: str) -> None:
    assert short(line) == shown


def test_the_ticks_are_the_dispatcher_s_reports_of_yesterday_and_today_the_newest_first(logs: Any) -> None:
    group, midnight = Group(logs, FUNCTIONS), datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    before, after = midnight - timedelta(minutes=20), midnight + timedelta(seconds=1)

    def done(at: datetime) -> str:
        return json.dumps({"message": "tick done", "report": {"scheduled_at": at.isoformat(), "started": 3}})

    group.write(f"{before:%Y/%m/%d}/dispatch[$LATEST]a", done(before), "no JSON: tick done", at=before)
    group.write(f"{after:%Y/%m/%d}/dispatch[2]b", done(after), '{"message": "tick done", "report": 1}', at=after)
    group.write(f"{after:%Y/%m/%d}/another[2]c", done(after), at=after)

    found = ticks(Stack(logs), before - timedelta(hours=1), after)

    assert [report["scheduled_at"] for report in found] == [after.isoformat(), before.isoformat()]


def test_before_the_first_tick_there_are_no_reports(logs: Any) -> None:
    Group(logs, FUNCTIONS)

    assert ticks(Stack(logs), BEGAN, datetime.now(UTC)) == []
