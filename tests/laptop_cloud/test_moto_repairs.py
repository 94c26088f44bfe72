"""Each repair of moto is necessary, and works."""

from __future__ import annotations

import json
import os
import sys
from functools import cache
from pathlib import Path

import pytest

from laptop_cloud.aws.repairs import REPAIRS
from tests.harness.children import run

PROBES = "tests.laptop_cloud.probes"
ROOT = Path(__file__).parents[2]
NAMES = [repair.__name__ for repair in REPAIRS]


@cache
def probed(kind: str) -> dict[str, bool]:
    """Return the results of the probes in a new process, with moto as installed ("stock") or repaired."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = run([sys.executable, "-m", PROBES, kind], env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, bool] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_every_repair_has_a_probe() -> None:
    assert sorted(probed("repaired")) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_moto_still_needs_the_repair(name: str) -> None:
    assert probed("stock")[name] is False, f"moto no longer needs it: remove {name} from laptop_cloud/aws/repairs/"


@pytest.mark.parametrize("name", NAMES)
def test_the_repaired_moto_behaves_as_aws(name: str) -> None:
    assert probed("repaired")[name] is True
