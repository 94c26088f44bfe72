"""README.md is correct: its `transform` makes the message below it, and its figures are those of the benchmarks."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

from fanout_job.changes import parse_change
from fanout_job.messages import MessageMaker
from fanout_job.settings import Settings
from tests.unit.job.records import OLD, line, stream

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SETTINGS = Settings(
    provider="acme",
    run_id="acme-20261122T073000Z",
    manifest="none",
    run_dir="s3://data/runs/",
    queue_url="https://sqs.us-east-1.amazonaws.com/123456789012/changes",
    env="dev",
    data_bucket="data",
)


def block(language: str) -> str:
    """The only code block of a language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return str(found)


def test_the_transform_of_the_readme_makes_the_message_shown_and_none_for_an_unchanged_price() -> None:
    names: dict[str, Any] = {}
    exec(block("python"), names)  # noqa: S102 - the page's own example
    maker = MessageMaker(SETTINGS, names["transform"], 2**20, None)

    def sent(record: dict[str, Any]) -> list[Any]:
        drafts = maker.drafts(parse_change(line(record), "object-1"), 0, 1)
        return [json.loads(maker.message(draft).body, parse_float=Decimal) for draft in drafts]

    assert sent(stream()) == [json.loads(block("json"), parse_float=Decimal)]
    assert sent(stream(NewImage=OLD)) == []


def test_the_readme_has_the_yearly_costs_of_the_cost_page() -> None:
    page = (ROOT / "docs" / "cost.md").read_text(encoding="utf-8")
    bills = re.findall(r"^\| ([0-9,]+ \| [0-9]+ min \| [0-9,]+ \| \$[0-9,]+) \| (\$[0-9,]+) \|$", README, re.MULTILINE)

    assert len(bills) == 4
    for article, dev in bills:
        assert re.search(rf"^\| {re.escape(article)} \| \$[0-9,]+ \| {re.escape(dev)} \|$", page, re.MULTILINE), article


def test_the_readme_has_the_speeds_of_the_last_benchmarks() -> None:
    bench = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in (ROOT / "docs/bench").glob("*.json")}
    (start,) = [found for found in bench["dispatch"]["starts"] if found["due"] == 1000]
    article, ours = (bench["job"]["variants"][name]["per_second"] for name in ("article", "glue-fanout on Spark"))
    entries = bench["dispatch"]["evaluation"]
    figures = [
        f"| {start['serial_seconds']:.1f} s | {start['seconds']:.2f} s | {start['ratio']:.0f}x |",
        f"| {article:.0f} | {ours:,.0f} | {ours / article:,.0f}x |",
        f"| | {entries['seconds']:.2f} s, {entries['peak_rss_mb']} MB | |",
    ]

    assert [figure for figure in figures if figure not in README] == []


def test_the_targets_that_the_last_benchmarks_missed_are_those_that_the_docs_name() -> None:
    """See docs/standardize.md: reading JSON and XML in twice the time of a bare parser."""
    missed = [
        ("standardize", "CPU for json, ratio to json.loads"),
        ("standardize", "CPU for xml, ratio to expat with empty handlers"),
    ]
    found = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in (ROOT / "docs/bench").glob("*.json")}
    targets = {(name, what): target for name, one in found.items() for what, target in one.get("targets", {}).items()}

    assert len(targets) > 5
    assert sorted(which for which, target in targets.items() if not target["met"]) == missed
