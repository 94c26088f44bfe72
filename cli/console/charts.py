"""Charts of a provider's runs. Outliers are marked in the chart and named in its caption, each with a link."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import dash_mantine_components as dmc
from dash import html

from fanout.runs import RunRecord

from ..commands.runs import RunLine
from ..output import counted, dollars
from .parts import Part, link_run

FACTOR, ENOUGH, NAMED = 3, 5, 3
"""An outlier differs from the median by more than this factor; fewer runs have none; the most outliers in a caption."""
CHARTS: tuple[tuple[str, str, Callable[[Any], str]], ...] = (
    ("Duration", "seconds", "{:,.1f} s".format),
    ("Rows", "rows", "{:,.0f}".format),
    ("Cost", "dollars", dollars),
)
"""Title, field of the record, and format of a value."""
COLORS = {"succeeded": "blue.6", "outlier": "orange.7", "failed": "red.7"}


def charts(history: Sequence[RunLine], provider: str) -> Part:
    """Bar charts of the runs that have a record, the oldest on the left."""
    records = [line.record for line in reversed(history) if line.record]
    return html.Div([_chart(records, provider, *chart) for chart in CHARTS], className="charts") if records else None


def outliers(records: Sequence[RunRecord], field: str) -> tuple[float | None, list[RunRecord]]:
    """The median of the successful runs that had objects to process, and the runs that differ from it by far."""
    usual = [record for record in records if record.status == "succeeded" and record.engine != "none"]
    if len(usual) < ENOUGH:
        return None, []
    middle = median(getattr(record, field) for record in usual)
    low, high = middle / FACTOR, middle * FACTOR
    return middle, [record for record in usual if not low <= getattr(record, field) <= high]


def _chart(records: Sequence[RunRecord], provider: str, title: str, field: str, written: Callable[[Any], str]) -> Part:
    middle, odd = outliers(records, field)
    ids = {record.run_id for record in odd}
    bars = [
        {
            "started": f"{record.started_at:%m-%d %H:%M:%SZ}",
            "outlier" if record.run_id in ids else record.status: getattr(record, field),
        }
        for record in records
    ]
    caption: list[Part] = [f"{title} of {counted(len(records), 'run')}"]
    if middle is not None:
        caption.append(f"; median {written(middle)}; {counted(len(odd), 'outlier')}")
    for number, record in enumerate(odd[: -NAMED - 1 : -1]):
        run = link_run(record.run_id, provider, written(getattr(record, field)))
        caption += [", " if number else ", the latest: ", run]
    drawn = dmc.BarChart(
        data=bars,
        dataKey="started",
        type="stacked",
        series=[{"name": name, "color": color} for name, color in COLORS.items()],
        h=130,
        withXAxis=False,
        yAxisProps={"width": 75},
        barProps={"isAnimationActive": False, "maxBarSize": 30},
        referenceLines=[] if middle is None else [{"y": middle, "color": "gray.6"}],
    )
    return html.Figure([html.Figcaption(caption), drawn])
