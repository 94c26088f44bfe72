"""`make run JOB=standardize` as a user sees it, with sample files and with the user's own files."""

from __future__ import annotations

import json
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet  # type: ignore[import-untyped]

from tests.harness import children

from .conftest import ROOT

pytestmark = [pytest.mark.spark, pytest.mark.slow]


def run(workdir: Path, *arguments: str) -> tuple[int, dict[str, Any], str]:
    command = [sys.executable, "-m", "demo", "run", "--workdir", str(workdir), "--job", "standardize", *arguments]
    done = children.run(command, cwd=ROOT)
    assert (workdir / "report.json").exists(), done.stdout + done.stderr
    return done.returncode, json.loads((workdir / "report.json").read_text()), done.stdout


def test_five_formats_become_one_table_with_every_value_of_the_sources(tmp_path: Path) -> None:
    status, report, said = run(tmp_path, "--rows", "500")

    assert report["faults"] == []
    assert (status, report["ok"]) == (0, True)
    assert report["totals"]["rows"] == report["totals"]["table_rows"] > 250
    assert {found["engine"] for found in report["providers"].values()} == {"lambda", "glue"}
    (broken,) = [name for name, found in report["providers"].items() if found["runs"][0]["status"] == "FAILED"]
    assert f"{broken} is repaired" in said
    assert report["providers"]["us-shop"]["runs"][1]["rows"] == 7, "a file was replaced"
    assert "DuckDB reads" in said


def test_the_users_files_are_read_with_their_mappings_and_become_one_table(tmp_path: Path) -> None:
    documents = str(ROOT / "tests/data/documents")

    status, report, said = run(tmp_path, "--files", documents, "--mappings", documents)

    assert report["faults"] == []
    assert (status, report["ok"]) == (0, True)
    assert {name: found["table_rows"] for name, found in report["providers"].items()} == {
        "orders": 3,
        "payments": 3,
        "permits": 2,
        "spreadsheet": 3,
        "ubl-invoice": 3,
    }
    table = parquet.read_table(tmp_path / "standard").to_pylist()
    assert {(row["order_id"], row["product"], row["unit_price"], row["currency"]) for row in table} >= {
        ("#1001", "Chair", Decimal("149.90"), "EUR"),
        ("1", "Invoice 42 customer 7", Decimal("250.00"), "EUR"),
        ("B-100", "Permits", Decimal("125.50"), "USD"),
        ("A-2", "Lamp; small", Decimal("-9.90"), "USD"),
    }
    assert "DuckDB reads 14 rows" in said
