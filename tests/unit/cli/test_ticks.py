"""`fanout ticks` shows what the dispatcher did."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from cli.command import Operator
from cli.commands.ticks import ticks
from cli.deployment import Where
from cli.errors import Exit
from tests.unit.cli.test_logs import FUNCTIONS, Group, Stack


def latest() -> datetime:
    return datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5)


@pytest.fixture
def group() -> Iterator[Group]:
    from moto import mock_aws

    with mock_aws():
        yield Group(boto3.client("logs", region_name="us-east-1"), FUNCTIONS)


def write(group: Group, at: datetime, **counts: Any) -> None:
    report = {"scheduled_at": at.isoformat().replace("+00:00", "Z"), "faults": [], **counts}
    line = json.dumps({"message": "tick done", "report": report})
    group.write(f"{at:%Y/%m/%d}/dispatch[$LATEST]{at:%H%M}", line, at=at)


def context(group: Group, *, as_json: bool) -> Any:
    stack = Stack(group.logs)
    return SimpleNamespace(obj=Operator(Where(None), as_json, connect=lambda where: stack))  # type: ignore[arg-type,return-value]


def test_the_latest_ticks_are_listed_with_their_counts(group: Group, capsys: pytest.CaptureFixture[str]) -> None:
    at = latest()
    write(group, at - timedelta(minutes=15), due=4, started=3, deferred=1)
    write(group, at, due=2, started=2, deferred=0)

    assert ticks(context(group, as_json=True), hours=1, limit=1) == Exit.OK
    (shown,) = json.loads(capsys.readouterr().out)["ticks"]
    assert (shown["due"], shown["started"]) == (2, 2)

    assert ticks(context(group, as_json=False), hours=1) == Exit.OK
    heads, *rows = capsys.readouterr().out.splitlines()
    assert heads.split()[:5] == ["TICK", "PROVIDERS", "DUE", "STARTED", "RUNNING"]
    assert [row.split()[3:5] for row in rows] == [["2", "2"], ["4", "3"]]


@pytest.mark.parametrize("faults", [["acme: StartExecution: AccessDenied"], None])
def test_the_exit_status_is_1_after_a_fault_and_without_any_tick(
    group: Group, faults: list[str] | None, capsys: pytest.CaptureFixture[str]
) -> None:
    if faults:
        write(group, latest(), faults=faults)

    assert ticks(context(group, as_json=False)) == Exit.UNHEALTHY
    assert (faults[0] if faults else "No tick ended in this period") in capsys.readouterr().out
