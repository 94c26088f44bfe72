"""On both engines, the job's results for the golden corpus are byte-identical to the recorded ones.

`GOLDEN=record make test ARGS=tests/integration/job/golden` records them again: do that only for an intended change of
behavior, and read the difference.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests

from tests.harness.waiting import HANG_SECONDS
from tests.integration.job.golden.cases import CASES, Case
from tests.integration.job.golden.corpus import EXPECTED, as_text, observed, path_of
from tests.integration.job.harness import DATA

RECORD = os.environ.get("GOLDEN") == "record"


@pytest.mark.spark
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_results_of_a_case_are_the_recorded_ones(case: Case, aws: str, spark: Any, tmp_path: Path) -> None:
    made = {}
    for engine in case.engines:
        requests.post(f"{aws}/moto-api/reset", timeout=HANG_SECONDS)
        boto3.client("s3").create_bucket(Bucket=DATA)
        made[engine] = observed(case, engine, tmp_path)
    if RECORD:
        EXPECTED.mkdir(exist_ok=True)
        path_of(case).write_text(as_text(made))
    assert as_text(made) == path_of(case).read_text()


def test_the_corpus_has_exactly_the_files_of_the_cases() -> None:
    assert {path.name for path in EXPECTED.iterdir()} == {path_of(case).name for case in CASES}
