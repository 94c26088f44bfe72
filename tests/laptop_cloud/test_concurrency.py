"""The account's Lambda concurrency, and the number of processes that are kept."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from laptop_cloud.aws import functions, services
from laptop_cloud.cloud import LaptopCloud
from laptop_cloud.errors import BusyError
from tests.harness.waiting import HANG_SECONDS, eventually

from .conftest import FIXTURES


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LaptopCloud]:
    template = FIXTURES / "concurrency" / "template.yaml"
    with LaptopCloud(template, workdir=tmp_path_factory.mktemp("two"), concurrency=2) as up:
        yield up


def invoke(cloud: LaptopCloud, logical_id: str, event: dict[str, Any]) -> Any:
    name = cloud.physical_id(logical_id)
    answer = cloud.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event).encode())
    return json.loads(answer["Payload"].read())


def take(cloud: LaptopCloud, queue: str) -> None:
    """Wait for one message of a queue."""
    sqs, url = cloud.client("sqs"), cloud.physical_id(queue)
    (message,) = eventually(lambda: sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1).get("Messages"), queue)
    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


@contextmanager
def running(cloud: LaptopCloud, *functions: str) -> Iterator[None]:
    """Keep these functions running inside the block."""
    threads = [threading.Thread(target=invoke, args=(cloud, name, {"hold": True})) for name in functions]
    for thread in threads:
        thread.start()
        take(cloud, "Held")
    try:
        yield
    finally:
        for _ in threads:
            cloud.client("sqs").send_message(QueueUrl=cloud.physical_id("Release"), MessageBody="continue")
        for thread in threads:
            thread.join()


def test_above_the_account_s_concurrency_lambda_throttles_every_function(cloud: LaptopCloud) -> None:
    client = cloud.client("lambda")
    with running(cloud, "One", "Two"), pytest.raises(client.exceptions.TooManyRequestsException) as throttled:
        invoke(cloud, "Three", {})
    assert throttled.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429
    with running(cloud, "One", "Two"), pytest.raises(BusyError, match="in use"):
        cloud.fire({"Target": {"Arn": cloud.physical_id("Three")}}, datetime(2026, 11, 30, tzinfo=UTC))
    assert invoke(cloud, "Three", {})


def test_a_state_machine_can_catch_the_throttling_error(cloud: LaptopCloud) -> None:
    states, arn = cloud.client("stepfunctions"), cloud.physical_id("Machine")
    with running(cloud, "One", "Two"):
        states.start_execution(stateMachineArn=arn, name="throttled")
        cloud.wait(HANG_SECONDS)
    states.start_execution(stateMachineArn=arn, name="free")
    cloud.wait(HANG_SECONDS)
    assert [json.loads(execution["output"]) for execution in cloud.executions()] == ["throttled", "ran"]


def test_a_request_to_an_api_waits_for_a_free_function(cloud: LaptopCloud) -> None:
    with ThreadPoolExecutor(1) as pool:
        with running(cloud, "Two", "Three"):
            answer = pool.submit(urllib.request.urlopen, cloud.outputs["Url"], timeout=HANG_SECONDS)
            with pytest.raises(TimeoutError):
                eventually(answer.done, "an answer", seconds=1.0)
        with pytest.raises(urllib.error.HTTPError, match="502"):  # the function ran, and returned no HTTP response
            answer.result()


def test_an_api_returns_500_if_its_function_is_throttled_for_too_long(
    cloud: LaptopCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "API_SECONDS", 0.1)
    with running(cloud, "Two", "Three"), pytest.raises(urllib.error.HTTPError, match="500"):
        urllib.request.urlopen(cloud.outputs["Url"], timeout=HANG_SECONDS)  # noqa: S310 - own URL


def test_an_asynchronous_invocation_waits_while_it_is_throttled(cloud: LaptopCloud) -> None:
    with running(cloud, "One", "Two"):
        cloud.client("lambda").invoke(
            FunctionName=cloud.physical_id("Three"), InvocationType="Event", Payload=b'{"hold": false}'
        )
    take(cloud, "Held")


def test_idle_processes_are_kept_up_to_a_limit_then_the_one_idle_longest_ends(
    cloud: LaptopCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = {name: invoke(cloud, name, {}) for name in ("One", "Two", "Three")}
    assert {name: invoke(cloud, name, {}) for name in first} == first, "more are kept than can be busy at once"

    monkeypatch.setattr(functions, "KEPT_PROCESSES", len(cloud.processes()))
    with running(cloud, "One", "One"):  # one of which is new
        assert len(cloud.processes()) == functions.KEPT_PROCESSES
    assert invoke(cloud, "Three", {}) == first["Three"]
    assert invoke(cloud, "Two", {}) != first["Two"], "it had been idle longest"
