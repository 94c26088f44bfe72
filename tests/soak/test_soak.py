"""`make soak`, in small: the figures of a busy system, and what counts as wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.soak.__main__ import problems, soak, system

GOOD: dict[str, Any] = {
    "rows": 30,
    "missing": 0,
    "unexpected": 0,
    "repeated": 2,
    "ticks": 4,
    "ticks printed": 4,
    "ticks failed": 0,
    "ticks twice": 0,
    "failed starts": 0,
    "orders": 5,
    "orders that failed": 0,
    "requests": 500,
    "server errors": 0,
    "MB in the second third": 100,
    "MB in the last third": 105,
}


@pytest.mark.slow
def test_a_busy_system_sends_every_row_and_loses_no_tick(tmp_path: Path) -> None:
    with system(tmp_path, 90.0) as made:
        figures = soak(made, [f"provider-{number}" for number in range(4)], 2, 3)

    assert problems(figures, check_memory=False) == []
    assert (figures["rows"], figures["orders"], figures["requests"]) == (18, 2, 100)
    assert figures["ticks"] >= 3
    assert figures["MB in the last third"] > 50


def test_repeated_messages_are_allowed() -> None:
    assert problems(GOOD) == []


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("missing", 1, "missing: 1"),
        ("unexpected", 2, "unexpected: 2"),
        ("ticks failed", 1, "ticks failed: 1"),
        ("ticks twice", 1, "ticks twice: 1"),
        ("failed starts", 1, "failed starts: 1"),
        ("orders that failed", 1, "orders that failed: 1"),
        ("server errors", 3, "server errors: 3"),
        ("ticks", 3, "4 ticks ended, 3 left a report"),
        (
            "MB in the last third",
            111,
            "MB in the last third: 1.11 times that of the second; the limit is 1.1",
        ),
    ],
)
def test_what_is_wrong_is_named(name: str, value: int, said: str) -> None:
    assert problems({**GOOD, name: value}) == [said]
