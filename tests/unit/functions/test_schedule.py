"""The order of due providers, slots, limits of groups, and the names and inputs of executions."""

from __future__ import annotations

import math
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanout.health import Decision
from fanout.pending import Pending
from fanout.runs import RunRecord
from fanout.schedule import (
    Candidate,
    Slots,
    choose,
    execution_input,
    execution_name,
    is_heavy,
    overdue,
    rank,
)
from tests.harness.entries import MINUTE, NOW, entry, state

candidates_of_both_lanes = st.lists(
    st.builds(Candidate, st.text("abcdef", min_size=1, max_size=4), st.floats(0, 10), st.booleans()),
    unique_by=lambda c: c.provider,
    max_size=30,
)

# ------------------------------------------------------------------------------------------------- order and slots


def test_overdue_is_measured_in_the_frequency_of_the_provider_since_its_last_run() -> None:
    assert overdue(entry(60, NOW - 120 * MINUTE), state(), NOW) == 2
    assert overdue(entry(15, NOW - 120 * MINUTE), state(), NOW) == 8
    assert overdue(entry(60, NOW - 120 * MINUTE), state(last_claim=NOW - 30 * MINUTE), NOW) == 0.5
    assert overdue(entry(), state(), NOW) == math.inf


def test_a_provider_is_not_overdue_while_there_is_nothing_to_do() -> None:
    idle = entry(15, NOW - 600 * MINUTE)

    assert overdue(idle, state(), NOW, since=NOW) == 1
    assert overdue(idle, state(), NOW, since=NOW - 30 * MINUTE) == 3
    assert overdue(entry(15, NOW - 20 * MINUTE), state(), NOW, since=NOW - 30 * MINUTE) == pytest.approx(20 / 15)


@pytest.mark.parametrize(
    ("limit", "waiting", "engine", "heavy"),
    [
        (100, 0, None, False),
        (100, 0, "lambda", False),
        (100, 0, "glue", True),
        (100, 100, "glue", False),
        (100, 101, "lambda", True),
        (0, 0, None, True),
        (0, 1, "lambda", True),
    ],
)
def test_the_expected_engine_depends_on_the_pending_bytes_or_else_on_the_last_run(
    limit: int, waiting: int, engine: Any, heavy: bool
) -> None:
    last = engine and RunRecord(run_id="r", status="succeeded", started_at=NOW, ended_at=NOW, engine=engine)

    pending = Pending(objects=1, bytes=waiting) if waiting else None
    assert is_heavy(state(last_run=last), "change_log", limit, pending) is heavy


@pytest.mark.fault(51)
@pytest.mark.parametrize(
    ("job", "objects", "heavy"),
    [
        ("change_log", 17_000, False),
        ("change_log", 18_000, True),
        ("standardize", 700, False),
        ("standardize", 800, True),
    ],
)
def test_many_small_pending_objects_make_a_heavy_run(job: str, objects: int, heavy: bool) -> None:
    assert is_heavy(state(), job, 20_000_000, Pending(objects=objects, bytes=objects * 1000)) is heavy


@given(candidates_of_both_lanes, st.integers(0, 5))
def test_light_candidates_need_no_glue_slot_and_heavy_ones_use_all_free_slots(due: list[Candidate], slots: int) -> None:
    chosen, waiting = choose(due, slots)

    assert {c.provider for c in due if not c.heavy} == {c.provider for c in chosen if not c.heavy}
    assert sum(c.heavy for c in chosen) == min(slots, sum(c.heavy for c in due))
    assert all(c.heavy for c in waiting)


RUNNING, ENDED = True, False


def none_running() -> set[str]:
    return set()


def not_asked() -> set[str]:
    raise AssertionError("the latest executions say enough")


def test_a_slot_is_free_as_soon_as_its_execution_is_listed_as_ended() -> None:
    slots = Slots(2, function_slots=1)
    for name, group in (("a", "red"), ("b", None)):
        slots.take(name, f"{name}-run", NOW, heavy=True, group=group)
    slots.take("light", "light-run", NOW, heavy=False, group="red")

    slots.free_ended({"a-run": RUNNING, "b-run": ENDED, "light-run": RUNNING}, not_asked, NOW)
    assert (slots.free, slots.free_function_slots, slots.in_group) == (1, 0, Counter(red=2))
    slots.free_ended({"a-run": RUNNING, "light-run": ENDED}, not_asked, NOW)
    assert (slots.free, slots.free_function_slots, slots.in_group) == (1, 1, Counter(red=1))


@pytest.mark.parametrize(("heavy", "lag"), [(True, MINUTE), (False, timedelta(seconds=5))])
def test_a_run_that_no_list_has_keeps_its_slot_while_the_lists_may_lag(heavy: bool, lag: timedelta) -> None:
    slots = Slots(1, function_slots=1)
    slots.take("a", "a-run", NOW, heavy=heavy, group=None)

    slots.free_ended({"other-run": RUNNING}, not_asked, NOW + lag)
    assert slots.free + slots.free_function_slots == 1
    slots.free_ended({"other-run": RUNNING}, none_running, NOW + lag + MINUTE / 60)
    assert slots.free + slots.free_function_slots == 2


def test_a_run_that_is_older_than_the_latest_executions_is_looked_up_among_the_running_ones() -> None:
    slots = Slots(2)
    for name in ("a", "b"):
        slots.take(name, f"{name}-run", NOW, heavy=True, group=None)

    slots.free_ended({"other-run": ENDED}, lambda: {"a-run"}, NOW + 2 * MINUTE)

    assert slots.free == 1


