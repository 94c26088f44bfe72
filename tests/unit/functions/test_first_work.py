"""Since when a provider has work to do, which decides its turn at a fixed time of the day."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest

from fanout.health import Condition, Decision, Facts, Health
from fanout.pending import Pending
from fanout.schedule import sweep_time
from tests.unit.functions.test_health import CHECK, EVENTS, FACTS, FAILURE, MINUTE, NOW, SWEEP

SUCCESS = NOW - 3 * SWEEP
PENDING = replace(EVENTS, pending={"p": Pending(1, 1, 1, NOW - 5 * MINUTE)})
FIRST_CHECK = sweep_time("p", SUCCESS, SWEEP) + SWEEP
"""The first full check after the success."""


@pytest.mark.parametrize(
    ("facts", "since"),
    [(PENDING, NOW - 5 * MINUTE), (EVENTS, CHECK), (FACTS, None), (replace(EVENTS, backlogs=frozenset({"p"})), None)],
    ids=["pending", "full check", "polling", "backlog"],
)
def test_there_is_work_since_the_oldest_pending_object_else_since_the_last_full_check(
    facts: Facts, since: datetime | None
) -> None:
    assert facts.work_since("p") == since


@pytest.mark.parametrize(
    ("facts", "since"),
    [
        (PENDING, NOW - 5 * MINUTE),
        (EVENTS, FIRST_CHECK),
        (FACTS, None),
        (replace(EVENTS, backlogs=frozenset({"p"})), None),
        (replace(PENDING, backlogs=frozenset({"p"})), None),
        (replace(EVENTS, backlogs=frozenset({"q"})), FIRST_CHECK),
    ],
    ids=["pending", "full check", "polling", "backlog", "backlog and pending", "backlog of another"],
)
def test_the_first_work_after_a_success_is_a_pending_object_or_the_next_full_check(
    facts: Facts, since: datetime | None
) -> None:
    assert SUCCESS < FIRST_CHECK <= SUCCESS + SWEEP
    assert facts.first_work("p", SUCCESS) == since


def test_details_are_the_failure_else_the_explanation() -> None:
    assert Health("p", Condition.FAILING, Decision.DUE, failure=FAILURE, why="x").details == FAILURE.in_one_line()
    assert Health("p", Condition.STUCK, Decision.RUNNING, why="its lease expired").details == "its lease expired"
