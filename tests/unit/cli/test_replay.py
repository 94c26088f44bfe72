"""Late objects of many providers: one run after the other for each provider, and which late data are settled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from cli.bulk import Outcome
from cli.commands import replay
from cli.commands.replay import LatePlan
from contract.manifest import Replay, StoredObject
from fanout.runs import RunRecord
from tests.unit.cli.api import Api, fanout, use

START = datetime(2026, 11, 22, 7, 30, tzinfo=UTC)
RANGES = [Replay(START + timedelta(hours=hour), START + timedelta(hours=hour)) for hour in range(3)]
LATE = StoredObject(key="late.json.gz", size=10, etag="e", last_modified=START)
RECORD = RunRecord.model_construct(status="succeeded", messages=2, rows=2, dollars=0.5)


class Runs:
    """Replaces `Starting`: the runs of some providers fail in their last round."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, plans: Mapping[str, int], *failing: str) -> None:
        self.rounds: list[dict[str, Any]] = []
        self.settled: list[str] = []
        self.failing = failing
        self.interrupt = False

        def plan(stack: object, name: str) -> LatePlan:
            return LatePlan(name, (LATE,) * plans[name], tuple(RANGES[: plans[name]]), None)

        monkeypatch.setattr(replay, "_plan_late", plan)
        monkeypatch.setattr(replay, "_settle", lambda stack, plan: self.settled.append(plan.provider))
        monkeypatch.setattr(replay, "check_startable", lambda stack, names: None)
        monkeypatch.setattr(replay, "time", SimpleNamespace(sleep=lambda seconds: None))
        monkeypatch.setattr(
            replay, "Starting", lambda op, inputs, suffix: SimpleNamespace(run=lambda **_: self(inputs))
        )
        use(Api({name: {"frequency": 60} for name in plans}), monkeypatch)

    def __call__(self, inputs: Mapping[str, str]) -> Outcome:
        self.rounds.append({name: json.loads(given)["replay"]["from"] for name, given in inputs.items()})
        done = {name: RECORD for name in inputs if name not in self.failing}
        outcome = Outcome(done=dict(done), failed={name: "no" for name in inputs if name in self.failing})
        outcome.interrupted = self.interrupt
        return outcome


def test_each_provider_s_ranges_are_sent_in_their_order_and_then_its_late_data_are_settled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs = Runs(monkeypatch, {"a": 2, "b": 1, "c": 0})

    done = fanout("replay", "--all", "--late", "--yes")

    assert done.exit_code == 0
    first, second = "2026-11-22T07:30:00Z", "2026-11-22T08:30:00Z"
    assert runs.rounds == [{"a": first, "b": first}, {"a": second}]
    assert runs.settled == ["c", "b", "a"]
    assert done.stdout == "2 of 2 providers replayed\n6 messages for 6 rows, $1.50\n"


def test_the_late_data_of_a_provider_whose_replay_fails_stay_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = Runs(monkeypatch, {"a": 2, "b": 1}, "a")

    done = fanout("replay", "--all", "--late", "--yes")

    assert (done.exit_code, len(runs.rounds), runs.settled) == (1, 1, ["b"])
    assert "1 of 2 providers replayed" in done.stdout
    assert "failed: a: no" in done.stdout


def test_an_interruption_names_the_providers_with_ranges_that_were_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = Runs(monkeypatch, {"a": 2, "b": 1})
    runs.interrupt = True

    done = fanout("replay", "--all", "--late", "--yes")

    assert (done.exit_code, len(runs.rounds), runs.settled) == (130, 1, ["b"])
    assert "1 provider not tried: a" in done.stdout


def test_a_dry_run_counts_the_late_objects_and_sends_none(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = Runs(monkeypatch, {"a": 2, "b": 1, "c": 0})

    done = fanout("replay", "--all", "--late", "--dry-run")

    assert done.stdout.startswith("3 objects of 2 providers arrived too late for any run\n")
    assert (runs.rounds, runs.settled) == ([], [])
