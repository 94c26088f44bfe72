"""Small cases of roles: when a permission counts as allowed, missing or unused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.permissions import (
    AWS_MANAGED,
    Call,
    Grants,
    PolicyError,
    Statement,
    arn_of,
    grants,
    missing,
    unused,
)
from tests.template.reading import ROOT, template_with
from tools.iam import EVERYTHING

REGION, ACCOUNT = "us-east-1", "123456789012"
TABLE = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/ledger"
GRANTED: Grants = {
    "Role": [
        Statement("Allow", ("dynamodb:GetItem", "dynamodb:PutItem"), (TABLE,)),
        Statement("Allow", ("s3:Get*",), ("arn:aws:s3:::bucket/runs/*",)),
    ]
}
CALLS = [
    Call("Role", "dynamodb", "GetItem", "ledger"),
    Call("Role", "dynamodb", "PutItem", "ledger"),
    Call("Role", "s3", "GetObject", "bucket/runs/provider=a/manifest.json"),
    Call("operator", "s3", "CreateBucket", "bucket"),
]


def test_a_permission_that_is_allowed_and_used_is_neither_missing_nor_unused() -> None:
    assert missing(CALLS, GRANTED, REGION, ACCOUNT) == []
    assert unused(CALLS, GRANTED) == set()


@pytest.mark.parametrize(
    "call",
    [
        Call("Role", "dynamodb", "DeleteItem", "ledger"),
        Call("Role", "dynamodb", "GetItem", "another"),
        Call("Role", "dynamodb", "GetItem", "ledger/index/attention"),
        Call("Role", "s3", "GetObject", "bucket/change_log/part-0"),
        Call("Role", "s3", "PutObject", "bucket/runs/x"),
    ],
)
def test_another_action_or_resource_is_missing(call: Call) -> None:
    (line,) = missing([*CALLS, call], GRANTED, REGION, ACCOUNT)

    assert line.startswith(f"Role may not {call.permission} on arn:aws:")


def test_a_removed_permission_is_missing_and_an_added_one_is_unused() -> None:
    poorer = {"Role": GRANTED["Role"][1:]}
    richer = {"Role": [*GRANTED["Role"], Statement("Allow", ("sqs:SendMessage",), ("*",))]}

    assert len(missing(CALLS, poorer, REGION, ACCOUNT)) == 2
    assert unused(CALLS, richer) == {("Role", "sqs:SendMessage")}


def test_a_deny_takes_precedence() -> None:
    denied = {"Role": [*GRANTED["Role"], Statement("Deny", ("dynamodb:*",), ("*",))]}

    assert len(missing(CALLS, denied, REGION, ACCOUNT)) == 2


def test_a_call_without_a_recorded_resource_needs_only_the_action() -> None:
    assert missing([Call("Role", "dynamodb", "GetItem", None)], GRANTED, REGION, ACCOUNT) == []


@pytest.mark.parametrize(
    ("call", "arn"),
    [
        (Call("r", "sqs", "SendMessage", "http://127.0.0.1:1/123456789012/q"), f"arn:aws:sqs:{REGION}:{ACCOUNT}:q"),
        (Call("r", "glue", "StartJobRun", "job"), f"arn:aws:glue:{REGION}:{ACCOUNT}:job/job"),
        (Call("r", "states", "StartExecution", "arn:aws:states:x"), "arn:aws:states:x"),
        (Call("r", "xray", "PutTraceSegments", "whatever"), None),
    ],
)
def test_names_become_arns(call: Call, arn: str | None) -> None:
    assert arn_of(call, REGION, ACCOUNT) == arn


def test_every_role_of_the_template_can_be_read() -> None:
    found = grants(template_with(**EVERYTHING))

    assert len(found) == 12
    assert all(found.values())
    assert all(resource for s in found.values() for statement in s for resource in statement.resources)


def test_an_unknown_managed_policy_of_aws_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(AWS_MANAGED, "AWSXrayWriteOnlyAccess")

    with pytest.raises(PolicyError, match="add what it allows"):
        grants(template_with())


def test_the_reasons_for_unused_permissions_name_roles_that_exist() -> None:
    import yaml

    text = Path(ROOT, "tests/end_to_end/unused_permissions.yaml").read_text(encoding="utf-8")
    named = {role for entry in yaml.safe_load(text) for role in entry["roles"]}

    assert named <= set(grants(template_with(**EVERYTHING)))
