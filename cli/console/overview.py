"""The first page: counts by status, all providers with the worst first, and the latest ticks."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import dash_mantine_components as dmc
from dash import dcc, html

from contract.times import parse_iso

from ..commands.status import shrank
from ..output import counted, duration
from ..overview import Overview
from .parts import CONDITIONS, Part, grid, named, problem, table, text, when
from .watch import Watch

POLL_MILLISECONDS = 1500
STALE = timedelta(seconds=30)
SHOWN_TICKS = 6
COLUMNS: tuple[tuple[str, str, int, str | None], ...] = (
    ("Provider", "provider", 150, "ProviderLink"),
    ("Status", "status", 110, "Condition"),
    ("Last runs", "run", 170, "LastRuns"),
    ("Details", "why", 220, None),
    ("Pending objects", "objects", 80, None),
    ("Pending since", "waiting", 145, "when"),
    ("Last success", "success", 145, "when"),
    ("Next due", "due", 145, "when"),
    ("Failed runs in a row", "failures", 80, None),
    ("Engine", "engine", 80, None),
    ("Cost in 7 days (US dollars)", "dollars", 90, None),
    ("Group", "group", 90, None),
)
"""Heading, field of the row, width in pixels, and renderer; see assets/console.js."""
FILTERED = ("provider", "status", "why", "group")


MANY = {"run": "Run now", "retry": "Retry", "pause": "Pause", "resume": "Resume"}
"""Buttons for the selected providers."""


def frame(*, read_only: bool) -> Part:
    """The part of the page that is not refreshed."""
    selection = {
        "mode": "multiRow",
        "selectAll": "filtered",
        "checkboxes": not read_only,
        "headerCheckbox": not read_only,
    }
    orders = dmc.Group([dmc.Button(label, id={"many": do}, variant="default") for do, label in MANY.items()])
    chips = [dmc.Chip(name, value=name, id={"count": name}, size="sm", variant="outline") for name in CONDITIONS]
    return [
        html.H1("Overview", className="hidden"),
        html.Div(id="overview-live", role="status"),
        html.Div(dmc.ChipGroup(chips, id="conditions", multiple=True, value=[]), className="chips", role="group",
                 **named("Filter by status")),
        dmc.Group(
            [
                dmc.TextInput(id="search", label="Search providers", placeholder="name, group, error", debounce=False),
                html.Output(id="shown", className="aside"),
            ],
            align="end",
        ),
        grid("providers", [_column(*column) for column in COLUMNS], rowSelection=selection),
        None if read_only else html.Div(orders, className="changes", role="group", **named("Selected providers")),
        html.Section([html.H2("Latest ticks"), html.Div(id="ticks")]),
        dcc.Store(id="version"),
        dcc.Interval(id="overview-clock", interval=POLL_MILLISECONDS),
    ]  # fmt: skip


def _column(head: str, field: str, width: int, shown: str | None) -> dict[str, Any]:
    column: dict[str, Any] = {"headerName": head, "field": field, "width": width, "filter": field in FILTERED}
    if shown == "when":
        column["valueFormatter"] = {"function": "when(params.value)"}
        column["getQuickFilterText"] = {"function": "''"}
    elif shown:
        column["cellRenderer"] = shown
    if field == "status":
        column |= {"comparator": {"function": "worstFirst"}, "sort": "asc"}
    if field == "run":
        column |= {"valueGetter": {"function": "runsVersion(params)"}, "sortable": False}
        column["getQuickFilterText"] = {"function": "params.data.run || ''"}
    if field == "why":
        column |= {"flex": 1, "minWidth": width, "tooltipField": field}
    return column


def counts(watch: Watch) -> list[str]:
    """The label of each filter: the condition, and once they are known the number of providers and its trend."""
    if watch.overview is None:
        return CONDITIONS
    labels = []
    for name in CONDITIONS:
        trend = watch.trend(name)
        changed = f" ({trend[0]:+,} in {duration(trend[1])})" if trend and trend[0] else ""
        labels.append(f"{watch.overview.counts.get(name, 0):,} {name}{changed}")
    return labels


def live(watch: Watch, now: datetime) -> Part:
    """The age of the figures, or why they cannot be read."""
    if watch.problem:
        seen = watch.overview.at if watch.overview else None
        cure = f"The figures below are {duration(now - seen)} old." if seen else "There are no figures yet."
        return problem("Cannot read the stack", watch.problem, f"{cure} The console keeps trying.")
    if watch.overview is None:
        return html.P("Loading all providers …", className="empty")
    if now - watch.overview.at > STALE:
        return html.P(f"The figures are {duration(now - watch.overview.at)} old. Loading …")
    return [_state(watch.overview, now), *(html.P(text(sentence)) for sentence in watch.quarantine.sentences())]


def _state(overview: Overview, now: datetime) -> Part:
    if overview.missing_providers:
        return problem("The list of providers shrank", shrank(overview.missing_providers))
    if not overview.providers:
        return html.P("The list of providers is empty. Add one with `fanout providers add NAME`.", className="empty")
    healthy = "all healthy" if overview.healthy else "some need attention"
    windows = "".join(f" {window.text.capitalize()}: no run starts." for window in overview.maintenance)
    providers = counted(overview.providers, "provider")
    return html.P([f"{providers}; {healthy}.{windows} As of ", when(overview.at, now)])


def last_ticks(watch: Watch, now: datetime) -> Part:
    """The reports of the latest ticks as a table; None before the stack was first read."""
    if watch.overview is None:
        return None
    names = ("due", "started", "idle", "deferred", "failed_starts", "live")
    heads = ("Tick", *(f">{name.replace('_', ' ').capitalize()}" for name in names), "Faults")
    rows = [
        (when(parse_iso(tick["scheduled_at"]), now), *(text(tick.get(name)) for name in names),
         text("; ".join(map(str, tick.get("faults", ()))) or None))
        for tick in watch.ticks[:SHOWN_TICKS]
    ]  # fmt: skip
    return table("Providers by the tick's decision", heads, rows, "No tick ended in the last three hours.")
