"""Running one unit test does not import modules that only other tests need."""

from __future__ import annotations

import sys

import pytest

from tests.harness import children
from tests.template.reading import ROOT

COLLECT = """
import sys
import pytest

class Imported:
    def pytest_collection_finish(self, session):
        print(len(session.items), *(name for name in sys.argv[2:] if name in sys.modules))

pytest.main(["--collect-only", "-qq", "-p", "no:cacheprovider", "-p", "no:xdist", sys.argv[1]], plugins=[Imported()])
"""


@pytest.mark.slow
def test_collecting_the_unit_tests_imports_neither_the_laptop_cloud_nor_dash_nor_spark() -> None:
    heavy = ["dash", "laptop_cloud.cloud", "matplotlib", "moto", "playwright", "pyspark"]

    done = children.run([sys.executable, "-c", COLLECT, str(ROOT / "tests/unit"), *heavy], cwd=ROOT)

    number, *imported = next(line for line in done.stdout.splitlines() if line[:1].isdigit()).split()
    assert int(number) > 1_000, done.stdout + done.stderr
    assert imported == []
