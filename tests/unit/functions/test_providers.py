"""Entries of the config API: valid and invalid names, fields and values."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from contract.times import format_http_date, format_iso, parse_iso, parse_mail_date
from fanout.errors import InvalidProviderError
from fanout.providers import (
    CLOCK_SKEW,
    MAX_FREQUENCY_MINUTES,
    InvalidEntry,
    Maintenance,
    Window,
    check_name,
    describe,
    missing_providers,
    parse_entry,
    read_entries,
)

NOW = datetime(2026, 11, 22, 7, 30, tzinfo=UTC)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def refusal(raw: object, name: object = "p") -> str:
    with pytest.raises(InvalidProviderError) as refused:
        parse_entry(name, raw, NOW)
    return str(refused.value)


@pytest.mark.parametrize("name", ["a", "A1", "provider-1", "a.b_c-d", "x" * 64, "0"])
def test_a_name_of_the_allow_list_is_accepted_unchanged(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "../etc",
        "a/b",
        "a..b",
        ".a",
        "a.",
        "-a",
        "a\n",
        "a\x00b",
        "x" * 65,
        "x" * 200,
        "prоvider",  # a Cyrillic o
        "ａ",  # a full-width a
        "a b",
        "a%2Fb",
        "\ud800",
        "é",
        None,
        7,
    ],
)
def test_a_name_that_could_leave_its_prefix_or_look_like_another_is_refused(name: object) -> None:
    reason = refusal({"frequency": 1}, name)

    assert "provider name" in reason
    assert reason.isascii()
    assert len(reason) < 300


@given(st.text())
def test_no_name_that_is_unsafe_in_a_path_or_an_argument_is_accepted(name: str) -> None:
    try:
        check_name(name)
    except InvalidProviderError:
        return
    assert name.isascii()
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
    assert ".." not in name
    assert 1 <= len(name) <= 64


@pytest.mark.parametrize(
    ("frequency", "minutes"),
    [
        ("120", 120),
        (120, 120),
        (7.5, 7.5),
        ("7.5", 7.5),
        (" 15 ", 15),
        ("1e2", 100),
        ("015", 15),
        (1, 1),
        (MAX_FREQUENCY_MINUTES, 527040),
    ],
)
def test_frequency_may_be_a_number_or_a_string(frequency: object, minutes: float) -> None:
    assert parse_entry("p", {"frequency": frequency}, NOW).period == timedelta(minutes=minutes)


@pytest.mark.parametrize(
    "frequency",
    [
        *("abc", "", " ", "-15", "0", "1_000", "٣", "0x10", "inf", "nan", "15 minutes", "Infinity", "9" * 400, "1e999"),
        *(-15, 0, 0.5, 527041, 10**400, float("inf"), float("nan"), None, True, False, [], {}),
    ],
)
def test_the_error_of_an_invalid_frequency_names_its_field(frequency: object) -> None:
    assert refusal({"frequency": frequency}).startswith("p: frequency: ")


@pytest.mark.parametrize("frequency", ["abc", None, True, []])
def test_the_error_of_a_frequency_that_is_no_number_says_what_it_must_be(frequency: object) -> None:
    assert "must be a number of minutes" in refusal({"frequency": frequency})


def test_a_number_that_no_float_can_hold_is_refused_as_too_large() -> None:
    assert refusal({"frequency": 10**400}) == refusal({"frequency": float("inf")})


def test_a_missing_frequency_is_refused() -> None:
    assert "frequency" in refusal({"status": "succeeded"})


def test_a_last_success_is_read_to_the_second_in_utc() -> None:
    entry = parse_entry("p", {"frequency": 1, "last_success": "Tue, 08 Nov 2022 15:47:17 GMT"}, NOW)

    assert entry.last_success == datetime(2022, 11, 8, 15, 47, 17, tzinfo=UTC)


@pytest.mark.parametrize(
    "raw",
    [
        {"frequency": 1},
        {"frequency": 1, "last_success": None, "status": None, "paused": None, "group": None},
        {"frequency": 1, "last_success": "Thu, 01 Jan 1970 00:00:00 GMT", "status": "new"},
    ],
)
def test_a_last_success_that_is_absent_null_or_in_1970_means_never(raw: dict[str, Any]) -> None:
    entry = parse_entry("p", raw, NOW)

    assert (entry.last_success, entry.status, entry.group) == (None, None, None)
    assert not entry.paused


@pytest.mark.parametrize(
    "date",
    [
        "2022-11-08T15:47:17Z",  # another format
        "2022-11-08T15:47:17",  # naive
        "Tue, 08 Nov 2022 15:47:17",  # no zone
        "Tue, 08 Nov 2022 15:47:17 -0000",
        "Tue, 08 Nov 2022 15:47:17 +0060",
        "Tue, 08 Nov 2022 15:47:17 +2400",
        "Tue, 08 Nov 2022 15:47:17 CST",  # in America or in China
        "Tue, 08 Nov 2022 15:47:17 A",  # a military zone
        "Tue, 08 Nov 2022 15:47:17 Europe/Berlin",
        "Tue, 08 Nov 22 15:47:17 GMT",
        "Tuesday, 08-Nov-22 15:47:17 GMT",
        "Tue Nov  8 15:47:17 2022",
        "Tue Nov 08 15:47:17 UTC 2022",
        "Sat, 01 Jan 0001 00:00:00 +0100",
        "Wed, 08 Nov 2022 15:47:17 GMT",  # it was a Tuesday
        "Tue, 31 Feb 2022 15:47:17 GMT",
        "Tue, 08 Nov 2022 24:47:17 GMT",
        "Tue, 08 Nov 0000 15:47:17 GMT",
        "Tue, 08 Xyz 2022 15:47:17 GMT",
        "Tue, 08 Nov 2022 15:47:17 GMT GMT",
        "Tue, 08 Nov 2022 15:47:1\u0667 GMT",
        "",
        0,
        1667922437,
        [],
        True,
    ],
)
def test_the_error_of_an_invalid_last_success_names_its_field(date: object) -> None:
    reason = refusal({"frequency": 1, "last_success": date})

    assert reason.startswith("p: last_success: ")


@pytest.mark.fault(49)
@pytest.mark.parametrize(
    ("printed", "moment"),
    [
        pytest.param("Tue, 1 Dec 2026 09:00:00 GMT", datetime(2026, 12, 1, 9, tzinfo=UTC), id="Java, first of a month"),
        pytest.param("Tue, 1 Dec 2026 09:00:00 +0200", datetime(2026, 12, 1, 7, tzinfo=UTC), id="Java, another zone"),
        pytest.param("Tue, 1 Dec 2026 09:00 GMT", datetime(2026, 12, 1, 9, tzinfo=UTC), id="Kotlin, full minute"),
        pytest.param("Tue, 01 Dec 2026 09:00:07 UTC", datetime(2026, 12, 1, 9, 0, 7, tzinfo=UTC), id="Go RFC1123"),
        pytest.param("Tue, 01 Dec 2026 09:00:07 +0000", datetime(2026, 12, 1, 9, 0, 7, tzinfo=UTC), id="Go RFC1123Z"),
        pytest.param("Tue, 01 Dec 2026 01:00:07 -0800", datetime(2026, 12, 1, 9, 0, 7, tzinfo=UTC), id="Go, an offset"),
        pytest.param("Tue, 01 Dec 2026 09:00:07 GMT", datetime(2026, 12, 1, 9, 0, 7, tzinfo=UTC), id="JavaScript"),
        pytest.param("1 Dec 2026 09:00:07 Z", datetime(2026, 12, 1, 9, 0, 7, tzinfo=UTC), id="no weekday"),
        pytest.param("tue, 01 dec 2026 09:00:07 ut", datetime(2026, 12, 1, 9, 0, 7, tzinfo=UTC), id="lower case"),
        pytest.param(
            "Tue, 01 Dec 2026 09:00:07 +0000 (UTC)", datetime(2026, 12, 1, 9, 0, 7, tzinfo=UTC), id="a comment"
        ),
        pytest.param(
            "Mon, 30 Nov 2026 23:30:00 -0100", datetime(2026, 12, 1, 0, 30, tzinfo=UTC), id="another day in UTC"
        ),
    ],
)
def test_a_last_success_is_read_as_many_languages_print_it(printed: str, moment: datetime) -> None:
    now = datetime(2026, 12, 1, 12, tzinfo=UTC)

    assert parse_entry("p", {"frequency": 1, "last_success": printed}, now).last_success == moment


@given(st.datetimes(timezones=st.just(UTC)).map(lambda moment: moment.replace(microsecond=0)))
def test_every_written_http_date_is_read_back(moment: datetime) -> None:
    assert parse_mail_date(format_http_date(moment)) == moment


@given(st.datetimes(timezones=st.just(UTC)))
def test_every_written_iso_time_is_read_back(moment: datetime) -> None:
    assert parse_iso(format_iso(moment)) == moment


def test_a_last_success_ahead_by_at_most_the_clock_skew_is_accepted() -> None:
    ahead = format_http_date(NOW + CLOCK_SKEW)

    assert parse_entry("p", {"frequency": 1, "last_success": ahead}, NOW).last_success == NOW + CLOCK_SKEW


def test_a_last_success_further_ahead_is_rejected_because_it_would_delay_the_provider() -> None:
    ahead = format_http_date(NOW + CLOCK_SKEW + timedelta(seconds=1))

    assert "in the future" in refusal({"frequency": 1, "last_success": ahead})


@pytest.mark.parametrize(
    ("field", "value"),
    [("status", "unknown"), ("status", 1), ("paused", "perhaps"), ("paused", []), ("group", ""), ("group", 5)],
)
def test_the_error_of_an_invalid_field_names_it(field: str, value: object) -> None:
    assert refusal({"frequency": 1, field: value}).startswith(f"p: {field}: ")


@pytest.mark.parametrize("raw", [None, [], "x", 1, True])
def test_an_entry_that_is_not_an_object_is_rejected(raw: object) -> None:
    assert "must be an object" in refusal(raw)


def test_an_ambiguous_entry_is_rejected_with_its_reason() -> None:
    assert refusal(InvalidEntry("appears twice")) == "p: appears twice"


def test_unknown_fields_are_kept_even_if_named_like_internal_attributes() -> None:
    raw = {"frequency": 1, "owner": "team", "period": 5, "model_config": {}, "__class__": "x", "": [float("nan")]}

    entry = parse_entry("p", raw, NOW)

    assert entry.period == timedelta(minutes=1)
    assert entry.model_extra == {key: value for key, value in raw.items() if key != "frequency"}


@given(raw=json_values, secret=st.just("s3cret-value"))
def test_any_entry_is_accepted_or_rejected_without_quoting_a_value(raw: object, secret: str) -> None:
    for given_entry in (
        raw,
        {"frequency": secret, "last_success": secret, "status": secret, "paused": secret, "x": raw},
    ):
        reason = ""
        try:
            parse_entry("p", given_entry, NOW)
        except InvalidProviderError as refused:
            reason = str(refused)
        assert secret not in reason


class Strict(BaseModel, extra="forbid"):
    pass


def described(given: object) -> str:
    with pytest.raises(ValidationError) as refused:
        Strict.model_validate(given)
    return describe(refused.value)


def test_the_faults_of_a_model_are_three_at_most_with_names_of_at_most_80_characters() -> None:
    assert described(7).startswith("entry: ")
    assert described({"x" * 100: 1}).partition(":")[0] == "x" * 80
    assert [fault.partition(":")[0] for fault in described(dict.fromkeys("abcd")).split("; ")] == ["a", "b", "c"]


def test_an_integer_is_read_exactly_up_to_399_digits() -> None:
    entries = read_entries(b'{"a": %s, "b": %s}' % (b"9" * 399, b"9" * 400))

    assert (entries["a"], entries["b"]) == (10**399 - 1, float("inf"))


def test_a_window_without_a_group_is_for_all_providers() -> None:
    everyone = Window(None, NOW)

    assert everyone.text == "maintenance of all providers without an end"
    assert Window("g", NOW, NOW).text.startswith("maintenance of group g until ")
    assert Maintenance((everyone,)).of("g") is Maintenance((everyone,)).of(None) is everyone
    assert Maintenance((Window("g", NOW),)).of("h") is None


@pytest.mark.parametrize(("before", "listed", "missing"), [(0, 0, 0), (10, 6, 0), (10, 5, 5), (10, 0, 10), (1, 3, 0)])
def test_a_list_that_lost_half_of_its_providers_misses_them(before: int, listed: int, missing: int) -> None:
    assert missing_providers(before, listed) == missing
