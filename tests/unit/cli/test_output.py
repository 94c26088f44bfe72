"""Values as commands print them and operators write them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from cli.command import moment
from cli.errors import UsageError
from cli.output import as_json, dollars, duration
from contract.manifest import Replay
from fanout.health import Condition

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Example:
    at: datetime
    span: timedelta
    condition: Condition
    replay: Replay
    parts: tuple[int, ...]


def test_a_report_is_plain_json() -> None:
    report = Example(NOW, timedelta(minutes=2), Condition.LATE, Replay(NOW, NOW), (1, 2))

    assert json.loads(as_json(report)) == {
        "at": "2026-11-22T08:00:00Z",
        "span": 120.0,
        "condition": "late",
        "replay": {"start": "2026-11-22T08:00:00Z", "end": "2026-11-22T08:00:00Z"},
        "parts": [1, 2],
    }


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (timedelta(), "0s"),
        (timedelta(seconds=59), "59s"),
        (timedelta(minutes=5, seconds=10), "5m 10s"),
        (timedelta(hours=2), "2h"),
        (timedelta(days=2, hours=3, minutes=4), "2d 3h"),
        (-timedelta(minutes=1), "-1m 0s"),
    ],
)
def test_a_duration_has_its_two_largest_units(span: timedelta, text: str) -> None:
    assert duration(span) == text


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "$0.00"),
        (0.5, "$0.50"),
        (0.0147, "$0.015"),
        (0.000012, "$0.000012"),
        (0.00000012, "$0.00000012"),
        (1, "$1.00"),
        (1234.5, "$1,234.50"),
    ],
)
def test_an_amount_has_cents_and_a_small_one_has_two_significant_digits(amount: float, text: str) -> None:
    assert dollars(amount) == text


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("now", NOW),
        ("30m", NOW - timedelta(minutes=30)),
        ("6h", NOW - timedelta(hours=6)),
        ("2d", NOW - timedelta(days=2)),
        ("2026-11-21", datetime(2026, 11, 21, tzinfo=UTC)),
        ("2026-11-22T09:30:00+02:00", datetime(2026, 11, 22, 7, 30, tzinfo=UTC)),
    ],
)
def test_times_as_operators_write_them(text: str, meant: datetime) -> None:
    assert moment(text, NOW) == meant


@pytest.mark.parametrize(
    "text",
    ["yesterday", "2026-11-22T07:30:00", "5 m", "", "99999999999d", f"{'9' * 5000}m", "800000d", "0001-01-01",
     "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00", "9999-12-31", "1969-12-31", "٣d", "\x1b[31m", "\ud800"],
    ids=lambda text: ascii(text[:30]),
)  # fmt: skip
def test_an_invalid_time_is_rejected_with_examples(text: str) -> None:
    with pytest.raises(UsageError, match="2026-11-22T07:30:00Z"):
        moment(text, NOW)
