"""Names that AWS limits or reserves, and the settings of the environments in samconfig.toml."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import moto.dynamodb
import pytest
from moto import mock_aws

from fanout.adapters import DynamoLedger, DynamoPending
from fanout.ledger import ProviderState
from laptop_cloud.stack.intrinsics import resolve
from laptop_cloud.stack.template import Template
from registry.table import ProviderTable
from tests.template.reading import ROOT, template_with, written
from tools.iam import EVERYTHING, Names

STACK_NAME = "s" * 50
"""The longest that docs/limits.md allows."""
LONGEST = {
    ("AWS::StepFunctions::StateMachine", "StateMachineName"): 80,
    ("AWS::Lambda::Function", "FunctionName"): 64,
    ("AWS::Scheduler::Schedule", "Name"): 64,
    ("AWS::SNS::Topic", "TopicName"): 256,
    ("AWS::Logs::LogGroup", "LogGroupName"): 512,
    ("AWS::Glue::Job", "Name"): 255,
}
"""Source: API reference of each service."""
INTERNAL_TO_GLUE = {"--conf", "--debug", "--mode", "--JOB_NAME", "--endpoint"}
"""Arguments that a job must not set. Source: "Using job parameters in AWS Glue jobs", AWS Glue Developer Guide."""
RESERVED_WORDS = Path(moto.dynamodb.__file__).with_name("parsing") / "reserved_keywords.txt"
"""DynamoDB's. Source: "Reserved words in DynamoDB", Amazon DynamoDB Developer Guide."""
NOW = datetime(2026, 11, 22, 7, 30, tzinfo=UTC)
FUNCTIONS = {"attribute_not_exists", "attribute_exists", "if_not_exists"}
KEYWORDS = {"SET", "REMOVE", "ADD", "DELETE", "AND", "OR", "NOT"}


def longest_job() -> str:
    """The longest name that the parameter Job accepts."""
    pattern = written()["Parameters"]["Job"]["AllowedPattern"]
    return max(("j" * n for n in range(1, 100) if re.fullmatch(pattern, "j" * n)), key=len)


def test_the_longest_stack_and_job_names_give_names_that_aws_accepts() -> None:
    template = Template.load(ROOT / "template.yaml", {**EVERYTHING, "Job": longest_job()}, STACK_NAME)
    seen = set()
    for resource in template.resources.values():
        for (kind, field), limit in LONGEST.items():
            if resource.type == kind:
                name = resolve(resource.properties, Names(template, None))[field]
                assert len(name) <= limit, (resource.logical_id, name)
                seen.add(kind)

    assert seen == {kind for kind, _ in LONGEST}
    assert len(f"{STACK_NAME}-{longest_job()}") == 80


def test_the_jobs_arguments_and_the_functions_variables_are_not_reserved() -> None:
    template = template_with(**EVERYTHING)
    job = template.resources["ChangeLogJob"].properties["DefaultArguments"]
    machine = (ROOT / "statemachine/change_log.asl.json").read_text(encoding="utf-8")
    variables = {
        name
        for resource in template.resources.values()
        if resource.type == "AWS::Lambda::Function"
        for name in resource.properties["Environment"]["Variables"]
    }

    assert not INTERNAL_TO_GLUE & {*job, *re.findall(r'"(--\w+)(?:\.\$)?":', machine)}
    assert len(variables) > 20
    assert not [name for name in variables if name.startswith(("AWS_", "_"))]


@pytest.fixture
def expressions() -> Iterator[list[str]]:
    """Every expression that is sent to DynamoDB."""
    with mock_aws():
        client = boto3.client("dynamodb", region_name="us-east-1")
        sent: list[str] = []

        def note(params: dict[str, Any], **context: object) -> None:
            sent.extend(value for name, value in params.items() if name.endswith("Expression"))

        client.meta.events.register("provide-client-params.dynamodb", note)
        index = {
            "IndexName": "attention",
            "KeySchema": [{"AttributeName": "attention", "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "ALL"},
        }
        names = ("provider", "attention")
        client.create_table(
            TableName="table",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in names],
            KeySchema=[{"AttributeName": "provider", "KeyType": "HASH"}],
            GlobalSecondaryIndexes=[index],
        )
        ledger, pending = DynamoLedger(client, "table"), DynamoPending(client, "table")
        registry = ProviderTable(client, "table")
        ledger.put(ProviderState(provider="a"))
        ledger.put(ledger.get("a"))
        ledger.attention()
        pending.add("a", 1, 10, NOW)
        pending.add("a", 1, 10, NOW)
        pending.clear("a", 1, NOW)
        registry.put("b", {"frequency": 1}, NOW)
        registry.patch("b", {"frequency": 2}, NOW)
        registry.delete("b")
        yield sent


def test_no_attribute_in_an_expression_is_a_reserved_word_of_dynamodb(expressions: list[str]) -> None:
    reserved = {word.strip().upper() for word in RESERVED_WORDS.read_text(encoding="utf-8").splitlines()}
    words = {word for text in expressions for word in re.findall(r"(?<![:#\w])[A-Za-z_]\w*", text)}
    attributes = words - FUNCTIONS - KEYWORDS

    assert len(reserved) > 500
    assert {"provider", "version", "attention", "pending_count", "objects", "etag"} <= attributes
    assert not {word for word in attributes if word.upper() in reserved}


def test_changing_the_length_of_the_config_apis_key_makes_a_new_key() -> None:
    """A named resource can only be replaced by one with another name, and the value of a key cannot be changed.

    Sources: AWS::ApiGateway::ApiKey and AWS::SecretsManager::Secret, CloudFormation Template Reference.
    """
    before, after = (resolved(ConfigApiKeyLength=length) for length in ("40", "41"))

    assert {name for name in before if before[name] != after[name]} == {"ConfigApiKey", "ConfigApiKeySecret"}
    assert before["ConfigApiKey"]["Name"] != after["ConfigApiKey"]["Name"]
    assert after["ConfigApiKeySecret"]["GenerateSecretString"]["PasswordLength"] == "41"


def resolved(**parameters: str) -> dict[str, Any]:
    """Logical id -> properties, with the values of references."""
    template = template_with(**parameters)
    lookups = Names(template, None)
    return {name: resolve(resource.properties, lookups) for name, resource in template.resources.items()}


def environments() -> dict[str, list[str]]:
    """Environment of samconfig.toml -> its parameter overrides."""
    settings = tomllib.loads((ROOT / "samconfig.toml").read_text(encoding="utf-8"))
    return {
        name: table["deploy"]["parameters"]["parameter_overrides"]
        for name, table in settings.items()
        if isinstance(table, dict)
    }


@pytest.mark.parametrize("name", environments())
def test_an_environment_names_the_parameters_that_must_not_keep_an_old_value(name: str) -> None:
    given = dict(override.split("=", 1) for override in environments()[name])

    assert set(given) <= set(written()["Parameters"])
    assert given["Env"] == {"default": "dev"}.get(name, name)
    assert given["ScheduleState"] == "ENABLED"
    assert given.get("Profile", "dev") == {"prod": "prod"}.get(name, "dev")


@pytest.mark.parametrize("path", [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md"], ids=lambda p: p.name)
def test_no_page_sets_a_parameter_on_the_command_line(path: Path) -> None:
    """SAM would replace the list of samconfig.toml by it, so that prod would lose Profile=prod."""
    commands = re.findall(r"(?:sam|make) deploy[^\n`]*--parameter-overrides", path.read_text(encoding="utf-8"))

    assert commands == []
