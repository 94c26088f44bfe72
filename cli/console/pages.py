"""The pages of a provider, a run and the dead letters: a frame, and a part that is refreshed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

import dash_mantine_components as dmc
from dash import dcc, html
from rich.filesize import decimal as size

from contract.failure import Failure
from fanout.health import Condition
from fanout.providers import check_name
from fanout.run_state import RunState

from ..commands import runs
from ..commands.bookmark import facts_of as facts_of_bookmark
from ..commands.bookmark import report_of
from ..commands.mapping import read_mapping
from ..commands.replay import ReplayPlan
from ..commands.runs import RunLine
from ..commands.trace import Trace, facts_of
from ..deployment import Deployment
from ..failure import COLUMNS, rows_of_failures
from ..logs import short
from ..output import counted, duration, show
from ..overview import look_at
from ..registry import call
from . import dead_letters
from .charts import charts
from .parts import (
    Part,
    ask,
    badge,
    cell,
    facts,
    lines,
    link_provider,
    link_run,
    money,
    problem,
    section,
    table,
    text,
    when,
)
from .standing import standing
from .watch import Watch

SHOWN_RUNS = 60


def living() -> Part:
    """The part of a page that is loaded, and refreshed every two seconds."""
    return [dcc.Interval(id="clock", interval=2000), html.Div("Loading …", id="live", className="empty")]


# ---- a provider


def provider_frame(provider: str, read_only: bool) -> Part:
    """Heading, buttons and the replay's form."""
    check_name(provider)
    changes = [] if read_only else [_changes(provider)]
    return [html.H1(text(provider)), *changes, *living()]


def _changes(provider: str) -> Part:
    form = dmc.Group(
        [
            dmc.TextInput(
                id="replay-from", label="From", value="6h", description="6h, yesterday 14:00, ISO 8601; in UTC"
            ),
            dmc.TextInput(id="replay-to", label="To", value="now", description="now, 1h, ISO 8601; in UTC"),
            dmc.Button("Dry run", id={"plan": provider}, variant="default"),
        ],
        align="end",
    )
    note = "Sends a range of objects again, by their LastModified. A dry run counts them and sends nothing."
    return html.Div(
        [
            dmc.Group(
                [ask("Run now", "run", provider), ask("Pause", "pause", provider), ask("Resume", "resume", provider)]
            ),
            html.Details([html.Summary("Replay"), html.P(note), form, html.Div(id="planned", role="status")]),
        ],
        className="changes",
    )


def planned(plan: ReplayPlan) -> Part:
    """The result of a dry run, and the button that sends the objects."""
    span = f"modified from {show(plan.start)} to {show(plan.end)}"
    if not plan.objects:
        return html.P(f"No objects {span}, so nothing would be sent again.")
    return [
        html.P(f"{counted(plan.objects, 'object')} ({size(plan.bytes)}) {span} would be sent again."),
        facts([("first", text(plan.first)), ("last", text(plan.last))]),
        ask("Send again", "replay", plan.provider, start=plan.start.isoformat(), end=plan.end.isoformat()),
    ]


def provider_live(stack: Deployment, watch: Watch, provider: str, now: datetime) -> Part:
    """The provider's status, its runs, bookmark, entry and mapping."""
    entry = call(stack, "GET", check_name(provider))
    state, pending = stack.ledger.get(provider), stack.pending.of(provider)
    mapping, history = read_mapping(stack, provider), runs.history(stack, provider, SHOWN_RUNS).runs
    row, lease = watch.rows.rows.get(provider, {}), state.lease
    health = look_at(stack, provider, entry, state, now)
    status = [
        ("details", health.details),
        ("next due", health.next_due),
        ("frequency", f"{text(entry.get('frequency'))} minutes"),
        ("last success", health.last_success or "never"),
        ("pending", f"{counted(pending.objects, 'object')} ({size(pending.bytes)})" if pending.since else "none"),
        ("pending since", pending.since),
        ("lease taken at", lease.claimed_at if lease else None),
        ("cost in 7 days", money(row.get("dollars"))),
    ]
    last = next((line for line in history if line.status is not RunState.RUNNING), None)
    record = last.record if last else None
    failure = record.failure if record else None
    why = runs.error_of(last) if last else None
    late = health.failure if health.condition is Condition.LATE_DATA else None
    return [
        standing(health, now),
        problem("Late data", late.message, late.advice) if late else None,
        problem("The last run failed", why, failure.advice if failure else None) if why else None,
        _failures(record.failures, record.failure_count, now) if record else None,
        section("Status", facts(status, now)),
        section("Runs", charts(history, provider), _history(history, provider, now)),
        section("Bookmark", facts(facts_of_bookmark(report_of(state)), now)),
        section("Entry in the config API", lines([json.dumps(entry)], "")),
        section("Mapping", lines((mapping.text or "").splitlines(), "The mapping is empty.")) if mapping else None,
    ]


