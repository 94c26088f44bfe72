"""`fanout diff`, with answers of CloudFormation in the form of its API reference."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from cli.command import Operator
from cli.commands.diff import EFFECTS
from cli.deployment import Deployment
from tests.template.reading import ROOT, written
from tests.unit.cli.api import fanout

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
STACK = "glue-fanout-prod"
NO_CHANGES = "The submitted information didn't contain changes. Submit different information to create a change set."


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
    """The answers of CloudFormation about a stack with two parameters; each must be used."""
    session = boto3.session.Session("a", "b", region_name="us-east-1")
    stack = Deployment(session, STACK, None)
    parameters = [
        {"ParameterKey": "TickMinutes", "ParameterValue": "15"},
        {"ParameterKey": "Env", "ParameterValue": "prod"},
    ]
    stack.description = {"StackName": STACK, "Parameters": parameters}
    monkeypatch.setattr(Operator, "stack", stack)
    with Stubber(stack.client("cloudformation")) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


def described(answers: Stubber, *pages: list[dict[str, Any]], name: str = "cs", **other: Any) -> None:
    """Answer DescribeChangeSet with pages of resource changes."""
    for number, page in enumerate(pages):
        more = {"NextToken": str(number + 1)} if number + 1 < len(pages) else {}
        asked = {"NextToken": str(number)} if number else {}
        changes = [{"Type": "Resource", "ResourceChange": change} for change in page]
        answer = {
            "ChangeSetName": name,
            "CreationTime": NOW,
            "Status": "CREATE_COMPLETE",
            "ExecutionStatus": "AVAILABLE",
        }
        answers.add_response(
            "describe_change_set",
            {**answer, "Changes": changes, **more, **other},
            {"ChangeSetName": name, "StackName": STACK, **asked},
        )


def listed(answers: Stubber, *found: tuple[str, int, str]) -> None:
    """Answer ListChangeSets with names, ages in hours and execution statuses."""
    summaries = [
        {"ChangeSetId": name, "CreationTime": NOW - timedelta(hours=age), "ExecutionStatus": status}
        for name, age, status in found
    ]
    answers.add_response("list_change_sets", {"Summaries": summaries}, {"StackName": STACK})


def modified(name: str, kind: str, replacement: str, *details: dict[str, Any], **other: Any) -> dict[str, Any]:
    return {
        "Action": "Modify", "LogicalResourceId": name, "ResourceType": kind, "Replacement": replacement,
        "Details": list(details), **other,
    }  # fmt: skip


def detail(name: str, recreation: str, entity: str | None = None, attribute: str = "Properties") -> dict[str, Any]:
    named = {"Name": name} if attribute == "Properties" else {}
    target = {"Attribute": attribute, "RequiresRecreation": recreation, **named}
    return {
        "Target": target,
        "Evaluation": "Dynamic" if entity else "Static",
        **({"CausingEntity": entity} if entity else {}),
    }


QUEUE = modified(
    "ChangesQueue",
    "AWS::SQS::Queue",
    "True",
    detail("FifoQueue", "Always", "MessageOrder"),
    detail("FifoQueue", "Always"),
    detail("DeduplicationScope", "Never"),
    PolicyAction="ReplaceAndRetain",
)
FUNCTION = modified(
    "ClaimFunction",
    "AWS::Lambda::Function",
    "False",
    detail("Code", "Never"),
    detail("", "Never", attribute="Tags"),
)


def test_resources_with_data_are_first_with_what_is_lost_and_what_to_do(answers: Stubber) -> None:
    added = {"Action": "Add", "LogicalResourceId": "AnAlarm", "ResourceType": "AWS::CloudWatch::Alarm"}
    alias = {
        "Action": "Remove",
        "LogicalResourceId": "DataKeyAlias",
        "ResourceType": "AWS::KMS::Alias",
        "PolicyAction": "Delete",
    }
    described(
        answers, [added, FUNCTION], [alias, QUEUE], Parameters=[{"ParameterKey": "TickMinutes", "ParameterValue": "5"}]
    )

    done = fanout("diff", "cs")

    assert done.exit_code == 1
    assert [line.split() for line in done.stdout.splitlines()[3:10]] == [
        ["PARAMETER", "BEFORE", "AFTER"],
        ["TickMinutes", "15", "5"],
        ["ACTION", "RESOURCE", "TYPE", "REPLACEMENT", "CAUSE"],
        ["modify", "ChangesQueue", "AWS::SQS::Queue", "yes", "FifoQueue", "(MessageOrder)"],
        ["remove", "DataKeyAlias", "AWS::KMS::Alias", "-"],
        ["modify", "ClaimFunction", "AWS::Lambda::Function", "no", "Code,", "Tags"],
        ["add", "AnAlarm", "AWS::CloudWatch::Alarm", "-"],
    ]
    assert done.stdout.splitlines()[10:] == [
        f"ChangesQueue would be replaced. {EFFECTS['AWS::SQS::Queue']} The old one stays, outside of the stack.",
        "1 resource with data or executions may be replaced or removed. Nothing has changed yet.",
    ]


def test_without_a_loss_the_exit_status_is_0(answers: Stubber) -> None:
    role = modified("AJobRole", "AWS::IAM::Role", "True", detail("RoleName", "Always"), PolicyAction="ReplaceAndDelete")
    described(answers, [FUNCTION, role, modified("ChangesQueue", "AWS::SQS::Queue", "False", detail("Tags", "Never"))])

    done = fanout("diff", "cs", "--json")

    found = json.loads(done.stdout)
    assert done.exit_code == 0
    assert (found["stack"], found["change_set"], found["parameters"]) == (STACK, "cs", {})
    assert [(one["resource"], one["replacement"], one["effect"]) for one in found["changes"]] == [
        ("AJobRole", "yes", None),
        ("ChangesQueue", "no", None),
        ("ClaimFunction", "no", None),
    ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (modified("RunLedger", "AWS::DynamoDB::Table", "Conditional", detail("SSESpecification", "Conditionally")),
         "RunLedger may be replaced. A new table has no bookmarks"),
        ({"Action": "Remove", "LogicalResourceId": "Key", "ResourceType": "AWS::KMS::Key", "PolicyAction": "Retain"},
         "Key would be removed. Data that was encrypted with the old key"),
        (modified("ATable", "AWS::DynamoDB::Table", "True"), "ATable would be replaced. A new table is empty."),
        (modified("ChangeLogStateMachine", "AWS::StepFunctions::StateMachine", "True", PolicyAction="ReplaceAndDelete"),
         "Executions in progress are terminated."),
    ],
)  # fmt: skip
def test_what_may_be_lost_makes_the_exit_status_1(answers: Stubber, change: dict[str, Any], said: str) -> None:
    described(answers, [change])

    done = fanout("diff", "cs")

    assert done.exit_code == 1
    assert said in done.stdout
    assert ("The old one stays" in done.stdout) == ("Retain" in change.get("PolicyAction", ""))


def test_the_newest_change_set_that_was_not_executed_is_the_default(answers: Stubber) -> None:
    listed(
        answers,
        ("old", 5, "AVAILABLE"),
        ("new", 2, "AVAILABLE"),
        ("done", 1, "EXECUTE_COMPLETE"),
        ("gone", 1, "OBSOLETE"),
    )
    described(answers, [FUNCTION], name="new")

    assert fanout("diff").exit_code == 0


def test_a_parameter_that_keeps_its_value_is_not_shown(answers: Stubber) -> None:
    kept = [{"ParameterKey": "Env", "UsePreviousValue": True}, {"ParameterKey": "TickMinutes", "ParameterValue": "15"}]
    described(
        answers, [FUNCTION], Parameters=[*kept, {"ParameterKey": "New", "ParameterValue": "/a", "ResolvedValue": "b"}]
    )

    assert json.loads(fanout("diff", "cs", "--json").stdout)["parameters"] == {"New": [None, "b"]}


@pytest.mark.parametrize("reason", [NO_CHANGES, "No updates are to be performed."])
def test_a_change_set_without_changes_changes_nothing(answers: Stubber, reason: str) -> None:
    described(answers, [], Status="FAILED", ExecutionStatus="UNAVAILABLE", StatusReason=reason)

    done = fanout("diff", "cs")

    assert (done.exit_code, done.stdout.splitlines()[-1]) == (0, "Nothing would change.")


def creating(answers: Stubber) -> None:
    listed(answers, ("cs", 0, "UNAVAILABLE"), ("older", 1, "AVAILABLE"))
    described(answers, [], Status="CREATE_IN_PROGRESS", ExecutionStatus="UNAVAILABLE")


def failed(answers: Stubber) -> None:
    listed(answers, ("cs", 0, "UNAVAILABLE"))
    described(answers, [], Status="FAILED", ExecutionStatus="UNAVAILABLE", StatusReason="Template error: no")


def executed(answers: Stubber) -> None:
    listed(answers, ("cs", 0, "AVAILABLE"))  # and then another deployment begins
    described(answers, [], ExecutionStatus="OBSOLETE")


def none(answers: Stubber) -> None:
    listed(answers)


def unknown(answers: Stubber) -> None:
    listed(answers, ("cs", 0, "AVAILABLE"))
    answers.add_client_error("describe_change_set", "ChangeSetNotFound", "ChangeSet [cs] does not exist", 404)


MAKE = "make one with `make deploy CONFIG_ENV=prod ARGS=--no-execute-changeset`"


@pytest.mark.parametrize(
    ("answer", "status", "said"),
    [
        (creating, 2, "the change set cs is still being created; try again in a minute"),
        (failed, 1, "CloudFormation could not create the change set cs: Template error: no"),
        (executed, 2, f"the change set cs can no longer be executed (obsolete); {MAKE}"),
        (none, 2, f"the stack {STACK} has no change set that can be executed; {MAKE}"),
        (unknown, 2, f"the stack {STACK} has no change set cs; {MAKE}"),
    ],
)
def test_a_change_set_that_cannot_be_shown_is_an_error(
    answers: Stubber, answer: Callable[[Stubber], None], status: int, said: str
) -> None:
    answer(answers)

    done = fanout("diff")

    assert (done.exit_code, done.stderr.strip()) == (status, f"error: {said}")


def test_every_resource_that_the_stack_policy_protects_has_an_effect() -> None:
    resources = written()["Resources"]
    policy = json.loads((ROOT / "stack-policy.json").read_text(encoding="utf-8"))
    protected = {name.rpartition("/")[2] for one in policy["Statement"] for name in one["Resource"]} - {"*"}

    assert {name for name in protected if not EFFECTS.keys() & {name, resources[name]["Type"]}} == set()
