"""Providers with a time of day (`at`): when they are due, and which values are valid."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanout.errors import InvalidProviderError
from fanout.health import Decision, Facts, Health, decide, evaluate
from fanout.ledger import ProviderState
from fanout.pending import Pending
from fanout.providers import (
    ProviderEntry,
    parse_entries,
)
from fanout.schedule import sweep_time
from registry.document import checked
from tests.harness.entries import MINUTE, NOW, entry, state

FACTS = Facts(tick=NOW, now=NOW)


def decision(one: ProviderEntry, item: ProviderState, facts: Facts = FACTS) -> Decision:
    return decide("p", one, item, facts)


def health(one: ProviderEntry, item: ProviderState | None = None, facts: Facts = FACTS) -> Health:
    return evaluate("p", one, item, facts)


@pytest.mark.parametrize(
    ("frequency", "at", "minutes_ago", "next_due"),
    [
        (1440, "07:15", 10, 1440 - 15),
        (1440, "07:15", 15, 1440 - 15),
        (1440, "07:15", 16, -15),
        (240, "00:30", 90, 60),
        (1, "00:00", 1, 0),
        (1440, "08:00", 9 * 1440, 30 - 9 * 1440),
        (7 * 1440, "06:00", 0, 4 * 1440 - 90),  # NOW is a Sunday
    ],
)
def test_with_a_time_of_day_a_provider_is_due_next_at_a_time_of_its_schedule(
    frequency: float, at: str, minutes_ago: int, next_due: int
) -> None:
    assert health(entry(frequency, NOW - minutes_ago * MINUTE, at=at)).next_due == NOW + next_due * MINUTE


def test_with_a_time_of_day_a_provider_is_due_from_the_first_tick_at_or_after_it() -> None:
    daily = entry(1440, NOW - timedelta(days=1), at="07:30")
    assert decision(daily, state(), replace(FACTS, tick=NOW - MINUTE)) is Decision.WAITING
    assert decision(daily, state()) is Decision.DUE
    assert decision(daily, state(last_success=NOW)) is Decision.WAITING
    delayed = entry(1440, NOW - timedelta(hours=22), at="07:30")
    assert decision(delayed, state()) is Decision.DUE, "a delayed run does not shift the next one"
    assert health(daily, None, replace(FACTS, tick=NOW + 20 * MINUTE)).late_by == 20 * MINUTE


def test_with_a_time_of_day_objects_that_arrive_later_wait_for_the_next_one() -> None:
    daily = entry(1440, NOW - timedelta(days=1), at="07:00")

    def pending(minutes_ago: int) -> Facts:
        return replace(FACTS, pending={"p": Pending(1, 1, 1, NOW - minutes_ago * MINUTE)})

    assert decision(daily, state(), pending(30)) is Decision.DUE
    assert health(daily, None, pending(29)).decision is Decision.WAITING
    assert health(daily, None, pending(29)).next_due == NOW + timedelta(days=1) - 30 * MINUTE
    assert decision(entry(at="07:00"), state(), pending(29)) is Decision.DUE, "the first run does not wait"
    behind = replace(pending(29), backlogs=frozenset({"p"}))
    assert decision(daily, state(), behind) is Decision.DUE, "a backlog of 07:00 does not wait"


def test_with_a_time_of_day_a_full_check_waits_for_it_and_is_not_missed_if_the_tick_is_late() -> None:
    often = replace(FACTS, pending={}, sweep=15 * MINUTE)
    daily = entry(1440, NOW - timedelta(days=1), at="07:30")
    assert [
        (decision(daily, state(), replace(often, tick=NOW + late * MINUTE)), late) for late in (-1, 0, 29, 600)
    ] == [(Decision.WAITING, -1), (Decision.DUE, 0), (Decision.DUE, 29), (Decision.DUE, 600)]
    idle = health(daily, state(last_success=NOW), replace(often, tick=NOW + timedelta(days=1), sweep=timedelta(days=9)))
    assert idle.decision is Decision.IDLE
    assert idle.next_due is not None
    assert (idle.next_due.hour, idle.next_due.minute, idle.next_due.second) == (7, 30, 0)
    check = sweep_time("p", NOW + timedelta(days=1), timedelta(days=9)) + timedelta(days=9)
    assert timedelta(0) <= idle.next_due - check < timedelta(days=1)


def test_with_a_time_of_day_a_failed_run_is_tried_again_after_its_backoff() -> None:
    failed = state(failures=1, retry_at=NOW + 5 * MINUTE)
    daily = entry(1440, NOW - timedelta(days=1), at="07:15")
    assert decision(daily, failed) is Decision.BACKING_OFF
    assert health(daily, failed).next_due == NOW + 5 * MINUTE
    assert decision(daily, failed, replace(FACTS, tick=NOW + 5 * MINUTE)) is Decision.DUE


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"at": "24:00"}, "at: must be a time of day in UTC"),
        ({"at": "6:00"}, "at: must be a time of day in UTC"),
        ({"at": "06:00\n"}, "at: must be a time of day in UTC"),
        ({"at": 6}, "at: must be text"),
    ],
)
def test_an_invalid_time_of_day_concerns_one_provider_and_the_config_api_rejects_it(
    fields: dict[str, Any], fault: str
) -> None:
    given = {"frequency": 1440, **fields}
    valid, invalid = parse_entries({"p": given, "q": {"frequency": "720", "at": "23:59"}}, NOW)
    assert list(valid) == ["q"]
    assert fault in str(invalid["p"])
    with pytest.raises(InvalidProviderError, match=fault):
        checked("p", given, NOW)


@given(
    st.sampled_from([minutes for minutes in range(1, 1441) if 1440 % minutes == 0]),
    st.integers(0, 1439),
    st.integers(-(10**7), 10**7),
    st.none() | st.integers(-(10**4), 10**4),
)
def test_the_next_turn_is_the_first_time_of_the_schedule_after_the_success_with_work(
    frequency: int, minute: int, ago: int, work: int | None
) -> None:
    one = entry(frequency, at=f"{minute // 60:02}:{minute % 60:02}")
    success = NOW + ago * MINUTE
    work_since = None if work is None else success + work * MINUTE
    turn = one.next_turn(success, work_since)
    earlier = turn - frequency * MINUTE
    assert (turn.hour * 60 + turn.minute - minute) % frequency == 0
    assert (turn.second, turn.microsecond) == (0, 0)
    assert turn > success
    assert work_since is None or turn >= work_since
    assert earlier <= success or (work_since is not None and earlier < work_since), "there is no earlier time"


@given(
    st.sampled_from([15, 60, 240, 1440]),
    st.sampled_from(["00:00", "07:29", "07:30", "07:31"]),
    st.none() | st.integers(-5, 5_000),
    st.none() | st.integers(-5, 5_000),
    st.sampled_from([None, {}, {"p": Pending(1, 1, 1, NOW - 40 * MINUTE)}]),
    st.sampled_from([15, 1440, 10_000]),
)
def test_with_a_time_of_day_the_ledger_can_only_postpone_a_run(
    frequency: int, at: str, told: int | None, known: int | None, pending: Any, sweep: int
) -> None:
    """So that a ledger item need not be read if a provider is not due without it."""
    facts = replace(FACTS, pending=pending, sweep=sweep * MINUTE)
    one = entry(frequency, None if told is None else NOW - told * MINUTE, at=at)
    item = state(last_success=None if known is None else NOW - known * MINUTE)
    found = health(one, item, facts)
    if decide("p", one, None, facts) is not Decision.DUE:
        assert found.decision is not Decision.DUE
    if found.next_due is not None:
        assert (found.decision is Decision.DUE) == (found.next_due <= NOW)
    else:
        assert found.decision is Decision.DUE, "it never succeeded"
