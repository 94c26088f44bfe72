"""Every path through the state machine, judged by ledger, config API, queue and execution at its end.

The definition is the real one, in the laptop cloud's interpreter. If a Catch, a Retry or a branch is removed or leads
elsewhere, at least one of these scenes ends differently, which `make mutants` shows.
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
    """The result of every act's scene."""
    theatre = Theatre(tmp_path_factory.mktemp("theatre"))
    try:
        yield theatre.play_all({name: act.scene for name, act in ACTS.items()})
    finally:
        theatre.close()


@pytest.mark.parametrize("name", ACTS)
def test_an_execution_takes_its_path_and_every_record_of_it_agrees(name: str, played: dict[str, Played]) -> None:
    check(name, ACTS[name], played[name])


def test_an_execution_shows_its_error_and_cause(played: dict[str, Played]) -> None:
    failed = played["lambda_fails"].execution

    assert (failed["error"], failed["cause"]) == ("RunFailed", "RunFailedError: the row is bad")
    assert json.loads(played["lambda"].execution["output"])["status"]["status"] == "succeeded"
