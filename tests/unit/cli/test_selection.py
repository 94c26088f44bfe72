"""Which providers an order is for, and what happens to each of them."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from cli import overview, selection
from cli.errors import UsageError
from cli.selection import Wanted, select
from contract.failure import Failure
from fanout.errors import ConfigApiAnswerError, ConfigApiUnavailableError, InvalidProviderError
from fanout.health import Condition, Decision, Health
from tests.unit.cli.api import Api, fanout, use

ENTRIES: dict[str, object] = {
    "acme": {"frequency": 15, "group": "europe"},
    "beta": {"frequency": 15, "group": "europe"},
    "gamma": {"frequency": 60, "group": "asia"},
    "delta": {"frequency": "often"},
    "../evil\x1b[2J": {"frequency": 15, "group": "europe"},
    "list": [1],
}


def failing(provider: str, cause: str) -> Health:
    failure = Failure(type="CorruptObjectError", message=f"{provider}.gz: {cause}", cause=cause)
    return Health(provider, Condition.FAILING, Decision.BACKING_OFF, failure=failure)


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Api:
    """The config API of the stack that commands find."""
    found = Api(json.loads(json.dumps(ENTRIES)))
    health = [failing("acme", "is not gzip"), failing("gamma", "is not gzip"), failing("beta", "is empty")]
    monkeypatch.setattr(selection, "look", lambda stack: SimpleNamespace(health=health))
    use(found, monkeypatch)
    return found


def chosen(api: Api, **wanted: Any) -> tuple[str, ...]:
    return select(SimpleNamespace(config_api=api), Wanted(**wanted)).names  # type: ignore[arg-type]


def test_names_keep_their_order_and_conditions_sort(api: Api) -> None:
    assert chosen(api, names=("gamma", "acme")) == ("gamma", "acme")
    assert chosen(api, every=True) == ("acme", "beta", "delta", "gamma", "list")
    assert chosen(api, group="europe") == ("acme", "beta")
    assert chosen(api, match="*a") == ("beta", "delta", "gamma")


def test_conditions_are_combined(api: Api) -> None:
    assert chosen(api, group="europe", match="b*") == ("beta",)
    assert chosen(api, failing="CorruptObjectError", match="*") == ("acme", "beta", "gamma")
    assert chosen(api, failing="CorruptObjectError: is not", group="asia") == ("gamma",)
    assert chosen(api, failing="*empty*") == ("beta",)


def test_a_name_that_is_not_allowed_is_left_out_and_reported(api: Api) -> None:
    found = select(SimpleNamespace(config_api=api), Wanted(group="europe"))  # type: ignore[arg-type]

    assert found.left_out == ("../evil\x1b[2J",)
    said = fanout("pause", "--group", "europe", "--yes").stdout
    assert "left out, because the name is not allowed: ../evil\\x1b[2J" in said
    assert "\x1b" not in said


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ((), "no provider selected"),
        (("acme", "--all"), "exclude each other"),
        (("--group", "europe", "--all"), "exclude each other"),
        (("acme", "--match", "*"), "exclude each other"),
        (("--group", "europa"), "no provider is in the group europa; the groups are asia, europe"),
        (("--match", "x*"), "no provider matches x*"),
        (("--match", "list", "--group", "asia"), "no provider matches list"),
        (("--failing", "TypeError"), "causes: CorruptObjectError: is empty; CorruptObjectError: is not gzip"),
        (("acme", "other", "none"), "2 of 3 providers not found: other, none; nothing was changed"),
        (("acma",), "did you mean acme or gamma?"),
        (("acme", "../acme"), "is not allowed"),
        (("--match", "..*"), "not allowed: ../evil\\x1b[2J"),
    ],
)
def test_a_selection_that_is_wrong_changes_nothing(api: Api, words: tuple[str, ...], reason: str) -> None:
    done = fanout("pause", *words, "--yes")

    assert (done.exit_code, api.changes) == (2, [])
    assert reason in done.stderr


def test_nothing_can_be_selected_from_an_empty_list(api: Api) -> None:
    api.listed = {}

    with pytest.raises(UsageError, match="list of providers is empty"):
        chosen(api, every=True)
    with pytest.raises(InvalidProviderError):
        chosen(api, names=("a/b",))


def test_a_dry_run_counts_and_lists_and_changes_nothing(api: Api) -> None:
    api.listed = {f"p{number:03}": {"frequency": 15} for number in range(500)}

    done = fanout("remove", "--all", "--dry-run")

    assert done.stdout.startswith("500 providers would be removed: p000, p001, p002")
    assert "p009 and 490 more" in done.stdout
    assert api.changes == []


def test_several_providers_need_a_confirmation_that_says_how_many(api: Api) -> None:
    refused = fanout("pause", "--group", "europe")

    assert (refused.exit_code, api.changes) == (2, [])
    assert "2 providers selected: acme, beta" in refused.stderr
    assert 'Change 2 providers: {"paused": true}?' in refused.stderr
    assert fanout("pause", "acme").exit_code == 0
    assert api.changes == [("PATCH", "acme", {"paused": True})]


def test_500_providers_are_changed_and_removed(api: Api) -> None:
    api.listed = {f"p{number:03}": {"frequency": 15} for number in range(500)}

    changed = fanout("set", "--all", "--frequency", "30", "--new-group", "g", "--yes")

    assert changed.exit_code == 0
    assert changed.stdout == "500 of 500 providers changed\n"
    assert "450 of 500 changed" in changed.stderr
    assert {json.dumps(entry) for entry in api.listed.values()} == {'{"frequency": 30, "group": "g"}'}
    assert fanout("remove", "--all", "--yes").exit_code == 0
    assert api.listed == {}


def test_the_summary_names_what_failed_and_the_rest_is_done(api: Api) -> None:
    api.listed = {f"p{number}": {"frequency": 15} for number in range(30)}
    down = ConfigApiUnavailableError("the config API did not answer (HTTP 429; attempts: 5)")
    api.refuse = lambda method, provider: down if provider == "p7" else None

    done = fanout("pause", "--all", "--yes", "--json")

    report = json.loads(done.stdout)
    assert done.exit_code == 1
    assert (len(report["done"]), report["failed"], report["not_tried"]) == (29, {"p7": str(down)}, [])
    assert sum(entry.get("paused", False) for entry in api.listed.values()) == 29


def test_an_api_that_refuses_every_change_is_not_asked_500_times(api: Api) -> None:
    api.listed = {f"p{number:03}": {"frequency": 15} for number in range(500)}
    asked: list[str] = []

    def refuse(method: str, provider: str) -> Exception:
        asked.append(provider)
        return ConfigApiAnswerError("no", 405, "")

    api.refuse = refuse
    done = fanout("pause", "--all", "--yes")

    assert done.exit_code == 1
    assert len(asked) <= 20 + 16
    assert "failed: p000: this config API does not support PATCH; change p000 at its source" in done.stdout
    assert f"{500 - len(asked)} providers not tried" in done.stdout


def test_an_error_of_a_single_provider_keeps_its_exit_status(api: Api) -> None:
    api.refuse = lambda method, provider: ConfigApiUnavailableError("down")

    assert fanout("pause", "acme").exit_code == 3


def test_the_overview_is_read_only_for_a_cause(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "look", overview.look)

    assert fanout("pause", "--group", "asia", "--yes").exit_code == 0


@pytest.mark.parametrize("option", ["--group", "--match", "--failing"])
@pytest.mark.parametrize("order", [("remove", "--purge"), ("retry",), ("pause",)])
def test_an_empty_condition_selects_no_provider(api: Api, option: str, order: tuple[str, ...]) -> None:
    done = fanout(*order, option, "", "--yes")

    assert (done.exit_code, api.changes) == (2, [])
    assert "need a value that is not empty; nothing was changed" in done.stderr


def test_a_cause_of_providers_that_are_not_in_the_list_selects_none(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    health = [failing("acme", "is not gzip"), failing("unlisted", "not in the list")]
    monkeypatch.setattr(selection, "look", lambda stack: SimpleNamespace(health=health))

    with pytest.raises(UsageError, match="no provider in the list fails with CorruptObjectError: not in"):
        chosen(api, failing="CorruptObjectError: not in")
