"""Roles allow every call of a recorded run, and nothing else without a reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.end_to_end.recording import ACCOUNT, REGION, Recording, recording
from tests.harness.permissions import Call, Grants, Statement, grants, missing, read_calls, unused

__all__ = ["recording"]
pytestmark = [pytest.mark.spark, pytest.mark.slow]


@pytest.fixture(scope="module")
def calls(recording: Recording) -> list[Call]:
    return read_calls(recording.folder / "api_calls.jsonl")


@pytest.fixture(scope="module")
def granted(recording: Recording) -> Grants:
    return grants(recording.template, recording.physical_id)


@pytest.fixture(scope="module")
def reasons() -> dict[tuple[str, str], str]:
    """(role, action) that a run on the laptop cloud cannot use -> why it is allowed anyway."""
    path = Path(__file__).with_name("unused_permissions.yaml")
    table: list[dict[str, Any]] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {(role, action): entry["why"] for entry in table for role in entry["roles"] for action in entry["actions"]}


def test_every_kind_of_run_was_recorded(recording: Recording) -> None:
    ends = {e["name"].partition("-2")[0]: e["status"] for e in recording.state["executions"]}

    assert ends["tiny"] == ends["large"] == ends["quiet"] == ends["replay"] == "SUCCEEDED"
    assert ends["broken"] == "FAILED"
    assert ends["stopped-by-hand"] == "ABORTED"
    assert recording.state["ticks"][1]["released_leases"] == 1


def test_every_role_that_runs_code_made_calls(calls: list[Call], granted: Grants) -> None:
    assert set(granted) - {call.principal for call in calls} == {"TickRole", "ApiGatewayLogsRole"}


def test_every_call_is_allowed_on_its_resource(calls: list[Call], granted: Grants) -> None:
    assert missing(calls, granted, REGION, ACCOUNT) == []


def test_nothing_is_allowed_that_is_neither_used_nor_explained(
    calls: list[Call], granted: Grants, reasons: dict[tuple[str, str], str]
) -> None:
    never_used = unused(calls, granted)

    assert never_used - set(reasons) == set(), "allowed, never used, not explained in unused_permissions.yaml"
    assert set(reasons) - never_used == set(), "explained in unused_permissions.yaml, but used or not allowed"
    assert all(len(why) > 20 for why in reasons.values())


def test_the_removal_of_any_used_permission_is_noticed(calls: list[Call], granted: Grants) -> None:
    used = {(call.principal, call.permission) for call in calls if call.principal in granted}

    assert len(used) > 25
    for role, action in used:
        poorer = granted | {role: [_without(statement, action) for statement in granted[role]]}
        assert any(f"{role} may not {action}" in line for line in missing(calls, poorer, REGION, ACCOUNT)), (
            role,
            action,
        )


def test_the_removal_of_a_resource_is_noticed(calls: list[Call], granted: Grants) -> None:
    elsewhere = [Statement(s.effect, s.actions, ("arn:aws:s3:::elsewhere/*",)) for s in granted["ClaimFunctionRole"]]

    refused = missing(calls, granted | {"ClaimFunctionRole": elsewhere}, REGION, ACCOUNT)

    assert any(line.startswith("ClaimFunctionRole may not s3:PutObject on arn:aws:s3:::") for line in refused)


@pytest.mark.parametrize("role", ["DispatchFunctionRole", "ChangeLogJobRole"])
def test_an_added_permission_is_noticed(
    role: str, calls: list[Call], granted: Grants, reasons: dict[tuple[str, str], str]
) -> None:
    richer = granted | {role: [*granted[role], Statement("Allow", ("dynamodb:DeleteTable",), ("*",))]}

    assert unused(calls, richer) - set(reasons) == {(role, "dynamodb:DeleteTable")}


def _without(statement: Statement, action: str) -> Statement:
    return Statement(statement.effect, tuple(a for a in statement.actions if a != action), statement.resources)
