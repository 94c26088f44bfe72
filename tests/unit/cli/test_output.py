"""Values as commands print them and operators write them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

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
