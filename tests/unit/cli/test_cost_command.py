"""`fanout cost` and the console's Cost page: the same figures, from the records of runs on S3."""

from __future__ import annotations

import importlib
import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.command import Operator
from cli.commands import cost
from cli.deployment import Where
from cli.spending import By
from fanout.errors import StorageUnavailableError
from tests.unit.cli.test_cost import NOW, record


class Records:
    """S3 with run folders and their records, of one provider that is in the list and one that is not."""

    days = (datetime(2026, 11, 20, 12, tzinfo=UTC), datetime(2026, 11, 21, 12, tzinfo=UTC))

    def __init__(self) -> None:
        self.found = {
            f"runs/provider={name}/{day:%Y%m%dT%H%M%SZ}_{name}-{day:%d}/": record(
                "glue", day, dollars=0.25 if name == "listed" else 1.0, run_id=f"{name}-{day:%d}"
            )
            for name in ("listed", "removed")
            for day in self.days
        }

    def paginate(self, Bucket: str, Prefix: str, Delimiter: str, StartAfter: str = "") -> Any:  # noqa: N803
        below = {Prefix + key.removeprefix(Prefix).partition("/")[0] + "/" for key in self.found if key > StartAfter}
        return [{"CommonPrefixes": [{"Prefix": one} for one in sorted(below) if one.startswith(Prefix)]}]

    def read(self, uri: str) -> bytes:
        return self.found[uri.removeprefix("s3://data/").removesuffix("record.json")].model_dump_json().encode()


@pytest.fixture
def stack() -> Any:
    """A stack with the runs of `Records`."""
    store = Records()
    return SimpleNamespace(
        client=lambda service: SimpleNamespace(get_paginator=lambda name: store),
        data_bucket="data",
        objects=store,
        config_api=SimpleNamespace(entries=lambda: {"listed": {"frequency": 60}}),
    )


@pytest.fixture
def fanout(monkeypatch: pytest.MonkeyPatch, stack: Any) -> Any:
    """Run `fanout cost` at `NOW`."""
    from cli.main import app

    monkeypatch.setattr(Operator, "stack", stack)
    monkeypatch.setattr(cost, "utc_now", lambda: NOW)
    monkeypatch.setenv("TZ", "UTC")
    return lambda *words: CliRunner().invoke(app, ["cost", *words, "--local"])


def test_the_command_measures_the_runs_of_a_range_also_of_a_provider_that_was_removed(fanout: Any) -> None:
    done = fanout("--from", "2026-11-20T12:00Z", "--to", "2026-11-21T12:00Z", "--json")

    report = json.loads(done.stdout)
    assert (report["by"], report["since"], report["until"]) == (
        "provider",
        "2026-11-20T12:00:00Z",
        "2026-11-21T12:00:00Z",
    )
    assert [(one["name"], one["runs"], one["dollars"]) for one in report["lines"]] == [
        ("removed", 1, 1.000125),
        ("listed", 1, 0.250125),
    ]
    assert (report["dollars"], report["dollars_a_month"]) == (1.25025, None)
    assert done.exit_code == 0


def test_the_command_shows_the_latest_days(fanout: Any) -> None:
    done = fanout("--by", "day")

    days = [row.split()[:5] for row in done.stdout.splitlines() if row.startswith("2026-")]
    assert days == [
        ["2026-11-20", "2", "0", "0", "$1.25"],
        ["2026-11-21", "2", "0", "0", "$1.25"],
        ["2026-11-22", "0", "0", "0", "$0.00"],
    ]
    assert "$2.50 from 2026-11-16 00:00:00Z to 2026-11-22 08:00:00Z, in 1d 20h since the first run" in done.stdout


