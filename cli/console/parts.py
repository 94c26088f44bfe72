"""Components of pages. All text is escaped: it cannot become HTML, and control characters are visible."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import dash_ag_grid as dag
import dash_mantine_components as dmc
from dash import dcc, html

from contract.times import format_iso
from fanout.health import Condition

from ..output import dollars, duration, safe, show

Part = Any
"""A Dash component, a text, or a list of them."""
CONDITIONS = [condition.value for condition in Condition]
THEME = (
    "themeQuartz.withParams({backgroundColor: 'var(--mantine-color-body)', accentColor: 'var(--accent)',"
    " foregroundColor: 'var(--mantine-color-text)', headerBackgroundColor: 'var(--shade)',"
    " borderColor: 'var(--line)', browserColorScheme: 'inherit', fontSize: 14, spacing: 6})"
)


def text(value: object) -> str:
    """A value, as on the command line."""
    return safe(show(value))


def when(moment: datetime | None, now: datetime) -> Part:
    """A time in UTC with its age."""
    if moment is None:
        return "never"
    age = html.Span(f" ({aged(moment, now)})", className="aside")
    return html.Time([show(moment), age], dateTime=format_iso(moment))


def aged(moment: datetime, now: datetime) -> str:
    """How long ago a time was, or how far it is."""
    apart = now - moment
    return f"in {duration(-apart)}" if apart < timedelta() else f"{duration(apart)} ago"


def cell(value: object, now: datetime) -> Part:
    """A value, as on the command line, but a time with its age."""
    return when(value, now) if isinstance(value, datetime) else text(value)


def money(amount: float | None) -> str:
    """An amount in US dollars."""
    return "not measured" if amount is None else dollars(amount)


def facts(pairs: Iterable[tuple[str, Part]], now: datetime | None = None) -> Part:
    """A list of names and values; with `now`, values are converted as on the command line."""
    shown = [(name, cell(value, now) if now else value) for name, value in pairs]
    return html.Dl([part for name, value in shown for part in (html.Dt(name), html.Dd(value))])


def table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[Part]], empty: str) -> Part:
    """A table; columns whose name begins with '>' are numbers. Without rows, the text `empty` replaces it."""
    kinds = ["number" if head.startswith(">") else None for head in heads]
    body = [html.Tr([html.Td(cell, className=kind) for cell, kind in zip(row, kinds, strict=True)]) for row in rows]
    if not body:
        return html.P(empty, className="empty")
    names = [html.Th(head.lstrip(">"), scope="col", className=kind) for head, kind in zip(heads, kinds, strict=True)]
    grid = html.Table([html.Caption(caption), html.Thead(html.Tr(names)), html.Tbody(body)])
    return html.Div(grid, className="scroll", tabIndex=0, role="region", **named(caption))


def named(label: str) -> dict[str, Any]:
    """Keyword arguments with a part's label for screen readers."""
    return {"aria-label": label}


def section(title: str, *parts: Part) -> Part:
    """A section of a page, with its heading."""
    return html.Section([html.H2(title), *parts])


def lines(of: Iterable[str], empty: str) -> Part:
    """Lines of a file or a log."""
    shown = "\n".join(text(line.expandtabs()) for line in of)
    return html.Pre(shown or empty, tabIndex=0)


def badge(condition: str) -> Part:
    """A condition or a run's state; the color repeats the word."""
    return html.Span(condition, className=f"badge is-{condition.partition(' ')[0]}")


def problem(title: str, why: str, cure: str | None = None) -> Part:
    """A failure, with its cause and what to do."""
    shown = [html.P(safe(why), className="why"), *([html.P(cure)] if cure else [])]
    return dmc.Alert(shown, title=title, color="red", variant="outline", className="problem")


def link_provider(provider: str) -> Part:
    """A link to a provider's page."""
    return dcc.Link(safe(provider), href=f"/provider/{quote(provider, safe='')}")


def link_run(run_id: str, provider: str, shown: str | None = None) -> Part:
    """A link to a run's page."""
    return dcc.Link(shown or safe(run_id), href=f"/run/{quote(run_id, safe='')}?provider={quote(provider, safe='')}")


def ask(label: str, do: str, provider: str, **more: str) -> Part:
    """A button that requests a change; `cli.console.actions` describes its effect."""
    given = {"ask": do, "of": provider, "from": more.get("start", ""), "to": more.get("end", "")}
    return dmc.Button(label, id=given, variant="default", disabled=None)


def grid(name: str, columns: Sequence[dict[str, Any]], **options: Any) -> Part:
    """A table of providers that the browser sorts and filters. It only draws the rows in the window.

    `options` are further options of AG Grid.
    """
    return dag.AgGrid(
        id=name,
        columnDefs=columns,
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
            "rowBuffer": 2,
            "localeText": {"noRowsToShow": "No providers", "noMatchingRows": "No matching providers"},
            **options,
        },
        eventListeners={"cellKeyDown": ["openOnEnter(params)"]},
        className="grid",
    )
