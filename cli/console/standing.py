"""The first line of a provider's page: whether it is healthy, since when, and what happens next."""

from __future__ import annotations

from datetime import datetime

from dash import html

from fanout.health import ON_HOLD, UNHEALTHY, Condition, Health

from ..output import counted, show
from .parts import Part, aged, badge, when

NEXT = {
    Condition.STUCK: "the next tick ends the orphaned run",
    Condition.FAILING: "the next attempt is due {due}",
    Condition.LATE: "the next tick with a free slot starts a run",
    Condition.RUNNING: "the bookmark moves if the run succeeds",
    Condition.DUE: "the next tick with a free slot starts a run",
    Condition.WAITING: "the next run is due {due}",
    Condition.IDLE: "a run starts if objects arrive; otherwise, the full check is due {due}",
    Condition.MAINTENANCE: "no run starts until the window ends",
    Condition.PAUSED: "no run starts until the provider is resumed",
}


def standing(health: Health, now: datetime) -> Part:
    """One sentence about a provider. If only an operator can end its condition, its error says what is next."""
    condition = health.condition
    verdict = "Needs attention" if condition in UNHEALTHY else "On hold" if condition in ON_HOLD else "Healthy"
    since = [" since ", when(health.since, now)] if health.since else []
    failed = f", {counted(health.failures, 'failed run')}" if health.failures else ""
    following = NEXT.get(condition, health.failure.advice if health.failure else "")
    due = health.next_due
    time = f"{aged(due, now)}, at {show(due)}" if due and due > now else "at the next tick"
    rest = f"{failed}. Next: {following.format(due=time).rstrip('.')}."
    return html.P([html.Strong(verdict), ": ", badge(condition), *since, rest], className="standing")
