"""A purge whose providers start meanwhile, or whose objects S3 keeps."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from cli import purge
from cli.command import Operator
from cli.errors import OperatorError
from cli.purge import Holdings
from fanout.ledger import ProviderState
from tests.unit.cli.api import Api, fanout


class Ledger:
    """The ledger of idle providers."""

    def get(self, name: str) -> ProviderState:
        return ProviderState(provider=name, version=1)

    def get_many(self, names: list[str]) -> dict[str, ProviderState]:
        return {name: self.get(name) for name in names}


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Three listed providers; `deleted` has those whose data was deleted, `runs` the executions at each look."""
    found = SimpleNamespace(config_api=Api({name: {"frequency": 60} for name in "abc"}), ledger=Ledger(), deleted=[])
    found.runs = [set(), set()]
    found.executions = SimpleNamespace(running=lambda: found.runs.pop(0))
    found.data_bucket = "data"
    monkeypatch.setattr(Operator, "stack", found)
    monkeypatch.setattr(purge, "_models", lambda stack: [])
    monkeypatch.setattr(purge, "_remaining", lambda stack, names: ("change log: yours",))
    monkeypatch.setattr(
        purge,
        "holdings",
        lambda stack, name, *_: Holdings(name, listed=True, ledger_item=True, pending_objects=None, parts=()),
    )
    monkeypatch.setattr(purge, "delete_items", lambda stack, state: found.deleted.append(state.provider))
    return found


def test_a_provider_whose_run_starts_before_it_leaves_the_list_keeps_its_data(stack: Any) -> None:
    stack.runs = [set(), {"b-20261122T073000Z"}]

    done = fanout("remove", "--all", "--purge", "--yes", "--json")

    report = json.loads(done.stdout)
    assert (done.exit_code, sorted(stack.deleted), stack.config_api.listed) == (1, ["a", "c"], {})
    assert [one["provider"] for one in report["deleted"]] == ["a", "c"]
    assert report["failed"]["b"].startswith(
        "run b-20261122T073000Z has started; the provider is not in the list any more"
    )


def test_a_running_provider_stops_the_whole_order_before_anything_is_removed(stack: Any) -> None:
    stack.runs = [{"b-20261122T073000Z", "bb-20261122T073000Z"}]

    done = fanout("remove", "--all", "--purge", "--yes")

    assert (done.exit_code, stack.deleted, sorted(stack.config_api.listed)) == (2, [], ["a", "b", "c"])
    assert "runs in progress: b-20261122T073000Z;" in done.stderr


def test_a_provider_that_cannot_leave_the_list_keeps_its_data(stack: Any) -> None:
    def refuse(method: str, provider: str) -> Exception | None:
        return OperatorError("no") if (method, provider) == ("DELETE", "b") else None

    stack.config_api.refuse = refuse

    done = fanout("remove", "a", "b", "--purge", "--yes")

    assert (done.exit_code, stack.deleted, sorted(stack.config_api.listed)) == (1, ["a"], ["b", "c"])
    assert "failed: b: no" in done.stdout
    assert "not deleted: change log: yours" in done.stdout


def test_an_object_that_s3_keeps_is_an_error_that_names_it() -> None:
    kept = {"Errors": [{"Key": "runs/a", "Message": "Access Denied"}]}
    pages = [
        {"Versions": [{"Key": "runs/a", "VersionId": "1"}], "DeleteMarkers": [{"Key": "runs/b", "VersionId": "2"}]}
    ]
    asked: list[Any] = []

    def delete_objects(**given: Any) -> Any:
        asked.append(given["Delete"]["Objects"])
        return kept

    s3 = SimpleNamespace(
        get_paginator=lambda name: SimpleNamespace(paginate=lambda **_: pages), delete_objects=delete_objects
    )

    with pytest.raises(OperatorError, match="s3://data/runs/a was not deleted: Access Denied"):
        purge.delete_versions(s3, "s3://data/runs/")
    assert asked == [[{"Key": "runs/a", "VersionId": "1"}, {"Key": "runs/b", "VersionId": "2"}]]
