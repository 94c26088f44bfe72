"""The replacement's bookmark follows AWS's documentation: LastModified, with a band of 15 minutes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from laptop_cloud.aws.glue_packages.awsglue.bookmarks import Listed, SourceState, unread

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def listed(name: str, minutes_before_noon: float, provider: str = "a") -> Listed:
    return Listed(f"s3://data/provider={provider}/{name}", NOON - timedelta(minutes=minutes_before_noon))


def names(objects: list[Listed]) -> list[str]:
    return [o.path.rpartition("/")[2] for o in objects]


def test_the_first_run_reads_everything_oldest_first() -> None:
    objects, _ = unread([listed("new", 1), listed("old", 600)], None, NOON)

    assert names(objects) == ["old", "new"]


def test_a_second_run_reads_only_newer_files() -> None:
    first = [listed("old", 600), listed("recent", 5)]
    _, state = unread(first, None, NOON)

    objects, _ = unread([*first, listed("later", -3)], state, NOON + timedelta(minutes=10))

    assert names(objects) == ["later"]


def test_a_file_of_the_band_that_the_listing_missed_is_read_by_the_next_run() -> None:
    _, state = unread([listed("recent", 5)], None, NOON)

    objects, _ = unread([listed("recent", 5), listed("missed", 14)], state, NOON + timedelta(minutes=10))

    assert names(objects) == ["missed"]


def test_a_file_that_appears_with_a_time_before_the_band_is_never_read() -> None:
    _, state = unread([listed("recent", 5)], None, NOON)

    objects, _ = unread([listed("recent", 5), listed("late", 16)], state, NOON + timedelta(minutes=10))

    assert names(objects) == []


def test_another_source_under_the_same_name_loses_its_unread_files() -> None:
    _, state = unread([listed("x", 60, provider="a")], None, NOON)

    objects, _ = unread([listed("old", 60, provider="b"), listed("recent", 5, provider="b")], state, NOON)

    assert names(objects) == ["recent"]


def test_an_overwritten_file_is_read_again() -> None:
    _, state = unread([listed("x", 5)], None, NOON)

    objects, _ = unread([listed("x", -1)], state, NOON + timedelta(minutes=10))

    assert names(objects) == ["x"]


def test_files_that_exceed_the_band_s_list_wait_for_the_next_run() -> None:
    listing = [listed("1", 3), listed("2", 2), listed("3", 1)]

    first, state = unread(listing, None, NOON, max_files_in_band=2)
    second, _ = unread(listing, state, NOON + timedelta(minutes=1), max_files_in_band=2)

    assert (names(first), names(second)) == (["1", "2"], ["3"])


@pytest.mark.parametrize(("minutes", "kept"), [(5, True), (20, False)])
def test_names_outside_the_band_are_dropped(minutes: int, kept: bool) -> None:
    _, state = unread([listed("x", 5)], None, NOON)

    objects, later = unread([listed("x", 5)], state, NOON + timedelta(minutes=minutes))

    assert names(objects) == []
    assert bool(later.band) is kept


def test_a_state_is_the_same_after_a_round_trip_through_json() -> None:
    _, state = unread([listed("x", 5)], None, NOON)

    assert SourceState.from_json(state.as_json()) == state
