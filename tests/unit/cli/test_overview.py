"""The overview of all providers, and what it reads for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from cli.overview import Overview, is_run_of, survey
from contract.failure import Failure
from contract.times import format_http_date
from fanout.health import Condition, FailedExecution
from fanout.ledger import ProviderState
from fanout.pending import Pending
from fanout.runs import Lease, Report, RunRecord

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


@dataclass
class Entries:
    listed: dict[str, object]

    def entries(self) -> Mapping[str, object]:
        return self.listed

    def report(self, provider: str, report: Report) -> None:
        raise AssertionError("an overview must not change anything")


@dataclass
class Items:
    states: dict[str, ProviderState] = field(default_factory=dict)
    read: list[str] = field(default_factory=list)

    def list_size(self) -> int:
        return 0

    def put_list_size(self, providers: int) -> None:
        raise AssertionError("an overview changes nothing")

    def attention(self) -> list[ProviderState]:
        return [state for state in self.states.values() if state.attention]

    def get_many(self, providers: Iterable[str]) -> dict[str, ProviderState]:
        self.read = list(providers)
        return {name: self.states[name] for name in self.read if name in self.states}


@dataclass
class Statuses:
    status_of: str | None = "RUNNING"
    asked: int = 0

    def running(self) -> set[str]:
        return {"r"} if self.status_of == "RUNNING" else set()

    def status(self, execution_arn: str) -> str | None:
        self.asked += 1
        return self.status_of


def entry(ago: timedelta | None, status: str = "succeeded", **more: object) -> dict[str, object]:
    last = {"last_success": format_http_date(NOW - ago)} if ago is not None else {}
    return {"frequency": 60, "status": status, **last, **more}


def lease(ago: timedelta, holds: timedelta = 2 * HOUR) -> Lease:
    return Lease(
        run_id="r", claimed_at=NOW - ago, expires_at=NOW - ago + holds, run_dir="s3://b/r/", execution_arn="arn"
    )


def look(one: object, state: ProviderState | None = None, status: str | None = "RUNNING") -> Overview:
    items = Items({"a": state} if state else {})
    return survey(Entries({"a": one}), items, Statuses(status), NOW, timedelta(minutes=30))


@pytest.mark.parametrize(
    ("one", "state", "status", "condition"),
    [
        (entry(0.5 * HOUR), None, None, Condition.WAITING),
        (entry(None), None, None, Condition.DUE),
        (entry(1.2 * HOUR), None, None, Condition.DUE),
        (entry(2 * HOUR), None, None, Condition.LATE),
        (entry(2 * HOUR, paused=True), None, None, Condition.PAUSED),
        ({"frequency": "often"}, None, None, Condition.INVALID),
        (entry(2 * HOUR), ProviderState(provider="a", last_success=NOW), None, Condition.WAITING),
        (entry(2 * HOUR, "running"), ProviderState(provider="a", lease=lease(HOUR)), "RUNNING", Condition.RUNNING),
        (entry(2 * HOUR, "running"), ProviderState(provider="a", lease=lease(HOUR)), "FAILED", Condition.STUCK),
        (entry(2 * HOUR, "running"), ProviderState(provider="a", lease=lease(HOUR)), None, Condition.STUCK),
        (entry(2 * HOUR, "running"), ProviderState(provider="a", lease=lease(3 * HOUR)), "RUNNING", Condition.STUCK),
        (entry(2 * HOUR, "failed"), ProviderState(provider="a", failures=2), None, Condition.FAILING),
    ],
)
def test_the_condition_of_a_provider(
    one: object, state: ProviderState | None, status: str | None, condition: Condition
) -> None:
    overview = look(one, state, status)

    assert [health.condition for health in overview.health] == [condition]
    assert overview.counts == {condition.value: 1}
    assert overview.healthy is (condition in (Condition.WAITING, Condition.DUE, Condition.PAUSED, Condition.RUNNING))


@pytest.mark.parametrize(
    ("ago", "pending", "condition", "late"),
    [
        (5 * HOUR, {}, Condition.IDLE, None),
        (30 * HOUR, {}, Condition.LATE, True),
        (5 * HOUR, {"a": Pending(1, 1, 1, NOW - 0.2 * HOUR)}, Condition.DUE, 12),
        (5 * HOUR, {"a": Pending(1, 1, 1, NOW - 2 * HOUR)}, Condition.LATE, 120),
        (0.5 * HOUR, {"a": Pending(1, 1, 1, NOW)}, Condition.WAITING, None),
        (None, {}, Condition.DUE, None),
    ],
)
def test_with_events_a_provider_is_late_only_for_pending_objects_or_a_full_check(
    ago: timedelta | None, pending: dict[str, Pending], condition: Condition, late: float | None
) -> None:
    entries, items = Entries({"a": entry(ago)}), Items()

    overview = survey(entries, items, Statuses(), NOW, timedelta(minutes=30), pending, timedelta(days=1))

    (health,) = overview.health
    assert health.condition is condition
    assert items.read == ([] if condition in (Condition.IDLE, Condition.WAITING) else ["a"])
    if late is not True:
        assert health.late_by == (late and timedelta(minutes=late))


FAILURE = Failure(type="RecordError", message="not JSON", line=7)


def test_a_failing_provider_has_its_failure_and_since_when_it_fails() -> None:
    record = RunRecord(run_id="r9", status="failed", started_at=NOW, ended_at=NOW, failure=FAILURE, failure_count=4)
    state = ProviderState(provider="a", failures=3, failing_since=NOW - HOUR, last_run=record)
    (health,) = look(entry(2 * HOUR, "failed"), state).health

    assert (health.failures, health.run_id, health.failure, health.failure_count) == (3, "r9", FAILURE, 4)
    assert health.details == "RecordError: line 7: not JSON (and 3 more)"
    assert (health.since, health.next_due, health.late_by) == (NOW - HOUR, NOW - HOUR, HOUR)


def test_a_ledger_item_is_read_only_if_the_entry_does_not_show_how_the_provider_is_doing() -> None:
    listed = {
        "fine": entry(0.5 * HOUR),
        "due": entry(2 * HOUR),
        "failed": entry(0.5 * HOUR, "failed"),
        "held": entry(2 * HOUR),
        "paused": entry(2 * HOUR, paused=True),
    }
    items = Items({"held": ProviderState(provider="held", lease=lease(HOUR))})

    survey(Entries(listed), items, Statuses(), NOW, HOUR)

    assert items.read == ["due", "failed"]


def test_the_execution_of_a_new_lease_is_not_checked() -> None:
    statuses = Statuses(None)
    items = Items({"a": ProviderState(provider="a", lease=lease(timedelta(minutes=1)))})

    overview = survey(Entries({"a": entry(2 * HOUR)}), items, statuses, NOW, HOUR)

    assert (statuses.asked, overview.counts) == (0, {"running": 1})


def test_the_worst_condition_is_first() -> None:
    listed = {"a": entry(0.5 * HOUR), "b": entry(3 * HOUR), "c": {"frequency": 0}, "d": entry(9 * HOUR)}

    overview = survey(Entries(listed), Items(), Statuses(), NOW, HOUR)

    assert [health.provider for health in overview.health] == ["c", "d", "b", "a"]


def test_an_execution_that_failed_before_it_took_the_lease_is_found_for_a_due_provider() -> None:
    failed = [
        FailedExecution("a-20261122T071500Z", NOW - 0.75 * HOUR, "FAILED"),
        FailedExecution("a-20261122T073000Z", NOW - 0.5 * HOUR, "TIMED_OUT"),
        FailedExecution("b-20261122T073000Z", NOW - 0.5 * HOUR, "FAILED"),
    ]
    listed = {"a": entry(2 * HOUR), "b": entry(0.5 * HOUR), "c": entry(1.2 * HOUR)}

    overview = survey(Entries(listed), Items(), Statuses(), NOW, HOUR, failed_executions=lambda: failed)

    found = {health.provider: (health.condition, health.run_id) for health in overview.health}
    assert found == {
        "a": (Condition.FAILING, "a-20261122T073000Z"),
        "b": (Condition.WAITING, None),
        "c": (Condition.DUE, None),
    }


def test_failed_executions_are_not_listed_while_no_provider_is_due() -> None:
    def listing() -> list[FailedExecution]:
        raise AssertionError("nothing is due")

    overview = survey(Entries({"a": entry(0.5 * HOUR)}), Items(), Statuses(), NOW, HOUR, failed_executions=listing)

    assert overview.counts == {"waiting": 1}


@pytest.mark.parametrize(
    ("run_id", "provider", "ours"),
    [
        ("acme-20261122T073000Z", "acme", True),
        ("acme-20261122T073000Z-m", "acme", True),
        ("acme-eu-20261122T073000Z", "acme", False),
        ("acme-20261122T073000Z", "acme-eu", False),
        ("my-own-name", "my-own", False),
    ],
)
def test_which_executions_are_of_a_provider(run_id: str, provider: str, ours: bool) -> None:
    assert is_run_of(run_id, provider) is ours


@pytest.mark.parametrize("status", ["failed", "running"])
def test_an_entry_shown_as_running_or_failed_is_checked_against_the_ledger(status: str) -> None:
    """The config API missed the report of the run's end."""
    items = Items({"a": ProviderState(provider="a", failures=3, failing_since=NOW - HOUR)})

    overview = survey(Entries({"a": entry(0.5 * HOUR, status)}), items, Statuses(), NOW, HOUR)

    assert items.read == ["a"]
    assert [(health.condition, health.failures) for health in overview.health] == [(Condition.FAILING, 3)]
