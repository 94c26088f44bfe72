"""Handlers run as on AWS: their context, environment, errors, timeouts, concurrency and retries."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from laptop_cloud.cloud import LaptopCloud
from tests.harness.waiting import HANG_SECONDS, eventually


def invoke(cloud: LaptopCloud, logical_id: str, event: Any) -> tuple[Any, str | None]:
    name = cloud.physical_id(logical_id)
    answer = cloud.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event).encode())
    return json.loads(answer["Payload"].read()), answer.get("FunctionError")


def messages(cloud: LaptopCloud, logical_id: str) -> list[dict[str, Any]]:
    sqs, url = cloud.client("sqs"), cloud.physical_id(logical_id)
    found = eventually(lambda: sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"), logical_id)
    return [json.loads(message["Body"]) for message in found]


def test_a_handler_gets_its_event_and_context(cloud: LaptopCloud) -> None:
    seen, error = invoke(cloud, "EchoFunction", {"a": [1, "ż"]})
    assert error is None
    assert seen["event"] == {"a": [1, "ż"]}
    assert seen["function"] == cloud.physical_id("EchoFunction")
    assert seen["arn"].endswith(f":function:{seen['function']}")
    assert seen["memory"] == "256"
    assert 300_000 < seen["remaining"] <= 900_000
    assert seen["python"] == [*sys.version_info[:2]]


def test_a_handler_sees_only_its_own_variables(cloud: LaptopCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOMETHING_OF_OURS", "1")
    invoke(cloud, "EchoFunction", {"fail": "x"})
    environment = invoke(cloud, "EchoFunction", {})[0]["environment"]
    assert environment["COLOR"] == "test-green"
    assert environment["QUEUE_URL"] == cloud.outputs["QueueUrl"]
    assert environment["AWS_ENDPOINT_URL"] == cloud.endpoint
    assert environment["AWS_ACCESS_KEY_ID"] == cloud.access_key_id.replace("operator.", "EchoFunctionRole.")
    assert "SOMETHING_OF_OURS" not in environment
    assert "HOME" not in environment


def test_an_exception_is_returned_in_aws_s_form(cloud: LaptopCloud) -> None:
    failed, error = invoke(cloud, "EchoFunction", {"fail": "no luck"})
    assert error == "Unhandled"
    assert set(failed) == {"errorMessage", "errorType", "requestId", "stackTrace"}
    assert (failed["errorMessage"], failed["errorType"]) == ("no luck", "ValueError")
    assert "raise ValueError" in failed["stackTrace"][-1]


def test_a_process_that_exits_is_an_error_and_is_replaced(cloud: LaptopCloud) -> None:
    failed, error = invoke(cloud, "EchoFunction", {"exit": True})
    assert error == "Unhandled"
    assert failed["errorType"] == "Runtime.ExitError"
    assert "exit status 3" in failed["errorMessage"]
    assert invoke(cloud, "EchoFunction", {})[1] is None


def test_a_second_invocation_reuses_the_process(cloud: LaptopCloud) -> None:
    assert invoke(cloud, "EchoFunction", {})[0]["pid"] == invoke(cloud, "EchoFunction", {})[0]["pid"]


def test_a_handler_that_takes_too_long_is_killed_with_aws_s_error(cloud: LaptopCloud) -> None:
    failed, error = invoke(cloud, "SlowFunction", {"seconds": HANG_SECONDS})
    assert error == "Unhandled"
    assert failed["errorType"] == "Sandbox.Timedout"
    assert failed["errorMessage"].endswith("Error: Task timed out after 1.00 seconds")


def test_a_handler_s_output_is_in_its_log(cloud: LaptopCloud) -> None:
    invoke(cloud, "EchoFunction", {})
    log = cloud.workdir / "logs" / f"{cloud.physical_id('EchoFunction')}.log"
    assert "echo was here" in log.read_text()


def test_an_asynchronous_invocation_that_keeps_failing_reaches_the_destination(cloud: LaptopCloud) -> None:
    answer = cloud.client("lambda").invoke(
        FunctionName=cloud.physical_id("EchoFunction"), InvocationType="Event", Payload=b'{"fail": "again"}'
    )
    assert answer["StatusCode"] == 202
    (record,) = messages(cloud, "Undelivered")
    assert record["requestPayload"] == {"fail": "again"}
    assert record["requestContext"]["condition"] == "RetriesExhausted"
    assert record["requestContext"]["approximateInvokeCount"] == 2  # the template allows one retry
    assert record["responsePayload"]["errorMessage"] == "again"


def test_calls_are_made_with_the_function_s_role(cloud: LaptopCloud) -> None:
    invoke(cloud, "EchoFunction", {"source": "aws.states"})
    calls = [json.loads(line) for line in (cloud.workdir / "api_calls.jsonl").read_text().splitlines()]
    sent = {"principal": "EchoFunctionRole", "service": "sqs", "action": "SendMessage"}
    assert {**sent, "resource": cloud.outputs["QueueUrl"]} in calls
