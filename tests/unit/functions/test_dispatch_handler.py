"""The dispatch handler as Lambda runs it: in its own process, whose standard output has the log and the metrics."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest

from fanout.dispatcher import TickReport
from tests.harness.forks import Forks
from tests.harness.waiting import HANG_SECONDS

FUNCTIONS = Path(__file__).resolve().parents[3] / "functions"
KEY = "canary-4f1d9c"
EVENT = {"scheduled_at": "2026-11-22T07:30:00Z"}
RUNTIME = """
import json, sys, time, traceback
time.sleep = lambda seconds: None  # between tries; test_config_client.py has how long
class Context:
    function_name = "dispatch"
    memory_limit_in_mb = 1769
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:dispatch"
    aws_request_id = "52fdfc07-2182-454f-963f-5f0f9a621d72"
    get_remaining_time_in_millis = lambda self: 20_000
import dispatch
outcomes = []
for event in json.load(sys.stdin):
    try:
        outcomes.append({"returned": dispatch.handler(event, Context())})
    except Exception as error:
        outcomes.append({"raised": type(error).__name__, "text": traceback.format_exc()})
print(json.dumps(outcomes), file=sys.stderr)
"""


@dataclass
class ConfigApi:
    """A config API on loopback."""

    status: int = 200
    body: bytes = b"{}"
    keys: list[str | None] = field(default_factory=list)


@dataclass
class Invoked:
    """The output of one process."""

    outcomes: list[dict[str, Any]]
    lines: list[dict[str, Any]]
    everything: str

    @property
    def metrics(self) -> dict[str, Any]:
        """The only EMF document of the process."""
        (document,) = [line for line in self.lines if "_aws" in line]
        return document

    @property
    def logs(self) -> list[dict[str, Any]]:
        return [line for line in self.lines if "_aws" not in line]


@dataclass
class Deployment:
    """The services around the function."""

    config_api: ConfigApi
    environment: dict[str, str]
    stepfunctions: Any
    forks: Forks

    def invoke(self, *events: dict[str, Any]) -> Invoked:
        done = self.forks.run(RUNTIME, env=self.environment, stdin=json.dumps(events or [EVENT]))
        done.check_returncode()
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        return Invoked(json.loads(done.stderr.splitlines()[-1]), lines, done.stdout + done.stderr)

    def serve(self, entries: dict[str, Any]) -> None:
        self.config_api.status, self.config_api.body = 200, json.dumps(entries).encode()


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with Forks(
        ["aws_lambda_powertools", "aws_lambda_powertools.metrics", "boto3", "pydantic", "requests"], FUNCTIONS
    ) as made:
        yield made


@pytest.fixture
def config_api() -> Iterator[tuple[ConfigApi, str]]:
    api = ConfigApi()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            api.keys.append(self.headers.get("x-api-key"))
            self.send_response(api.status)
            self.send_header("Content-Length", str(len(api.body)))
            self.end_headers()
            self.wfile.write(api.body)

        def log_message(self, *args: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield api, f"http://127.0.0.1:{server.server_port}/providers"
    server.shutdown()
    server.server_close()


@pytest.fixture
def deployment(aws: str, forks: Forks, config_api: tuple[ConfigApi, str]) -> Iterator[Deployment]:
    def client(service: str) -> Any:
        return boto3.client(service, endpoint_url=aws, region_name="us-east-1")

    attributes = [{"AttributeName": name, "AttributeType": "S"} for name in ("provider", "attention")]
    client("dynamodb").create_table(
        TableName="ledger",
        AttributeDefinitions=attributes,
        KeySchema=[{"AttributeName": "provider", "KeyType": "HASH"}],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "attention",
                "KeySchema": [{"AttributeName": "attention", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    secret = client("secretsmanager").create_secret(Name="key", SecretString=KEY)["ARN"]
    definition = {"StartAt": "End", "States": {"End": {"Type": "Succeed"}}}
    machine = client("stepfunctions").create_state_machine(
        name="change_log", definition=json.dumps(definition), roleArn="arn:aws:iam::123456789012:role/states"
    )["stateMachineArn"]
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | {
        "AWS_ENDPOINT_URL": aws,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "ENV": "test",
        "JOB": "change_log",
        "POWERTOOLS_SERVICE_NAME": "glue-fanout",
        "POWERTOOLS_LOG_LEVEL": "DEBUG",
        "STATE_MACHINE_ARN": machine,
        "RUN_LEDGER_TABLE": "ledger",
        "CONFIG_API_URL": config_api[1],
        "CONFIG_API_KEY_SECRET": secret,
        "LOOKBACK_MINUTES": "60",
        "MAX_CONCURRENT_RUNS": "2",
        "LAMBDA_MAX_BYTES": "0",
    }
    yield Deployment(config_api[0], environment, client("stepfunctions"), forks)
    import requests

    requests.post(f"{aws}/moto-api/reset", timeout=HANG_SECONDS)


ENTRIES = {
    "late": {"frequency": "60", "last_success": "Sun, 22 Nov 2026 04:30:00 GMT"},
    "new": {"frequency": 15, "note": KEY},
    "third": {"frequency": 15, "last_success": "Sun, 22 Nov 2026 07:00:00 GMT"},
    "waits": {"frequency": 1440, "last_success": "Sun, 22 Nov 2026 07:00:00 GMT"},
    "paused": {"frequency": 15, "paused": True},
    "bad": {"frequency": KEY, "status": KEY},
}


def test_a_tick_returns_and_logs_its_report_and_starts_the_executions(deployment: Deployment) -> None:
    deployment.serve(ENTRIES)

    invoked = deployment.invoke()

    report = invoked.outcomes[0]["returned"]
    assert report == invoked.logs[-1]["report"]
    assert report.keys() == TickReport(scheduled_at="").__dict__.keys()
    counts = {
        name: report[name] for name in ("providers", "due", "started", "deferred", "waiting", "paused", "invalid")
    }
    assert counts == {
        "providers": 6,
        "due": 3,
        "started": 2,
        "deferred": 1,
        "waiting": 1,
        "paused": 1,
        "invalid": 1,
    }
    assert sorted(report["started_providers"]) == ["late", "new"]
    assert report["deferred_providers"] == ["third"]
    assert report["invalid_providers"][0].startswith("bad: frequency: ")
    machine = deployment.environment["STATE_MACHINE_ARN"]
    executions = deployment.stepfunctions.list_executions(stateMachineArn=machine)["executions"]
    assert sorted(e["name"] for e in executions) == ["late-20261122T073000Z", "new-20261122T073000Z"]
    assert deployment.config_api.keys == [KEY]


def test_a_tick_writes_its_counts_as_embedded_metrics(deployment: Deployment) -> None:
    deployment.serve(ENTRIES)

    document = deployment.invoke().metrics

    (directive,) = document["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == "glue-fanout"
    assert sorted(directive["Dimensions"][0]) == ["env", "service"]
    assert (document["env"], document["service"]) == ("test", "glue-fanout")
    assert {metric["Name"]: document[metric["Name"]][0] for metric in directive["Metrics"]} == {
        "Dispatched": 1,
        "Providers": 6,
        "Due": 3,
        "Started": 2,
        "AlreadyStarted": 0,
        "Running": 0,
        "Deferred": 1,
        "BackingOff": 0,
        "Paused": 1,
        "Idle": 0,
        "Invalid": 1,
        "FailedStarts": 0,
        "NeverSucceeded": 1,
        "Reconciled": 0,
        "ReleasedLeases": 0,
        "Unlisted": 0,
        "MissingProviders": 0,
        "LateData": 0,
        "LiveRuns": 0,
        "OldestOverdueMinutes": 120,
        "OldestPendingMinutes": 0,
    }


def test_log_lines_carry_the_request_and_the_tick(deployment: Deployment) -> None:
    deployment.serve(ENTRIES)

    for line in deployment.invoke().logs:
        assert line["function_request_id"] == "52fdfc07-2182-454f-963f-5f0f9a621d72"
        assert line["correlation_id"] == "20261122T073000Z"
        assert line["service"] == "glue-fanout"


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (500, KEY.encode(), "ConfigApiUnavailableError"),
        (403, b"", "ConfigApiAccessError"),
        (200, f"<html>{KEY}</html>".encode(), "ConfigApiAnswerError"),
    ],
)
def test_a_failing_config_api_causes_an_error_a_metric_and_a_log_line_without_the_key(
    deployment: Deployment, status: int, body: bytes, error: str
) -> None:
    deployment.config_api.status, deployment.config_api.body = status, body

    invoked = deployment.invoke()

    assert invoked.outcomes[0]["raised"] == error
    names = {metric["Name"] for metric in invoked.metrics["_aws"]["CloudWatchMetrics"][0]["Metrics"]}
    assert names == {"DispatchFailed", "ConfigApiFailed"}
    assert invoked.metrics["ConfigApiFailed"] == [1]
    assert invoked.logs[-1]["level"] == "ERROR"
    assert invoked.logs[-1]["error"] == error
    assert KEY not in invoked.everything
    machine = deployment.environment["STATE_MACHINE_ARN"]
    assert deployment.stepfunctions.list_executions(stateMachineArn=machine)["executions"] == []


def test_the_key_is_not_logged_even_at_debug_level(deployment: Deployment) -> None:
    deployment.serve(ENTRIES)

    invoked = deployment.invoke()

    assert deployment.config_api.keys == [KEY]
    assert KEY not in invoked.everything


def test_a_secret_that_cannot_be_read_is_an_error_that_names_it(deployment: Deployment) -> None:
    deployment.environment["CONFIG_API_KEY_SECRET"] = "gone"

    invoked = deployment.invoke()

    assert invoked.outcomes[0]["raised"] == "ConfigApiUnavailableError"
    assert "the secret gone could not be read" in invoked.logs[-1]["reason"]
    assert deployment.config_api.keys == []


def test_a_warm_function_keeps_no_state_of_the_last_tick(deployment: Deployment) -> None:
    deployment.serve({"new": {"frequency": 15}})

    invoked = deployment.invoke(EVENT, EVENT, {"scheduled_at": "2026-11-22T07:45:00Z"}, {"scheduled_at": "never"})

    reports = [outcome.get("returned") for outcome in invoked.outcomes]
    assert [(r["started"] + r["already_started"], r["due"]) for r in reports[:3]] == [(1, 1)] * 3
    assert invoked.outcomes[3]["raised"] == "InvalidRequestError"
    documents = [line for line in invoked.lines if "_aws" in line]
    assert [document.get("Due") for document in documents] == [[1], [1], [1], None]
    ticks = [line.get("correlation_id") for line in invoked.logs]
    assert ticks == ["20261122T073000Z", "20261122T073000Z", "20261122T074500Z", None]


def test_missing_settings_are_all_named(deployment: Deployment) -> None:
    del deployment.environment["STATE_MACHINE_ARN"], deployment.environment["RUN_LEDGER_TABLE"]

    outcome = deployment.invoke().outcomes[0]

    assert outcome["raised"] == "SettingsError"
    assert "STATE_MACHINE_ARN" in outcome["text"]
    assert "RUN_LEDGER_TABLE" in outcome["text"]
