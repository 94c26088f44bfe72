"""The first page: counts by condition, all providers with the worst first, the last ticks."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import dash_ag_grid as dag
import dash_mantine_components as dmc
from dash import dcc, html

from cli.console.parts import CONDITIONS, Part, named, problem, table, text, when
from cli.console.watch import Watch
from cli.output import counted, duration
from fanout.times import parse_iso

POLL_MILLISECONDS = 1500
STALE = timedelta(seconds=30)
SHOWN_TICKS = 6
COLUMNS: tuple[tuple[str, str, int, str | None], ...] = (
    ("Provider", "provider", 160, "ProviderLink"),
    ("Is", "is", 100, "Condition"),
    ("Why", "why", 260, None),
    ("Waiting objects", "objects", 85, None),
    ("Waiting since", "waiting", 145, "when"),
    ("Last success", "success", 145, "when"),
    ("Next due", "due", 145, "when"),
    ("Failures in a row", "failures", 90, None),
    ("Run", "run", 150, "RunLink"),
    ("Engine", "engine", 80, None),
    ("US dollars, 7 days", "dollars", 110, None),
    ("Group", "group", 90, None),
)
"""Heading, field of the row, width in pixels, and how it is shown; see assets/console.js."""
FILTERED = ("provider", "is", "why", "group")
THEME = (
    "themeQuartz.withParams({backgroundColor: 'var(--mantine-color-body)', accentColor: 'var(--accent)',"
    " foregroundColor: 'var(--mantine-color-text)', headerBackgroundColor: 'var(--shade)',"
    " borderColor: 'var(--line)', browserColorScheme: 'inherit', fontSize: 14, spacing: 6})"
)


def frame() -> Part:
    """What stays while the figures change."""
    chips = [dmc.Chip(name, value=name, id={"count": name}, size="sm", variant="outline") for name in CONDITIONS]
    return [
        html.H1("Overview", className="hidden"),
        html.Div(id="overview-live", role="status"),
        html.Div(dmc.ChipGroup(chips, id="conditions", multiple=True, value=[]), className="chips", role="group",
                 **named("Show only providers of these conditions")),
        dmc.Group(
            [
                dmc.TextInput(id="search", label="Search providers", placeholder="name, group, error", debounce=False),
                html.Output(id="shown", className="aside"),
            ],
            align="end",
        ),
        dag.AgGrid(
            id="providers",
            columnDefs=[_column(*column) for column in COLUMNS],
            defaultColDef={
                "filterParams": {"maxNumConditions": len(CONDITIONS)},
                "wrapHeaderText": True,
                "autoHeaderHeight": True,
            },
            getRowId="params.data.id",
            dashGridOptions={
                "theme": {"function": THEME},
                "cacheQuickFilter": True,
                "ensureDomOrder": True,
                "enableCellTextSelection": True,
                "suppressColumnVirtualisation": True,
                "animateRows": False,
                "localeText": {"noRowsToShow": "No provider to show", "noMatchingRows": "No provider matches"},
            },
            eventListeners={"cellKeyDown": ["openOnEnter(params)"]},
            className="grid",
        ),
        html.Section([html.H2("The last ticks"), html.Div(id="ticks")]),
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
    if field == "is":
        column |= {"comparator": {"function": "worstFirst"}, "sort": "asc"}
    return column


def counts(watch: Watch) -> list[str]:
    """What each condition's chip says: how many, which, and how that has changed."""
    told = []
    for name in CONDITIONS:
        trend = watch.trend(name)
        changed = f" ({trend[0]:+,} in {duration(trend[1])})" if trend and trend[0] else ""
        told.append(f"{watch.overview.counts.get(name, 0) if watch.overview else 0:,} {name}{changed}")
    return told


def live(watch: Watch, now: datetime) -> Part:
    """What was looked at when, or why it cannot be seen."""
    if watch.problem:
        seen = watch.overview.at if watch.overview else None
        cure = f"What is shown below is {duration(now - seen)} old." if seen else "Nothing was seen yet."
        return problem("The stack cannot be looked at", watch.problem, f"{cure} The console goes on trying.")
    if watch.overview is None:
        return html.P("Looking at all providers …", className="empty")
    if now - watch.overview.at > STALE:
        return html.P(f"These figures are {duration(now - watch.overview.at)} old. Looking again …")
    if not watch.overview.providers:
        return html.P(
            "The config API lists no providers yet: `fanout providers add NAME` registers one.", className="empty"
        )
    healthy = "nobody has to do anything" if watch.overview.healthy else "somebody has to look"
    return html.P(
        [f"{counted(watch.overview.providers, 'provider')}; {healthy}. Looked at ", when(watch.overview.at, now), "."]
    )


def last_ticks(watch: Watch, now: datetime) -> Part:
    """What the dispatcher did lately."""
    names = ("due", "started", "idle", "deferred", "failed_starts", "live")
    heads = ("Tick", *(f">{name.replace('_', ' ').capitalize()}" for name in names), "Faults")
    rows = [
        (when(parse_iso(tick["scheduled_at"]), now), *(text(tick.get(name)) for name in names),
         text("; ".join(map(str, tick.get("faults", ()))) or None))
        for tick in watch.ticks[:SHOWN_TICKS]
    ]  # fmt: skip
    return table("Providers by what the tick decided", heads, rows, "No tick has ended in the last three hours.")