def test_a_range_without_runs_says_so(fanout: Any) -> None:
    done = fanout("--to", "2026-11-17")

    assert done.stdout == "No runs were claimed from 2026-11-16 00:00:00Z to 2026-11-17 00:00:00Z.\n"
    assert done.exit_code == 0


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--from", "tomorrow"], "--from is in the future (2026-11-23 00:00:00Z); use a time in the past"),
        (["--to", "tomorrow"], "--to is in the future (2026-11-23 00:00:00Z); use a time in the past"),
        (["--from", "now"], "--from (2026-11-22 08:00:00Z) must be before --to (2026-11-22 08:00:00Z)"),
        (["--from", "1h", "--to", "2h"], "--from (2026-11-22 07:00:00Z) must be before --to (2026-11-22 06:00:00Z)"),
        (["--to", "2026-11-01"], "must be before --to (2026-11-01 00:00:00Z); use an earlier --from"),
        (["--from", "soon"], "'soon' is not a valid time"),
        (["--by", "month"], "'--by'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_range_that_is_empty_reversed_or_in_the_future_is_refused(fanout: Any, words: list[str], error: str) -> None:
    done = fanout(*words)

    assert error in done.stderr
    assert (done.exit_code, done.stdout) == (2, "")


def test_a_provider_whose_runs_cannot_be_read_is_named_and_not_included(
    fanout: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Records.read

    def fail(self: Records, uri: str) -> bytes:
        if "removed" in uri:
            raise StorageUnavailableError("S3 is not available")
        return read(self, uri)

    monkeypatch.setattr(Records, "read", fail)

    done = fanout("--json")

    assert (json.loads(done.stdout)["dollars"], done.exit_code) == (0.50025, 1)
    assert "not included: removed: S3 is not available" in done.stderr
    assert "the cost of 1 provider is not included" in done.stderr


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch, stack: Any) -> Any:
    """The console's data at `NOW`. It is imported by tests that need it, because dash takes seconds."""
    module = importlib.import_module("cli.console.watch")
    monkeypatch.setattr(module, "utc_now", lambda: NOW)
    monkeypatch.setattr(Operator, "stack", stack)
    return module.Watch(Operator(Where(None)))


def test_the_page_has_the_figures_of_the_command(fanout: Any, watch: Any) -> None:
    watch.rows.put({"listed": {"id": "listed", "href": "/provider/listed"}})
    reports = {by: json.loads(fanout("--by", by, "--json").stdout) for by in By}

    watch.measure_now(set(), everything=True)
    found = watch.evaluate()
    _, rows, _ = watch.cost_rows.since(None)

    assert (found.by_day.dollars, found.by_day.article_dollars) == (2.5005, reports[By.DAY]["article_dollars"])
    for lines, by in ((found.by_day.lines, By.DAY), (found.by_service, By.SERVICE)):
        expected = [(one["name"], one["dollars"]) for one in reports[by]["lines"]]
        assert [(one.name, one.dollars) for one in lines] == expected
    assert [(row["id"], row["href"], row["runs"], row["total"], row["glue"]) for row in rows] == [
        ("removed", None, 2, 2.00025, 2.0),
        ("listed", "/provider/listed", 2, 0.50025, 0.5),
    ]
    assert [one["dollars"] for one in reports[By.PROVIDER]["lines"]] == [2.00025, 0.50025]


def test_the_page_is_evaluated_again_five_seconds_after_a_measurement_or_after_a_minute(
    watch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def at(moment: datetime) -> Any:
        monkeypatch.setattr("cli.console.watch.utc_now", lambda: moment)
        return watch.evaluate()

    assert watch.evaluate() is None
    watch.measure_now({"listed"}, everything=False)
    first = at(NOW)
    again = at(NOW + timedelta(seconds=59))
    minute = at(NOW + timedelta(seconds=61))
    watch.measure_now({"removed"}, everything=False)
    soon = at(NOW + timedelta(seconds=66))
    measured = at(NOW + timedelta(seconds=67))
    days_later = at(NOW + timedelta(days=5))

    assert (again is first, soon is minute) == (True, True)
    assert (minute.by_day.until, minute.by_day.dollars) == (NOW + timedelta(seconds=61), 0.50025)
    assert measured.by_day.dollars == 2.5005
    assert (days_later.by_day.since.day, days_later.by_day.dollars) == (21, 1.25025), "without the 20th"


def test_a_page_does_not_wait_for_an_evaluation(watch: Any) -> None:
    watch.measure_now(set(), everything=True)
    assert watch.costs() is None
    evaluated = watch.evaluate()
    watch.measure_now({"listed"}, everything=False)

    assert watch.costs() is evaluated


def test_a_stack_without_runs_has_been_measured(watch: Any, stack: Any) -> None:
    stack.objects.found.clear()

    watch.measure_now(set(), everything=True)

    assert (watch.evaluate().by_day.dollars, watch.evaluate().by_day.lines, watch.measuring) == (0, (), 0)


def test_the_page_says_why_the_runs_cannot_be_read(watch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Records, uri: str) -> bytes:
        raise StorageUnavailableError("S3 is not available")

    monkeypatch.setattr(Records, "read", fail)
    costs = importlib.import_module("cli.console.costs")

    watch.measure_now({"listed"}, everything=False)

    assert "S3 is not available" in str(costs.state(watch))
    assert "Not measured yet" in str(costs.live(watch, watch.evaluate()))


def test_a_thousand_providers_are_sent_to_a_page_once_and_then_only_changes(
    watch: Any, stack: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = record("glue", NOW, dollars=0.25)
    names = [f"p{number:04}" for number in range(1000)]
    stack.objects.found = {f"runs/provider={name}/{NOW:%Y%m%dT%H%M%SZ}_r/": run for name in names}
    watch.measure_now(set(), everything=True)
    watch.evaluate()
    version, rows, _ = watch.cost_rows.since(None)

    stack.objects.found[f"runs/provider=p0007/{NOW:%Y%m%dT%H%M%SZ}_s/"] = run
    watch.measure_now({"p0007"}, everything=False)
    monkeypatch.setattr("cli.console.watch.utc_now", lambda: NOW + timedelta(seconds=10))
    watch.evaluate()

    assert len(rows) == 1000
    _, everything, changes = watch.cost_rows.since(version)
    assert (everything, [(row["id"], row["runs"]) for row in changes["update"]]) == (None, [("p0007", 2)])
