"""Decisions are numbered, and code refers to decisions that exist."""

from __future__ import annotations

import subprocess

from tests.template.reading import ROOT
from tools.decisions import numbers, references


def test_decisions_are_numbered_in_order_and_every_reference_exists() -> None:
    known = numbers((ROOT / "docs/decisions.md").read_text(encoding="utf-8"))
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    paths = [
        ROOT / name for name in tracked.stdout.split("\0") if name.endswith((".py", ".md", ".yaml", ".json", ".toml"))
    ]
    referred = {
        (path.name, number)
        for path in paths
        if path.exists()
        for number in references(path.read_text(encoding="utf-8"))
        if number not in known
    }

    assert known == [f"D{number}" for number in range(1, len(known) + 1)]
    assert referred == set()
