"""Which stack a command uses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest

from cli.command import CLOUD_FILE_VARIABLE, Operator, connection
from cli.deployment import OURS, Deployment, Where
from cli.errors import AccessError, UsageError
from fanout.health import FailedExecution

START = datetime(2026, 11, 22, 7, 30, tzinfo=UTC)


@pytest.fixture
def cloudformation() -> Iterator[Any]:
    from moto import mock_aws

    with mock_aws():
        yield boto3.client("cloudformation", region_name="us-east-1")


def make(cloudformation: Any, name: str, *outputs: str) -> None:
    """A stack with some outputs, whose value is the stack's name."""
    template = {
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
        "Outputs": {output: {"Value": name} for output in outputs},
    }
    cloudformation.create_stack(StackName=name, TemplateBody=json.dumps(template))


def found(stack: str | None) -> str:
    """The name of the stack that a command uses."""
    return Deployment.find(Where(stack, "us-east-1")).output("StateMachineArn")


def test_the_only_stack_of_this_project_is_found_by_its_outputs(cloudformation: Any) -> None:
    make(cloudformation, "another", "StateMachineArn")
    make(cloudformation, "my-fanout", *OURS)
    make(cloudformation, "bare")

    assert found(None) == "my-fanout"


def test_with_several_stacks_the_operator_has_to_choose_one(cloudformation: Any) -> None:
    make(cloudformation, "glue-fanout-dev", *OURS)
    make(cloudformation, "glue-fanout-prod", *OURS)

    with pytest.raises(UsageError, match="--stack glue-fanout-dev or --stack glue-fanout-prod"):
        found(None)
    assert found("glue-fanout-prod") == "glue-fanout-prod"


def test_without_a_stack_the_error_says_what_to_do(cloudformation: Any) -> None:
    make(cloudformation, "another", "StateMachineArn")

    with pytest.raises(UsageError, match=r"no glue-fanout stack found in us-east-1.*make deploy.*make up"):
        found(None)
    with pytest.raises(UsageError, match="no stack nope found in us-east-1"):
        found("nope")


@pytest.fixture
def cloud_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that a running laptop cloud writes; it does not exist."""
    path = tmp_path / "cloud.json"
    monkeypatch.setenv(CLOUD_FILE_VARIABLE, str(path))
    return path


def test_a_running_laptop_cloud_is_found_and_named(cloud_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cloud_file.write_text("{}")

    assert connection().where == Where(None, cloud_file=cloud_file)
    assert "laptop cloud" in capsys.readouterr().err


@pytest.mark.parametrize("named", [{"stack": "s"}, {"region": "eu-west-1"}, {"profile": "p"}])
def test_with_a_stack_a_region_or_a_profile_the_command_uses_aws(cloud_file: Path, named: dict[str, str]) -> None:
    cloud_file.write_text("{}")

    assert connection(**named).where.cloud_file is None


def test_without_a_laptop_cloud_the_command_uses_aws_and_local_fails(
    cloud_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert connection().where.cloud_file is None
    asked: Operator = connection(local=True)
    assert asked.where.cloud_file == cloud_file
    with pytest.raises(AccessError, match="make up"):
        _ = asked.stack
    assert capsys.readouterr().err == ""


def test_failed_executions_of_all_kinds_are_listed_and_the_list_is_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.deployment.FAILED_SECONDS", 3600)

    class States:
        def __init__(self) -> None:
            self.asked: list[str] = []

        def list_executions(self, stateMachineArn: str, statusFilter: str, maxResults: int) -> Any:  # noqa: N803 - boto3
            self.asked.append(statusFilter)
            name = f"acme-{statusFilter.lower()}"
            return {"executions": [{"name": name, "startDate": START, "status": statusFilter}]}

    stack = Deployment(boto3.session.Session(region_name="us-east-1"), "stack", None)
    stack.outputs = {"StateMachineArn": "arn"}
    stack._clients["stepfunctions"] = states = States()

    found = [stack.failed_executions(), stack.failed_executions()]

    assert (
        found[0]
        == found[1]
        == tuple(
            FailedExecution(f"acme-{status.lower()}", START, status) for status in ("FAILED", "TIMED_OUT", "ABORTED")
        )
    )
    assert states.asked == ["FAILED", "TIMED_OUT", "ABORTED"]


def test_the_config_api_key_is_read_once_and_again_after_it_was_refused() -> None:
    class Secrets:
        def __init__(self) -> None:
            self.reads = 0

        def get_secret_value(self, SecretId: str) -> dict[str, str]:  # noqa: N803 - boto3
            assert SecretId == "arn:secret"
            self.reads += 1
            return {"SecretString": f"key {self.reads}"}

    stack = Deployment(boto3.session.Session(region_name="us-east-1"), "stack", None)
    stack.outputs = {"ConfigApiKeySecretArn": "arn:secret"}
    stack._clients["secretsmanager"] = Secrets()

    assert [stack.config_api_key(refused) for refused in (False, False, True, False)] == ["key 1", "key 1"] + [
        "key 2"
    ] * 2
