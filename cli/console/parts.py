"""What pages are made of. Every text goes into the page as text; what a terminal would not show is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import dash_mantine_components as dmc
from dash import dcc, html

from cli.output import dollars, duration, safe, show
from cli.overview import Condition
from fanout.times import format_iso

Part = Any
"""A component of Dash, a text, or a list of them."""


def text(value: object) -> str:
    """One value as the command line shows it."""
    return safe(show(value))


def when(moment: datetime | None, now: datetime) -> Part:
    """A time in UTC with its age."""
    if moment is None:
        return "never"
    apart = now - moment
    age = f"in {duration(-apart)}" if apart < timedelta() else f"{duration(apart)} ago"
    shown = moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    return html.Time([shown, html.Span(f" ({age})", className="aside")], dateTime=format_iso(moment))


def cell(value: object, now: datetime) -> Part:
    """A value of the command line: a time with its age, anything else as text."""
    return when(value, now) if isinstance(value, datetime) else text(value)


def money(amount: float | None) -> str:
    """US dollars."""
    return "not measured" if amount is None else dollars(amount)


def facts(pairs: Iterable[tuple[str, Part]], now: datetime | None = None) -> Part:
    """Names and values; with `now`, the values are those of the command line."""
    shown = [(name, cell(value, now) if now else value) for name, value in pairs]
    return html.Dl([part for name, value in shown for part in (html.Dt(name), html.Dd(value))])


def table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[Part]], empty: str) -> Part:
    """A table; columns whose name begins with '>' hold numbers. Without rows it says what that means."""
    kinds = ["number" if head.startswith(">") else None for head in heads]
    body = [html.Tr([html.Td(cell, className=kind) for cell, kind in zip(row, kinds, strict=True)]) for row in rows]
    if not body:
        return html.P(empty, className="empty")
    names = [html.Th(head.lstrip(">"), scope="col", className=kind) for head, kind in zip(heads, kinds, strict=True)]
    grid = html.Table([html.Caption(caption), html.Thead(html.Tr(names)), html.Tbody(body)])
    return html.Div(grid, className="scroll", tabIndex=0, role="region", **named(caption))


def named(label: str) -> dict[str, Any]:
    """Keyword arguments that give a part its name for screen readers."""
    return {"aria-label": label}


def section(title: str, *parts: Part) -> Part:
    """A part of a page under a heading."""
    return html.Section([html.H2(title), *parts])


def lines(of: Iterable[str], empty: str) -> Part:
    """Lines of a file or a log, each as text."""
    shown = "\n".join(text(line.expandtabs()) for line in of)
    return html.Pre(shown or empty, tabIndex=0)


def badge(condition: str) -> Part:
    """A condition or an outcome; the word says it, the colour only repeats it."""
    return html.Span(condition, className=f"badge is-{condition.partition(' ')[0]}")


def problem(title: str, why: str, cure: str | None = None) -> Part:
    """Something that went wrong, said plainly."""
    told = [html.P(safe(why), className="why"), *([html.P(cure)] if cure else [])]
    return dmc.Alert(told, title=title, color="red", variant="outline", className="problem")


def link_provider(provider: str) -> Part:
    """The way to a provider's page."""
    return dcc.Link(safe(provider), href=f"/provider/{quote(provider, safe='')}")


def link_run(run_id: str, provider: str | None) -> Part:
    """The way to a run's page."""
    ending = f"?provider={quote(provider, safe='')}" if provider else ""
    return dcc.Link(safe(run_id), href=f"/run/{quote(run_id, safe='')}{ending}")


def ask(label: str, do: str, provider: str, **more: str) -> Part:
    """A button that asks for a change; `cli.console.actions` says what will happen."""
    given = {"ask": do, "of": provider, "from": more.get("start", ""), "to": more.get("end", "")}
    return dmc.Button(label, id=given, variant="default", disabled=None)


CONDITIONS = [condition.value for condition in Condition]
