"""`make run JOB=standardize` as a user sees it, with sample files and with the user's own files."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.harness import children

from .conftest import ROOT

pytestmark = [pytest.mark.spark, pytest.mark.slow]
ORDERS = ROOT / "tests/data/orders"


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


def test_the_users_files_are_read_with_their_mappings_and_a_bad_row_is_a_fault(tmp_path: Path) -> None:
    files, mappings = tmp_path / "files", tmp_path / "mappings"
    mappings.mkdir()
    for name, file in {"german": "semicolons", "american": "quoted"}.items():
        (files / f"provider={name}").mkdir(parents=True)
        (files / f"provider={name}/orders.csv").write_bytes((ORDERS / f"{file}.csv").read_bytes())
        (mappings / f"{name}.yaml").write_bytes((ORDERS / f"{file}.yaml").read_bytes())
    with (files / "provider=american/orders.csv").open("a") as file:
        file.write("A-4,yesterday,,,0,0,,\n")

    status, report, _ = run(tmp_path / "work", "--files", str(files), "--mappings", str(mappings))

    assert (status, report["ok"]) == (1, False)
    assert any("the run of american ended as FAILED" in fault for fault in report["faults"])
    assert report["providers"]["german"]["rows"] == report["providers"]["german"]["table_rows"] == 3
