"""Which objects a run takes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.manifest import Replay, StoredObject
from fanout.errors import ReplayTooLargeError
from fanout.manifests import first_key, keeps_order, select, select_replay

NOW = datetime(2026, 11, 22, 7, 30, tzinfo=UTC)


def stored(key: str, minutes: float = 0, etag: str = "e", size: int = 1) -> StoredObject:
    return StoredObject(key=key, size=size, etag=etag, last_modified=NOW + timedelta(minutes=minutes))


def among(*identities: tuple[str, str]) -> Callable[[StoredObject], bool]:
    return lambda one: one.identity in identities


def keys(objects: tuple[StoredObject, ...]) -> list[str]:
    return [o.key for o in objects]


def test_objects_are_taken_by_time_and_then_by_key() -> None:
    listing = [stored("b", 1), stored("a", 1), stored("z", 0)]

    assert keys(select(listing, None, among(), 10, 10).objects) == ["z", "a", "b"]


def test_objects_before_the_window_and_objects_already_taken_are_skipped() -> None:
    listing = [stored("old", -1), stored("edge"), stored("seen", 1), stored("new", 1)]

    assert keys(select(listing, NOW, among(("seen", "e")), 10, 10).objects) == ["edge", "new"]


def test_an_overwritten_object_is_new_only_with_other_bytes() -> None:
    listing = [stored("other", 5, etag="new"), stored("same", 5, etag="old")]

    assert keys(select(listing, NOW, among(("other", "old"), ("same", "old")), 10, 10).objects) == ["other"]


def test_a_run_is_bounded_in_objects_and_counts_the_backlog() -> None:
    selection = select([stored(f"{n}", n) for n in range(10)], None, among(), 3, 10**9)

    assert (keys(selection.objects), selection.backlog) == (["0", "1", "2"], 7)


def test_a_run_is_bounded_in_bytes_but_takes_at_least_one_object() -> None:
    listing = [stored("huge", 0, size=100), stored("b", 1, size=4), stored("c", 2, size=4)]

    assert keys(select(listing, None, among(), 10, 10).objects) == ["huge"]
    assert keys(select(listing[1:], None, among(), 10, 8).objects) == ["b", "c"]
    assert keys(select(listing[1:], None, among(), 10, 7).objects) == ["b"]


def test_objects_over_either_limit_count_as_backlog() -> None:
    listing = [stored(f"{n}", n, size=4) for n in range(5)]

    assert select(listing, None, among(), 3, 8).backlog == 3
    with pytest.raises(ReplayTooLargeError):
        select_replay(listing, Replay(NOW, NOW + timedelta(hours=1)), 9, 8)


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 50)), max_size=30),
    st.integers(1, 6),
    st.integers(0, 100),
)
def test_a_backlog_is_worked_off_in_bounded_runs_without_leaving_or_repeating_any(
    objects: list[tuple[int, int]], most: int, most_bytes: int
) -> None:
    listing = [stored(f"{n:03}", minutes, size=size) for n, (minutes, size) in enumerate(objects)]
    taken: set[tuple[str, str]] = set()
    runs = []
    while selection := select(listing, None, among(*taken), most, most_bytes).objects:
        assert len(selection) <= most
        assert len(selection) == 1 or sum(o.size for o in selection) <= most_bytes
        runs.append(selection)
        taken |= {o.identity for o in selection}

    taken = [o for run in runs for o in run]
    assert taken == sorted(listing, key=lambda o: (o.last_modified, o.key))


def test_a_replay_takes_all_objects_of_its_range_including_both_ends() -> None:
    listing = [stored("before", -1), stored("first", 0), stored("last", 10), stored("after", 11)]
    replay = Replay(NOW, NOW + timedelta(minutes=10))

    assert keys(select_replay(listing, replay, 10, 10).objects) == ["first", "last"]


def test_a_replay_too_large_for_one_run_is_rejected_with_the_range_that_fits() -> None:
    listing = [stored(f"{n}", n) for n in range(5)]
    replay = Replay(NOW, NOW + timedelta(minutes=10))

    with pytest.raises(ReplayTooLargeError, match="2026-11-22T07:32:00Z"):
        select_replay(listing, replay, 3, 10)


def test_without_a_key_format_or_a_bookmark_a_listing_begins_at_the_beginning() -> None:
    assert first_key("log/provider=a/", NOW, "", timedelta(days=1)) == ""
    assert first_key("log/provider=a/", None, "%Y/", timedelta(days=1)) == ""


def test_a_listing_of_time_ordered_keys_begins_before_the_window() -> None:
    key = first_key("log/provider=a/", NOW, "%Y/%m/%d/%H/", timedelta(hours=24))

    assert key == "log/provider=a/2026/11/21/07/"


def test_a_listing_begins_at_the_key_of_the_utc_time_for_a_time_in_any_zone() -> None:
    there = NOW.astimezone(timezone(timedelta(hours=9)))

    assert first_key("p/", there, "%Y/%m/%d/%H/", timedelta(0)) == "p/2026/11/22/07/"


@given(
    st.integers(946_684_800, 3_786_912_000),
    st.integers(0, 10**6),
    st.sampled_from(["%Y/%m/%d/%H/", "%Y/%m/%d/", "year=%Y/month=%m/", "%Y%m%d%H%M%S"]),
)
def test_no_key_of_the_window_is_before_the_beginning_of_the_listing(second: int, later: int, form: str) -> None:
    since = datetime.fromtimestamp(second, UTC)
    written = since + timedelta(seconds=later)

    assert f"p/{written.strftime(form)}x" > first_key("p/", since, form, timedelta(0))


@pytest.mark.parametrize(
    "form", ["", "%Y/%m/%d/%H/", "%Y/%m/%d/", "year=%Y/month=%m/day=%d/", "%Y-%m-%dT%H%M", "%Y/%j/"]
)
def test_formats_in_which_later_times_sort_later_are_accepted(form: str) -> None:
    assert keeps_order(form)


@pytest.mark.parametrize("form", ["%d/%m/%Y/", "%m/%Y/", "%Y/%b/", "%Y/%m/%d/%I/", "%H/", "%Y/%d/", "%Y/%-m/"])
def test_formats_in_which_later_times_may_sort_earlier_are_rejected(form: str) -> None:
    assert not keeps_order(form)
