"""Times as operators write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from dateutil import tz
from hypothesis import given
from hypothesis import strategies as st

from cli.command import Operator
from cli.deployment import Where
from cli.errors import UsageError
from cli.times import moment, told

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
"""A Tuesday."""
BERLIN = tz.gettz("Europe/Berlin")


def at(day: int, hour: int = 0, minute: int = 0, month: int = 11) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("now", NOW),
        ("30m", NOW - timedelta(minutes=30)),
        ("6h", NOW - timedelta(hours=6)),
        ("2d", NOW - timedelta(days=2)),
        ("3 weeks ago", NOW - timedelta(weeks=3)),
        ("2026-11-21", at(21)),
        ("2026-11-22T09:30:00+02:00", at(22, 7, 30)),
        ("2026-11-22 09:30 UTC", at(22, 9, 30)),
        ("2026-11-22T09:30", at(22, 9, 30)),
        ("today", at(24)),
        ("Yesterday", at(23)),
        ("yesterday at 2pm", at(23, 14)),
        ("yesterday 14:00 +02:00", at(23, 12)),
        ("tuesday", at(24)),
        ("tuesday 13:00", at(17, 13)),
        ("last tuesday 14:00", at(17, 14)),
        ("last  fri noon", at(20, 12)),
        ("11:59", at(24, 11, 59)),
        ("12:01", at(23, 12, 1)),
        ("12am", at(24)),
    ],
)
def test_times_as_operators_write_them(text: str, meant: datetime) -> None:
    assert moment(text, NOW, UTC) == meant


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("30m", NOW + timedelta(minutes=30)),
        ("18:00", at(24, 18)),
        ("11:00", at(25, 11)),
        ("tuesday 11:00", at(1, 11, month=12)),
        ("tuesday 13:00", at(24, 13)),
        ("next tuesday", at(1, month=12)),
        ("tomorrow 08:00", at(25, 8)),
        ("2026-12-01", at(1, month=12)),
    ],
)
def test_times_ahead(text: str, meant: datetime) -> None:
    assert moment(text, NOW, UTC, ahead=True) == meant


@pytest.mark.parametrize("text", ["now", "yesterday", "last tuesday", "5m ago", "2026-11-24T12:00Z"])
def test_a_time_that_has_to_be_ahead_must_not_be_in_the_past(text: str) -> None:
    with pytest.raises(UsageError, match="is not in the future|is not a valid time"):
        moment(text, NOW, UTC, ahead=True)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2026-11-24", at(23, 23)),
        ("today", at(23, 23)),
        ("yesterday 14:00", at(23, 13)),
        ("yesterday 14:00 UTC", at(23, 14)),
        ("2026-07-01T10:00", at(1, 8, month=7)),
        ("2026-10-25T02:30+01:00", at(25, 1, 30, month=10)),
    ],
)
def test_without_a_zone_a_time_is_in_that_of_the_machine(text: str, meant: datetime) -> None:
    assert moment(text, NOW, BERLIN) == meant


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("2026-10-25T02:30", "occurs twice, because the clocks go back"),
        ("2026-03-29T02:30", "does not exist in CES?T, because the clocks go forward"),
    ],
)
def test_a_time_that_a_change_of_the_clocks_makes_ambiguous_is_rejected(text: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        moment(text, NOW, BERLIN)


@pytest.mark.parametrize(
    "text",
    ["", "5", "14", "2026", "11/12/2026", "march", "gestern", "yesterday 14", "yesterday 25:00", "13pm", "13:00 pm",
     "last", "last yesterday", "yesterday 14:00 CET", "2026-11-24 08:00 PST", "-5m", "1e3d", "5m6h",
     "99999999999d", f"{'9' * 5000}m", "800000d", "0001-01-01", "0001-01-01T00:00:00+01:00",
     "9999-12-31T23:59:59-01:00", "9999-12-31", "1969-12-31", "٣d", "\x1b[31m", "\ud800"],
    ids=lambda text: ascii(text[:30]),
)  # fmt: skip
def test_an_ambiguous_or_invalid_time_is_rejected_with_examples(text: str) -> None:
    with pytest.raises(UsageError, match="2026-11-22T07:30:00Z") as rejected:
        moment(text, NOW, UTC)
    assert "\x1b" not in str(rejected.value)


like_words = st.from_regex(r"(last |next )?[a-z]{3,9}( at)? [0-9:]{1,8} ?[ap]?m?", fullmatch=True)


@given(st.one_of(st.text(max_size=80), like_words))
def test_any_text_is_a_time_or_an_error_in_words(text: str) -> None:
    try:
        assert moment(text, NOW, BERLIN).utcoffset() == timedelta(0)
    except UsageError:
        return


@pytest.mark.parametrize(
    ("zone", "said"),
    [
        ("Europe/Berlin", "yesterday 14:00 is 2026-11-23 13:00:00Z (2026-11-23 14:00:00+01:00, CET)\n"),
        ("UTC", "yesterday 14:00 is 2026-11-23 14:00:00Z\n"),
    ],
)
def test_the_time_that_was_understood_is_printed_in_the_machine_s_zone_and_in_utc(
    zone: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TZ", zone)

    told(Operator(Where(None)), "yesterday 14:00", NOW)

    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", said)


def test_an_unknown_zone_of_the_machine_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "No/Such")

    with pytest.raises(UsageError, match="TZ names an unknown time zone"):
        moment("yesterday", NOW)


def test_a_time_that_is_not_in_the_future_is_shown_as_it_was_understood() -> None:
    with pytest.raises(UsageError, match="yesterday, that is 2026-11-23T00:00:00Z, is not in the future"):
        moment("yesterday", NOW, UTC, ahead=True)


@pytest.mark.parametrize(("text", "reason"), [("2026-02-30", "day is out of range"), ("nonsense", "an unknown form")])
def test_a_time_that_does_not_exist_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        moment(text, NOW, UTC)
