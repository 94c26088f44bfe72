"""The list of bugs fits the code as it is, and a sample of it is noticed; `make mutants` tries them all."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.statemachine.stage import Theatre
from tests.mutants.__main__ import ROOT, surviving_patches
from tests.mutants.machine import mutants, survivors
from tests.mutants.patches import PATCHES, Patch

EVERY = 20
"""Of the state machine's bugs every twentieth, of the patches those of the quickest tests."""
QUICK = ("ledger.py: a void plan commits", "formats.py: a line at the limit is too long")


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.name)
def test_a_patch_changes_one_place_and_names_tests_that_are_there(patch: Patch) -> None:
    assert (ROOT / patch.file).read_text(encoding="utf-8").count(patch.old) == 1
    assert patch.old != patch.new
    assert all((ROOT / test.partition("::")[0]).exists() for test in patch.tests)


def test_names_are_told_apart() -> None:
    assert len({patch.name for patch in PATCHES}) == len(PATCHES)


@pytest.mark.slow
def test_a_sample_of_the_patches_is_noticed() -> None:
    chosen = [patch for patch in PATCHES if patch.name in QUICK]

    assert len(chosen) == len(QUICK)
    assert surviving_patches(chosen, 1) == []


@pytest.mark.slow
def test_a_patch_that_changes_nothing_would_survive() -> None:
    tests = ("tests/unit/job/test_lines.py",)
    harmless = Patch("nothing", "glue/fanout_job/formats.py", "def gunzipped(", "def gunzipped( ", tests)

    assert surviving_patches([harmless], 1) == ["nothing"]


@pytest.mark.slow
def test_a_sample_of_the_state_machines_bugs_is_noticed(tmp_path: Path) -> None:
    theatre = Theatre(tmp_path)
    try:
        every = list(mutants(theatre.definition))
        assert len(every) > 100
        assert survivors(theatre, every[::EVERY]) == []
    finally:
        theatre.close()
