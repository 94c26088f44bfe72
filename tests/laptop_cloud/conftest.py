"""A laptop cloud of a small template, one for each file of tests, because moto's state is global."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from laptop_cloud.cloud import LaptopCloud
from tests.harness.call_log import call_log

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LaptopCloud]:
    workdir = tmp_path_factory.mktemp("cloud")
    around = call_log(workdir / "api_calls.jsonl")
    with LaptopCloud(FIXTURES / "template.yaml", workdir=workdir, around=around) as up:
        yield up
