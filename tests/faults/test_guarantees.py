"""docs/guarantees.md names tests that exist, and has a row for every guarantee and every fault case."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/guarantees.md").read_text(encoding="utf-8")


def test_every_test_that_is_named_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    defined = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"def (test_\w+)\(", path.read_text(encoding="utf-8"))
    }

    assert named
    assert named - defined == set()


def test_every_guarantee_and_every_fault_case_has_its_tests() -> None:
    rows = dict(re.findall(r"^\| (?:\*\*)?(G\d|\d+)\b(.*)$", PAGE, re.MULTILINE))

    assert rows.keys() == {f"G{n}" for n in range(1, 6)} | {str(n) for n in [*range(1, 39), *range(56, 64)]}
    assert all("`test_" in tests for tests in rows.values())
