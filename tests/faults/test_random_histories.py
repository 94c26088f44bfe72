"""The invariants hold over random histories of 50 steps, with crashes at every port call.

`HISTORIES` sets their number, for a soak test; each part has its own seed, so that a failure can be repeated.
"""

from __future__ import annotations

import os

import pytest

from tests.faults.histories import Histories
from tests.faults.running import run

HISTORIES = int(os.environ.get("HISTORIES", "500"))
PARTS = 8


@pytest.mark.guarantee("G1", "G5")
@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_no_history_loses_a_change_or_starts_a_second_run_or_leaves_a_provider_held(part: int) -> None:
    run(Histories, -(-HISTORIES // PARTS), seed=part)