def _history(history: tuple[RunLine, ...], provider: str, now: datetime) -> Part:
    rows = []
    for line in history:
        started, status, *figures, run_id, error = (cell(value, now) for value in runs.row(line))
        rows.append((started, badge(status), *figures, link_run(run_id, provider), error))
    return table(f"The latest {SHOWN_RUNS} runs", runs.COLUMNS, rows, "No runs yet.")


# ---- a run


def run_frame(run_id: str) -> Part:
    """Heading."""
    return [html.H1(["Run ", html.Span(text(run_id), className="id")]), *living()]


def run_live(found: Trace, now: datetime, links: Sequence[tuple[str, str]] = ()) -> Part:
    """Everything about one run; `links` are names and addresses of pages in AWS's console."""
    elsewhere = [html.Li(html.A(name, href=address, target="_blank", rel="noopener")) for name, address in links]
    log = (line for entry in found.log for line in short(entry).splitlines())
    return [
        problem("The run failed", found.failure.in_one_line(found.failure_count), found.failure.advice)
        if found.failure
        else None,
        html.P(["Provider: ", link_provider(found.provider)]) if found.provider else None,
        section("Details", facts(facts_of(found), now)),
        _failures(found.failures, found.failure_count, now),
        _named("Quarantine", f"{found.record.quarantined:,} quarantined, such as", found.quarantined, now)
        if found.quarantined and found.record
        else None,
        section("Timeline", _states(found, now)),
        section("In AWS's console", html.Ul(elsewhere)) if elsewhere else None,
        section("Last log lines", lines(log, "No log lines yet.")),
    ]


def _failures(failures: Sequence[Failure], count: int, now: datetime) -> Part:
    """The failures of a run as a table, if there are several."""
    if count < 2:
        return None
    return _named("Errors", f"The first {len(failures)} of {counted(count, 'failure')}", failures, now)


def _named(title: str, caption: str, failures: Sequence[Failure], now: datetime) -> Part:
    rows = [tuple(cell(value, now) for value in row) for row in rows_of_failures(failures)]
    return section(title, table(caption, COLUMNS, rows, ""))


def _states(found: Trace, now: datetime) -> Part:
    execution = found.execution
    if execution is None:
        return html.P("Not available: Step Functions keeps executions for 90 days.", className="empty")
    end = execution.ended_at or now
    span = max((end - execution.started_at).total_seconds(), 0.001)
    rows = []
    for step in execution.steps:
        before = (step.entered_at - execution.started_at).total_seconds()
        seconds = step.seconds or 0
        took = "-" if step.seconds is None else f"{step.seconds:.1f} s"
        if step.seconds is None and execution.ended_at is None:
            seconds, took = span - before, "in progress"
        axis = html.Div(className="bar", style={"marginLeft": f"{before / span:.1%}", "width": f"{seconds / span:.1%}"})
        rows.append((text(step.state), when(step.entered_at, now), took, axis))
    heads = ("State", "Entered", ">Duration", f"Timeline of {duration(end - execution.started_at)}")
    return table("States of the execution", heads, rows, "The execution has not entered a state yet.")


# ---- dead letters


def dead_letters_live(stack: Deployment, read_only: bool, now: datetime) -> Part:
    """Each dead-letter queue with its first messages."""
    shown = []
    for queue in dead_letters.queues(stack):
        found = dead_letters.letters(stack, queue) if queue.messages else []
        rows = [(when(one.sent_at, now), text(one.received), html.Pre(text(one.body[:2000]))) for one in found]
        number = f"About {counted(queue.messages, 'message')}." if queue.messages else "Empty."
        may_redrive = queue.source and queue.messages and not read_only
        shown.append(
            section(
                queue.name,
                html.P(f"{queue.holds} {number}"),
                ask(f"Redrive to {queue.source}", "redrive", queue.name) if may_redrive else None,
                table("First messages", ("Sent", ">Receives", "Body"), rows, "") if rows else None,
            )
        )
    return shown