def test_more_light_runs_than_slots_leave_none_free() -> None:
    slots = Slots(1, function_slots=1)
    for name in ("a", "b"):
        slots.take(name, f"{name}-run", NOW, heavy=False, group=None)

    assert slots.free_function_slots == 0


def test_light_candidates_wait_for_function_slots_and_heavy_ones_do_not() -> None:
    due = [
        Candidate(name, overdue, heavy=name.startswith("h")) for overdue, name in enumerate(("l1", "h1", "l2", "l3"))
    ]

    chosen, waiting = choose(due, slots=5, function_slots=2)

    assert ([c.provider for c in chosen], [c.provider for c in waiting]) == (["l3", "l2", "h1"], ["l1"])


# ------------------------------------------------------------------------------------------------- capacity and groups

candidates = st.lists(
    st.builds(
        Candidate,
        st.text("abcdef", min_size=1, max_size=4),
        st.floats(0, 10) | st.just(math.inf),
        st.just(True),
        st.none() | st.sampled_from(["red", "blue"]),
    ),
    unique_by=lambda c: c.provider,
    max_size=30,
)


@given(
    candidates,
    st.integers(0, 20),
    st.integers(0, 5),
    st.dictionaries(st.sampled_from(["red", "blue"]), st.integers(0, 6)),
)
def test_no_tick_starts_more_than_the_slots_or_than_a_groups_slots(
    due: list[Candidate], capacity: int, group_capacity: int, live: dict[str, int]
) -> None:
    chosen, deferred = choose(due, capacity, group_capacity, live)

    assert sorted(c.provider for c in chosen + deferred) == sorted(c.provider for c in due)
    assert len(chosen) <= capacity
    for group, count in Counter(c.group for c in chosen if c.group).items():
        if group_capacity:
            assert count <= max(0, group_capacity - live.get(group, 0))


@given(candidates, st.integers(0, 20), st.integers(0, 5))
def test_a_candidate_is_deferred_only_if_no_slot_is_free_for_it(
    due: list[Candidate], capacity: int, group_capacity: int
) -> None:
    chosen, deferred = choose(due, capacity, group_capacity)

    for candidate in deferred:
        ahead = [c for c in chosen if rank(c, "") < rank(candidate, "")]
        full = len(ahead) == capacity
        group_full = (
            bool(group_capacity and candidate.group)
            and sum(c.group == candidate.group for c in ahead) == group_capacity
        )
        assert full or group_full


@given(candidates, st.integers(0, 20), st.randoms())
def test_the_choice_does_not_depend_on_the_order_of_the_answer(
    due: list[Candidate], capacity: int, chance: Any
) -> None:
    shuffled = list(due)
    chance.shuffle(shuffled)

    assert choose(due, capacity) == choose(shuffled, capacity)


# -------------------------------------------------------------------------------------------------- names and inputs

names = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?", fullmatch=True)
ticks = st.datetimes(timezones=st.just(UTC)).map(lambda t: t.replace(microsecond=0))


@given(names, ticks)
def test_an_execution_name_is_valid_in_step_functions(name: str, tick: datetime) -> None:
    assert re.fullmatch(r"[0-9A-Za-z_-]{1,80}", execution_name(name, tick))


@given(names, names, ticks, ticks)
def test_two_providers_or_ticks_never_share_an_execution_name(
    one: str, other: str, tick: datetime, later: datetime
) -> None:
    same = (one, tick) == (other, later)

    assert (execution_name(one, tick) == execution_name(other, later)) is same


def test_a_name_that_looks_like_the_slug_of_another_gets_its_own_slug() -> None:
    slug = execution_name("a.b", NOW).rpartition("-")[0]

    assert execution_name(slug, NOW) != execution_name("a.b", NOW)
    assert execution_name("a_b", NOW) != execution_name("a.b", NOW)
    assert execution_name("A", NOW) != execution_name("a", NOW)
    assert execution_name("a.b_c", NOW) != execution_name("a_b.c", NOW), "their slugs are the same"


def test_the_input_is_always_the_same_bytes() -> None:
    assert execution_input("p", NOW) == '{"provider":"p","scheduled_at":"2026-11-22T07:30:00Z"}'


def test_a_plain_name_stays_readable_in_the_console() -> None:
    assert execution_name("provider-1", NOW) == "provider-1-20261122T073000Z"


@pytest.mark.parametrize("decision", list(Decision))
def test_the_report_of_a_tick_has_a_count_for_every_decision(decision: Decision) -> None:
    from fanout.dispatcher import TickReport

    assert getattr(TickReport(scheduled_at=""), decision.value) == 0


@pytest.mark.parametrize("length", [1, 59, 60, 61, 63, 64, 80, 100])
def test_the_name_of_a_provider_of_any_length_gives_a_valid_execution_name(length: int) -> None:
    assert len(execution_name("p" * length, datetime(2026, 11, 22, 7, 30, tzinfo=UTC))) <= 80


def test_providers_without_a_group_are_not_limited_by_the_slots_of_a_group() -> None:
    due = [Candidate(name, 1.0, heavy=False) for name in "ab"]

    assert len(choose(due, slots=0, group_slots=1)[0]) == 2


def test_without_a_limit_a_whole_group_starts() -> None:
    due = [Candidate(name, 1.0, heavy=False, group="g") for name in "abc"]

    assert len(choose(due, slots=0)[0]) == 3
