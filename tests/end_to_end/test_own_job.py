"""The steps of docs/how-to/your-own-job.md, from an empty file to a successful run, on either engine."""

from __future__ import annotations

import ast
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from laptop_cloud.cloud import LaptopCloud
from tests.end_to_end.test_quickstart import blocks, environment_of_a_reader
from tests.harness.children import run

from .conftest import ROOT, template_copy

pytestmark = [pytest.mark.spark, pytest.mark.slow]
PAGE = ROOT / "docs/how-to/your-own-job.md"
TEXT = PAGE.read_text(encoding="utf-8")
DAYS = {"2026-11-24": 1, "2026-11-25": 2}


def script() -> str:
    """The job's script from the page."""
    (found,) = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    return str(found)


@pytest.fixture(params=["lambda", "glue"])
def cloud(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LaptopCloud]:
    """The cloud of `make up ARGS="--parameter Job=rows_per_day"` in a copy of the project with that script."""
    assert '\nmake up ARGS="--parameter Job=rows_per_day"\n' in TEXT
    template = template_copy(tmp_path)
    (tmp_path / "glue").unlink()
    shutil.copytree(ROOT / "glue", tmp_path / "glue", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "glue/rows_per_day.py").write_text(script(), encoding="utf-8")
    parameters = {"Job": "rows_per_day", **({"LambdaMaxBytes": 0} if request.param == "glue" else {})}
    with LaptopCloud(template, parameters, workdir=tmp_path / "work") as up:
        yield up


def test_the_script_is_short() -> None:
    assert len(script().splitlines()) <= 40
    ast.parse(script())


def test_the_page_works_as_it_is_written(cloud: LaptopCloud, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    command = ["bash", "-c", "set -euo pipefail\n" + "\n".join(blocks(PAGE))]
    environment = environment_of_a_reader(cloud.workdir / "cloud.json")
    done = run(command, cwd=tmp_path, env=environment)

    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout[done.stdout.rindex("{") :]) == DAYS
    engine = request.node.callspec.params["cloud"]
    assert re.search(rf"succeeded +{engine} +3 +0 ", done.stdout)
    (execution,) = cloud.executions()
    assert execution["status"] == "SUCCEEDED"
    assert [run["JobName"] for run in cloud.job_runs()] == (["etl-dev-rows_per_day"] if engine == "glue" else [])
