"""The other half of the random histories: in a file of its own, so that a second worker can take it."""

from __future__ import annotations

import pytest

from tests.faults.histories import Histories
from tests.faults.running import run
from tests.faults.test_random_histories import HISTORIES, PARTS


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS // 2, PARTS))
def test_no_further_history_loses_a_change_or_leaves_a_provider_held(part: int) -> None:
    run(Histories, -(-HISTORIES // PARTS), seed=part)
