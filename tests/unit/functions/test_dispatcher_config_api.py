"""Fault cases 5 to 7: a config API that fails or lists invalid entries, and a fuzz test of its answer."""

from __future__ import annotations

import json
from datetime import UTC, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contract.times import format_http_date
from fanout.dispatcher import SHOWN, TickReport
from fanout.errors import (
    ConfigApiAccessError,
    ConfigApiAnswerError,
    ConfigApiUnavailableError,
    LedgerUnavailableError,
)
from tests.harness.dispatch import NOW, check_sums, names, started, with_api, world_of
from tests.harness.faults import Fault
from tests.harness.transport import Reply
from tests.harness.world import World

# ----------------------------------------------------------------------------------------------- 5. config API failing

INVALID_ANSWERS = {
    "HTML": Reply(body=b"<html>sign in</html>", headers={"Content-Type": "text/html"}),
    "truncated JSON": Reply(body=b'{"p": {"frequency": "1'),
    "an empty body": Reply(body=b""),
    "no content": Reply(status=204, body=b""),
    "a list": Reply(body=b"[]"),
    "null": Reply(body=b"null"),
    "not UTF-8": Reply(body=b'{"p\xff": {"frequency": 1}}'),
    "nested too deep": Reply(body=b'{"p": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "a redirect to another host": Reply(status=302, headers={"Location": "https://elsewhere.example/"}),
    "not found": Reply(status=404, body=b'{"message": "no such thing"}'),
    "a body over the cap": Reply(body=b" " * (33 * 2**20) + b"{}"),
}


@pytest.mark.fault(5)
@pytest.mark.parametrize("reply", INVALID_ANSWERS.values(), ids=INVALID_ANSWERS.keys())
def test_an_invalid_answer_is_an_error_and_never_an_empty_list(reply: Reply) -> None:
    world = with_api(world_of(0), reply)

    with pytest.raises(ConfigApiAnswerError) as error:
        world.tick(NOW)
    assert not world.executions.started
    assert "config API" in str(error.value)


@pytest.mark.fault(5)
@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_config_api_that_is_down_is_an_error_after_bounded_retries(status: int) -> None:
    with pytest.raises(ConfigApiUnavailableError, match=f"HTTP {status}; attempts: 3"):
        with_api(world_of(0), Reply(status=status)).tick(NOW)


def test_a_refused_key_is_an_error() -> None:
    with pytest.raises(ConfigApiAccessError):
        with_api(world_of(0), Reply(status=403)).tick(NOW)


def test_leases_of_orphaned_runs_are_released_even_while_the_config_api_is_down() -> None:
    world = world_of(1)
    world.claim("p00000", "run")
    world.clock.advance(minutes=121)
    world.faults.plan("config_api.entries", Fault.FAIL_BEFORE)

    with pytest.raises(ConfigApiUnavailableError):
        world.tick()

    assert world.ledger.items["p00000"].lease is None


@pytest.mark.parametrize("where", ["ledger.attention", "ledger.get_many"])
def test_nothing_is_started_without_the_ledger(where: str) -> None:
    world = world_of(3)
    world.faults.plan(where, Fault.FAIL_BEFORE)

    with pytest.raises(LedgerUnavailableError):
        world.tick(NOW)
    assert not world.executions.started


# ----------------------------------------------------------------------------------------------- 6. and 7. bad entries

BAD_ENTRIES: dict[str, object] = {
    "frequency is no number": {"frequency": "abc"},
    "frequency is negative": {"frequency": -1},
    "frequency is zero": {"frequency": 0},
    "frequency is huge": {"frequency": 10**30},
    "frequency is null": {"frequency": None},
    "date in another format": {"frequency": 1, "last_success": "2022-11-08T15:47:17Z"},
    "date is naive": {"frequency": 1, "last_success": "Tue, 08 Nov 2022 15:47:17"},
    "date with -0000": {"frequency": 1, "last_success": "Tue, 08 Nov 2022 15:47:17 -0000"},
    "date in the future": {"frequency": 1, "last_success": "Mon, 01 Jan 2035 00:00:00 GMT"},
    "status is unknown": {"frequency": 1, "status": "resting"},
    "no object": "every day",
}


@pytest.mark.guarantee("G5")
@pytest.mark.fault(6)
@pytest.mark.parametrize("bad", BAD_ENTRIES.values(), ids=BAD_ENTRIES.keys())
def test_a_bad_entry_is_reported_and_the_other_providers_start(bad: object) -> None:
    world = world_of(2)
    world.config_api.providers = {"p00000": {"frequency": "15"}, "bad": bad, "p00001": {"frequency": 15}}

    report = world.tick(NOW)

    assert started(world) == names(range(2))
    assert report.invalid == 1
    assert report.invalid_providers[0].startswith("bad: ")
    check_sums(report)


@pytest.mark.fault(7)
@pytest.mark.parametrize("name", ["../other", "a/b", "a\x00", "line\nbreak", "x" * 200, "prоvider", ""])
def test_a_bad_name_is_reported_and_never_used_in_an_execution(name: str) -> None:
    world = world_of(1)
    world.provider(name)

    report = world.tick(NOW)

    assert started(world) == names([0])
    assert report.invalid == 1
    assert all(line.isascii() and line.isprintable() for line in report.invalid_providers)


def test_a_thousand_bad_entries_make_a_short_report() -> None:
    world = world_of(0)
    world.config_api.providers = {f"bad name {n} {'x' * 500}": n for n in range(1000)}

    report = world.tick(NOW)

    assert report.invalid == 1000
    assert len(report.invalid_providers) == SHOWN == 20
    assert len(json.dumps(report.__dict__)) < 10_000, "the names alone have half a million characters"


# ---------------------------------------------------------------------------------------------------------------- fuzz

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
dates = (
    st.sampled_from(["Tue, 08 Nov 2022 15:47:17 GMT", "Sun, 22 Nov 2026 07:29:00 GMT", "Mon, 01 Jan 2035 00:00:00 GMT"])
    | st.datetimes(timezones=st.just(UTC)).map(lambda moment: moment.strftime("%a, %d %b %Y %H:%M:%S GMT"))
    | scalars
)
nearly = st.fixed_dictionaries(
    {},
    optional={
        "frequency": st.integers(-5, 2000) | st.sampled_from(["1", "15", "1e3", "abc"]) | values,
        "last_success": dates,
        "status": st.sampled_from(["running", "succeeded", "failed", "x", None]) | values,
        "paused": st.booleans() | values,
        "group": st.text(max_size=3) | values,
        "note": values,
    },
)
provider_names = st.from_regex(r"[a-z][a-z0-9.-]{0,3}", fullmatch=True) | st.text(max_size=6)
answers = st.dictionaries(provider_names, nearly | values, max_size=6)
GOOD = {"good-1": {"frequency": "15"}, "good-2": {"frequency": 15, "last_success": "Tue, 08 Nov 2022 15:47:17 GMT"}}
SAFE = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


def plainly_good(name: str, raw: object) -> bool:
    """Whether an entry is valid by the contract, decided without the product's code."""
    if not isinstance(raw, dict) or not name or len(name) > 64 or not set(name) <= SAFE or ".." in name:
        return False
    if not (name[0].isalnum() and name[-1].isalnum()):
        return False
    try:
        frequency = raw["frequency"]
        minutes = float(frequency)
        if isinstance(frequency, bool) or not 1 <= minutes <= 366 * 24 * 60:
            return False
        last = raw.get("last_success")
        if last is not None:
            moment = parsedate_to_datetime(last)
            if format_http_date(moment) != last or moment > NOW + timedelta(minutes=5):
                return False
    except (KeyError, TypeError, ValueError, OverflowError):
        return False
    group = raw.get("group")
    return raw.get("status") in (None, "running", "succeeded", "failed") and (
        group is None or (isinstance(group, str) and 1 <= len(group) <= 64)
    )


def fuzzed(body: bytes) -> tuple[World, TickReport | None]:
    world = with_api(World(settings={"lambda_max_bytes": 0, "max_concurrent_runs": 1000}), Reply(body=body))
    try:
        return world, world.tick(NOW)
    except (ConfigApiAnswerError, ConfigApiUnavailableError):
        assert not world.executions.started
        return world, None


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(answers)
def test_for_any_json_of_the_config_api_good_entries_start_and_bad_ones_do_not(
    answer: dict[str, Any],
) -> None:
    world, report = fuzzed(json.dumps({**answer, **GOOD}).encode())
    next_page = isinstance(answer.get("next", ""), str) and answer.get("next")
    if report is None:
        assert next_page, "only a page with a link to another host makes valid JSON an invalid answer"
        return

    assert started(world) >= GOOD.keys()
    assert all(plainly_good(name, answer[name]) for name in started(world) - GOOD.keys())
    check_sums(report)


@settings(max_examples=150)
@given(st.binary(max_size=200) | answers.map(lambda answer: json.dumps(answer).encode()), st.data())
def test_for_any_bytes_of_the_config_api_only_documented_errors_are_raised(body: bytes, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(body)))
    world, report = fuzzed(body[:cut] + data.draw(st.binary(max_size=3)) + body[cut:])

    assert (report is None) or report.started == len(world.executions.started)


@pytest.mark.parametrize(
    "bad",
    [
        b'{"frequency": NaN}',
        b'{"frequency": -Infinity}',
        b'{"frequency": ' + b"9" * 5000 + b"}",
        b'{"frequency": 15, "frequency": 30}',
        b'{"frequency": 1e999}',
        b'{"frequency": "\\ud800"}',
        b'{"frequency": 15, "status": "\\ud800"}',
    ],
)
def test_unusual_json_values_invalidate_only_their_entry(bad: bytes) -> None:
    world, report = fuzzed(b'{"good-1": {"frequency": 15}, "bad": ' + bad + b', "good-2": {"frequency": 15}}')

    assert report is not None
    assert started(world) == {"good-1", "good-2"}
    assert report.invalid == 1


def test_a_provider_that_appears_twice_is_rejected() -> None:
    world, report = fuzzed(
        b'{"a": {"frequency": 15}, "good": {"frequency": 15}, "a": {"frequency": 60, "paused": true}}'
    )

    assert report is not None
    assert started(world) == {"good"}
    assert report.invalid_providers == ["a: the provider appears more than once in one answer"]
