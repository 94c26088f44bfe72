"""functions/ runs any job: it knows objects and a job's counts, but no format, model or message.

No module that runs jobs imports the producer.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.world import World

FUNCTIONS = Path(__file__).parents[3] / "functions"
PRODUCER = {FUNCTIONS / name for name in ("producer.py", "fanout/production.py", "fanout/stream_records.py")}
"""Modules that write a change log, as a data source outside this project could."""
RAILS = sorted(set(FUNCTIONS.rglob("*.py")) - PRODUCER)
OF_FORMATS = {"csv", "xml", "gzip", "yaml", "pyarrow", "pandas", "pyspark", "awsglue"}
OF_JOBS = {"fanout_job", *(path.stem for path in (FUNCTIONS.parent / "glue").glob("*.py"))}
OF_S3 = {"eventName"}
"""Words of S3's events that records of changes have too."""
WORDS = re.compile(
    r"\b(csv|xml|gzip|parquet|jsonl|cloudevents?|dataref|newimage|oldimage|eventname|mapping file|standardize)\b",
    re.IGNORECASE,
)


def imports(path: Path) -> Iterator[str]:
    """The top-level names of a module's imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield str(node.module).partition(".")[0]


@pytest.mark.parametrize("path", RAILS, ids=lambda path: path.relative_to(FUNCTIONS).as_posix())
def test_no_module_imports_a_format_or_a_job(path: Path) -> None:
    assert not set(imports(path)) & (OF_FORMATS | OF_JOBS)


@pytest.mark.parametrize("path", RAILS, ids=lambda path: path.relative_to(FUNCTIONS).as_posix())
def test_no_module_mentions_a_format_a_model_or_a_message(path: Path) -> None:
    allowed = OF_S3 if path.name == "s3_events.py" else set()
    assert set(WORDS.findall(path.read_text(encoding="utf-8"))) <= allowed


def test_no_module_that_runs_jobs_imports_the_producer() -> None:
    names = {f"from fanout.{path.stem} import" for path in PRODUCER}
    who = {path.name for path in RAILS if any(name in path.read_text(encoding="utf-8") for name in names)}

    assert who <= {"bootstrap.py"}, "only the composition root knows both"


def test_the_name_of_any_job_is_in_the_lease_and_the_record_of_its_run() -> None:
    world = World(settings={"job": "rows_per_day"})
    world.change("a", "1", "r1")
    claim = world.claim("a", "run1")
    lease = world.state("a").lease
    world.job(claim)
    world.succeed(claim)

    last = world.state("a").last_run
    assert lease is not None
    assert lease.plan is not None
    assert last is not None
    assert (lease.plan.job, last.job, last.rows) == ("rows_per_day", "rows_per_day", 1)


def test_lambda_max_bytes_0_sends_a_run_to_glue_and_the_claim_gives_this_reason() -> None:
    world = World(settings={"job": "rows_per_day", "lambda_max_bytes": 0})
    world.change("a", "1", "r1")

    claim = world.claim("a", "run1")

    assert (claim.decision, claim.reason) == ("glue", "LambdaMaxBytes = 0 sends all runs to Glue")
