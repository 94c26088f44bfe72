"""The Cost page: the cost of the latest 7 days by day, service and provider, its outliers, and a forecast."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import dash_mantine_components as dmc
from dash import dcc, html

from ..commands import cost
from ..output import counted, duration
from ..spending import FORECAST_DAYS, RULE, SERVICES, By, Line, Spending, explain, not_included
from .parts import Part, facts, grid, link_run, money, problem, section, table, text
from .watch import Costs, Watch


def frame() -> Part:
    """The part of the page that is not refreshed."""
    measure = dmc.Button("Measure all providers", id={"measure": "all"}, variant="default")
    counts = [_column(name.capitalize(), name, 90) for name in ("runs", "failed", "rows")]
    amounts = [_column(name, name.lower(), 110, "money") for name in ("Total", *SERVICES)]
    provider = {**_column("Provider", "provider", 200), "cellRenderer": "ProviderLink", "filter": True}
    amounts[0]["sort"] = "desc"
    return [
        html.H1("Cost"),
        html.P(measure),
        html.Div(id="cost-state", role="status"),
        html.Div(html.P("Loading …", className="empty"), id="cost-live"),
        section("By provider", grid("costs", [provider, *counts, *amounts, _column("Outlier", "outlier", 160)])),
        dcc.Store(id="cost-version"),
        dcc.Interval(id="cost-clock", interval=2000),
    ]


def _column(head: str, field: str, width: int, shown: str | None = None) -> dict[str, Any]:
    formatted = {"valueFormatter": {"function": f"{shown}(params.value)"}} if shown else {}
    return {"headerName": head, "field": field, "width": width, **formatted}


def state(watch: Watch) -> Part:
    """The progress of measuring, or why it failed."""
    if watch.cost_problem:
        return problem("Cannot read the runs", watch.cost_problem)
    return html.P(f"Measuring; {watch.measuring:,} providers left.") if watch.measuring else None


def live(watch: Watch, found: Costs | None) -> Part:
    """The cost of all providers."""
    if found is None:
        count = counted(len(watch.rows.rows), "provider")
        return html.P(f"Not measured yet. Measuring lists and reads the runs of {count} on S3.", className="empty")
    by_day = found.by_day
    rows = [tuple(map(text, cost.row(line))) for line in by_day.lines]
    days = table("Runs by the UTC day of their claim", ("DAY", *cost.COLUMNS), rows, "No runs in these days.")
    return [
        section("Latest 7 days", facts(_totals(by_day))),
        section(
            "By day", _chart(by_day.lines), days, *_outliers(by_day.lines, By.DAY), html.P(RULE, className="aside")
        ),
        section("By service", facts((line.name, money(line.dollars)) for line in found.by_service)),
        section("Providers that are outliers", *_outliers(found.outliers, By.PROVIDER)) if found.outliers else None,
    ]


def _totals(found: Spending) -> list[tuple[str, Part]]:
    none = f"needs {FORECAST_DAYS} days of runs"
    month, year = found.dollars_a_month, found.dollars_a_year
    return [
        ("period", f"{duration(found.covered)}, since the first run of the latest 7 days"),
        ("cost", money(found.dollars)),
        ("original article's design", f"{money(found.article_dollars)}: a Glue run each time that a provider is due"),
        ("forecast", none if month is None or year is None else f"{money(month)} per month, {money(year)} per year"),
        ("not included", f"{not_included(found)}; prices of {found.prices_as_of}, us-east-1"),
    ]  # fmt: skip


def _chart(days: Sequence[Line]) -> Part:
    """A bar for each day. The color of an outlier repeats the mark beside its day."""
    bars = [
        {"day": f"{day.name[5:]}*", "outlier": day.dollars}
        if day.outlier
        else {"day": day.name[5:], "dollars": day.dollars}
        for day in days
    ]
    chart = dmc.BarChart(
        data=bars,
        dataKey="day",
        type="stacked",
        series=[
            {"name": "dollars", "label": "US dollars", "color": "blue.6"},
            {"name": "outlier", "label": "US dollars, outlier", "color": "red.7"},
        ],
        h=180,
        xAxisProps={"interval": 0},
        yAxisProps={"width": 75},
        barProps={"isAnimationActive": False, "maxBarSize": 60},
    )
    return html.Figure([html.Figcaption("US dollars per day; * is an outlier"), chart]) if bars else None


def _outliers(found: Iterable[Line], by: By) -> list[Part]:
    return [
        html.P([text(explain(line, by)), " (", link_run(line.outlier.run_id, provider), ")"])
        for line in found
        if line.outlier and (provider := line.outlier.largest if by is By.DAY else line.name)
    ]
