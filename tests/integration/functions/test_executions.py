"""The contract of `Executions`, tested on the fake that other tests use and on Step Functions (moto)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError
from moto import mock_aws

from fanout.adapters import StepFunctions
from fanout.dispatcher import Executions
from fanout.errors import StartRefusedError, StartThrottledError
from tests.harness.fakes import MemoryExecutions
from tests.harness.faults import Clock, Faults

INPUT = '{"provider":"a","scheduled_at":"2026-11-22T07:30:00Z"}'
ROLE = "arn:aws:iam::123456789012:role/states"


class Case:
    """Executions, their ARNs, and a way to end one."""

    def __init__(self, executions: Executions, arn: Callable[[str], str], stop: Callable[[str], None]) -> None:
        self.executions, self.arn, self.stop = executions, arn, stop


@pytest.fixture(params=["memory", "step functions"])
def case(request: pytest.FixtureRequest) -> Iterator[Case]:
    if request.param == "memory":
        memory = MemoryExecutions(Faults(Clock()))
        yield Case(memory, lambda name: f"arn:{name}", lambda name: memory.statuses.update({name: "ABORTED"}))
        return
    with mock_aws():
        client = boto3.client("stepfunctions", region_name="us-east-1")
        definition = json.dumps({"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 9, "End": True}}})
        machine = client.create_state_machine(name="m", definition=definition, roleArn=ROLE)["stateMachineArn"]

        def arn(name: str) -> str:
            return f"{machine.replace(':stateMachine:', ':execution:')}:{name}"

        yield Case(StepFunctions(client, machine), arn, lambda name: client.stop_execution(executionArn=arn(name)))


def test_an_execution_is_started_and_runs(case: Case) -> None:
    assert case.executions.start("one", INPUT) is True
    assert case.executions.status(case.arn("one")) == "RUNNING"


def test_starting_a_running_execution_again_with_the_same_input_succeeds(case: Case) -> None:
    case.executions.start("one", INPUT)

    assert case.executions.start("one", INPUT) is True


def test_a_running_name_with_another_input_is_reported_as_already_started(case: Case) -> None:
    case.executions.start("one", INPUT)

    assert case.executions.start("one", INPUT.replace("30", "45")) is False


@pytest.mark.fault(4)
def test_the_name_of_an_ended_execution_is_reported_as_already_started(case: Case) -> None:
    case.executions.start("one", INPUT)
    case.stop("one")

    assert case.executions.start("one", INPUT) is False
    assert case.executions.status(case.arn("one")) == "ABORTED"


def test_running_executions_are_listed_by_name_and_ended_ones_are_not(case: Case) -> None:
    for name in ("one", "two", "three"):
        case.executions.start(name, INPUT)
    case.stop("two")

    assert case.executions.running() == {"one", "three"}
    assert case.executions.latest() == {"one": True, "two": False, "three": True}


def test_an_unknown_execution_has_no_status(case: Case) -> None:
    assert case.executions.status(case.arn("never")) is None


class Failing:
    """A client that answers every call with an error."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def start_execution(self, **request: Any) -> Any:
        raise self.error

    describe_execution = list_executions = start_execution

    def get_paginator(self, operation: str) -> Any:
        raise self.error


def service_error(code: str, status: int) -> ClientError:
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "StartExecution")  # type: ignore[typeddict-item]


@pytest.mark.parametrize(
    "error",
    [
        service_error("ThrottlingException", 400),
        service_error("ExecutionLimitExceeded", 400),
        service_error("InternalFailure", 500),
        ConnectTimeoutError(endpoint_url="https://states"),
    ],
)
def test_a_temporary_service_error_is_transient(error: Exception) -> None:
    executions = StepFunctions(Failing(error), "arn:machine")

    with pytest.raises(StartThrottledError):
        executions.start("one", INPUT)
    with pytest.raises(StartThrottledError):
        executions.status("arn:one")
    with pytest.raises(StartThrottledError):
        executions.running()
    with pytest.raises(StartThrottledError):
        executions.latest()


@pytest.mark.parametrize("code", ["AccessDeniedException", "StateMachineDoesNotExist", "InvalidName"])
def test_a_permanent_service_error_says_what_to_check(code: str) -> None:
    with pytest.raises(StartRefusedError, match=f"{code}; check the state machine and the dispatcher's role"):
        StepFunctions(Failing(service_error(code, 400)), "arn:machine").start("one", INPUT)
