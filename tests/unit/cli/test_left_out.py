"""Statements of the command line and the console about providers, lists and objects that no run processes."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from cli.commands.status import group
from cli.console.watch import row
from cli.overview import Overview
from cli.quarantine import Quarantine
from fanout.health import Condition, Facts, Health, evaluate, unlisted
from fanout.ledger import ProviderState
from fanout.pending import Pending
from fanout.providers import ProviderEntry
from fanout.runs import LateData

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
LATE = LateData(found_at=NOW, objects=2, first=("log/provider=a/1",), oldest=NOW, newest=NOW)


def left_out() -> list[Health]:
    """An unlisted provider, a folder with a refused name, and a provider with late data."""
    pending = {name: Pending(1, 1, 7, NOW) for name in ("acme", "")}
    facts = Facts(tick=NOW, now=NOW, pending=pending)
    state = ProviderState(provider="a", last_success=NOW, late=LATE)
    return [*unlisted({}, facts), evaluate("a", ProviderEntry(frequency=15), state, facts)]


@pytest.mark.fault(39, 40)
def test_a_provider_that_is_not_listed_has_a_row_without_a_page() -> None:
    rows = {shown["id"]: shown for shown in (row(health, None) for health in left_out())}

    assert rows.keys() == {"acme", "provider=", "a"}
    assert ("href" in rows["acme"], "href" in rows["provider="], "href" in rows["a"]) == (False, False, True)
    assert (rows["acme"]["status"], rows["acme"]["objects"]) == ("unlisted", 1)
    assert rows["a"]["status"] == "late data"
    assert "log/provider=a/1" in rows["a"]["why"]


def test_causes_have_an_advice_for_each_kind() -> None:
    causes = {cause.cause: (cause.providers, cause.advice) for cause in group(left_out())}

    assert {name: providers for name, (providers, _) in causes.items()} == {
        "UnlistedProviderError: no run can process a folder of this name": ("provider=",),
        "UnlistedProviderError: not in the config API's list": ("acme",),
        "LateDataError: objects arrived too late for any run": ("a",),
    }
    assert all("fanout " in advice for _, advice in causes.values())


@pytest.mark.fault(44)
def test_late_data_is_shown_unless_something_worse_is() -> None:
    facts = Facts(tick=NOW, now=NOW, pending={})
    entry, state = ProviderEntry(frequency=15), ProviderState(provider="a", last_success=NOW, late=LATE)

    assert evaluate("a", entry, state, facts).condition is Condition.LATE_DATA
    assert evaluate("a", entry, state.model_copy(update={"failures": 1}), facts).condition is Condition.FAILING
    assert evaluate("a", entry, state.model_copy(update={"late": None}), facts).condition is Condition.WAITING


@pytest.mark.fault(39)
def test_the_console_says_that_the_list_shrank_and_what_is_in_the_quarantine() -> None:
    from cli.console import overview  # imports Dash

    def shown(missing: int) -> Any:
        found = Overview(at=NOW, providers=0, counts={}, missing_providers=missing, health=())
        watch = SimpleNamespace(problem=None, overview=found, quarantine=Quarantine(("acme",), ("b", "c"), True))
        return str(overview.live(watch, NOW))  # type: ignore[arg-type]

    assert "has lost 50 providers" in shown(50)
    assert "The list of providers is empty" in shown(0)
    for words in ("lines or objects of 1 provider (acme);", "objects of 2 providers (b, c);", "without a provider"):
        assert words in shown(0)
