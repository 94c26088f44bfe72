"""Every way through the state machine, judged by what ledger, config API, queue and execution say afterwards.

The definition is the real one, in the laptop cloud's interpreter. A Catch, a Retry or a branch that goes missing or
leads elsewhere makes at least one of these scenes end otherwise, which `make mutants` shows.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.integration.statemachine.acts import ACTS, check
from tests.integration.statemachine.stage import Played, Theatre

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Played]]:
    """Every act's scene after its end."""
    theatre = Theatre(tmp_path_factory.mktemp("theatre"))
    try:
        yield theatre.play_all({name: act.scene for name, act in ACTS.items()})
    finally:
        theatre.close()


@pytest.mark.parametrize("name", ACTS)
def test_an_execution_goes_its_way_and_everybody_says_so_afterwards(name: str, played: dict[str, Played]) -> None:
    check(name, ACTS[name], played[name])


def test_an_execution_shows_its_end_on_its_face(played: dict[str, Played]) -> None:
    failed = played["lambda_fails"].execution

    assert (failed["error"], failed["cause"]) == ("RunFailed", "RunFailedError: the row is bad")
    assert json.loads(played["lambda"].execution["output"])["status"]["status"] == "succeeded"
