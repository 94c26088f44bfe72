"""Put bugs into copies of this repository, one at a time, and print those that no test notices.

    python -m tests.mutants [--only TEXT] [--jobs N]

The patches (`tests.mutants.patches`) run the tests that they name; the state machine's bugs (`tests.mutants.machine`)
run their act on one laptop cloud. The exit status is 1 if any bug survives.
"""

from __future__ import annotations

import argparse
import os
import queue
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.harness.children import run
from tests.harness.waiting import HANG_SECONDS
from tests.mutants.patches import PATCHES, Patch

ROOT = Path(__file__).parents[2]
HISTORIES = "300"
LIMIT_SECONDS = HANG_SECONDS
"""No patch's tests take nearly as long; with a bug that makes them hang they do."""


class MutantsError(Exception):
    """A patch or its tests are not of their form."""


def copied(folder: Path) -> Path:
    """A copy of what is in the repository, as it is now."""
    files = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in files.stdout.decode().split("\0"):
        if name and (ROOT / name).is_file():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / name).read_bytes())
    return folder


def tests_fail(folder: Path, tests: Sequence[str], limit: float | None) -> bool:
    """Whether one of the tests fails in this copy, or they last longer than so many seconds.

    Raises
    ------
    MutantsError
        They cannot be run.
    """
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-m", "not benchmark", *tests]
    environment = os.environ | {"HISTORIES": HISTORIES, "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = run(command, seconds=limit, cwd=folder, env=environment)
    except subprocess.TimeoutExpired:  # a bug that never ends is noticed by everybody
        return True
    if done.returncode not in (0, 1):
        raise MutantsError(f"{' '.join(tests)}: {(done.stdout + done.stderr)[-2000:]}")
    return done.returncode == 1


def survives(folder: Path, patch: Patch) -> bool:
    """Whether the patch's tests pass although it is applied; the copy is as before afterwards."""
    path = folder / patch.file
    whole = path.read_text(encoding="utf-8")
    if whole.count(patch.old) != 1:
        raise MutantsError(f"{patch.name}: its text is in {patch.file} {whole.count(patch.old)} times")
    path.write_text(whole.replace(patch.old, patch.new), encoding="utf-8")
    try:
        return not tests_fail(folder, patch.tests, LIMIT_SECONDS)
    finally:
        path.write_text(whole, encoding="utf-8")


def surviving_patches(patches: Sequence[Patch], jobs: int) -> list[str]:
    """Names of the patches that survive."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as parent:
        copies: queue.Queue[Path] = queue.Queue()
        for number in range(jobs):
            copies.put(copied(Path(parent) / str(number)))
        if tests_fail(Path(parent) / "0", sorted({test for patch in patches for test in patch.tests}), None):
            raise MutantsError("the tests fail without any bug; run them first")

        def survived(patch: Patch) -> bool:
            folder = copies.get()
            try:
                lives = survives(folder, patch)
            finally:
                copies.put(folder)
            print(f"{'NOT ' if lives else ''}noticed: {patch.name}", file=sys.stderr)
            return lives

        with ThreadPoolExecutor(jobs) as pool:
            found = list(pool.map(survived, patches))
    return [patch.name for patch, lives in zip(patches, found, strict=True) if lives]


def surviving_machines(only: str) -> tuple[int, list[str]]:
    """How many of the state machine's bugs were tried, and the names of those that survive."""
    from tests.integration.statemachine.stage import Theatre
    from tests.mutants.machine import mutants, survivors

    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        theatre = Theatre(Path(folder))
        try:
            chosen = [mutant for mutant in mutants(theatre.definition) if only in mutant.name]
            return len(chosen), survivors(theatre, chosen)
        finally:
            theatre.close()


def main() -> int:
    """Print what survives."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="bugs whose name contains this text")
    parser.add_argument("--jobs", type=int, default=2, help="copies that are tested at once (default: %(default)s)")
    options = parser.parse_args()
    began = time.monotonic()
    patches = [patch for patch in PATCHES if options.only in patch.name]
    found = surviving_patches(patches, options.jobs) if patches else []
    machines, more = surviving_machines(options.only)
    for name in [*found, *more]:
        print(f"survives: {name}")
    count, minutes = len(patches) + machines, (time.monotonic() - began) / 60
    print(f"{count} bugs, {len(found) + len(more)} of them unnoticed, in {minutes:.0f} minutes")
    return 1 if found or more else 0


if __name__ == "__main__":
    sys.exit(main())
