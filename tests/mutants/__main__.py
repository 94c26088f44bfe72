"""Put bugs into the code, the template and the state machine, one at a time, and print those that no test notices.

    python -m tests.mutants [--seconds N] [--only TEXT] [--jobs N] [--survivors] [--all]

Results are kept in .local/mutants.json. A mutant is tried again when its function changes, so a run with `--seconds`
continues where the last one stopped. `--survivors` tries those again that survived, after tests were added. The exit
status is 1 if any bug survives.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.mutants import documents
from tests.mutants.mutations import mutations
from tests.mutants.trials import ROOT, Trial, survivors

RESULTS = ROOT / ".local/mutants.json"
MODULES = tomllib.loads(Path(__file__).with_name("modules.toml").read_text(encoding="utf-8"))
MACHINE_TESTS = ("acts.py", "stage.py")
AT_ONCE = 24
"""Number of state machine mutants between two checks of the time."""


def module_trials() -> Iterator[Trial]:
    """A trial for each mutation of the modules, without equivalent ones."""
    equivalent = MODULES.get("equivalent", {})
    for session in MODULES["sessions"]:
        for file in session["modules"]:
            text = (ROOT / file).read_text(encoding="utf-8")
            for mutation in mutations(file, text):
                if mutation.change not in equivalent.get(file, {}).get(mutation.function, {}):
                    key = hashlib.sha256(f"{mutation.name}{mutation.source}".encode()).hexdigest()
                    tests = tuple(session["tests"])
                    yield Trial(mutation.name, file, lambda t=text: t, mutation.text, tests, key, mutation.lines)


def machine_results(wanted: dict[str, str], until: float) -> Iterator[tuple[str, bool]]:
    """Try bugs of the state machine, by name, on one laptop cloud; yield each key with whether the bug survives."""
    from tests.integration.statemachine.stage import Theatre
    from tests.mutants import machine

    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        theatre = Theatre(Path(folder))
        try:
            chosen = [mutant for mutant in machine.mutants(theatre.definition) if mutant.name in wanted]
            for start in range(0, len(chosen), AT_ONCE):
                if time.monotonic() >= until:
                    break
                tried = chosen[start : start + AT_ONCE]
                alive = machine.survivors(theatre, tried)
                yield from ((wanted[mutant.name], mutant.name in alive) for mutant in tried)
        finally:
            theatre.close()


def machine_keys() -> dict[str, str]:
    """The name of each bug of the state machine -> its key."""
    from tests.mutants import machine

    folder = ROOT / "tests/integration/statemachine"
    text = (ROOT / documents.MACHINE).read_text(encoding="utf-8")
    tested = "".join((folder / name).read_text(encoding="utf-8") for name in MACHINE_TESTS)
    return {
        mutant.name: hashlib.sha256(f"{mutant.name}{text}{tested}".encode()).hexdigest()
        for mutant in machine.mutants(json.loads(text))
    }


class Results:
    """The results of earlier runs: key -> whether the mutant survived."""

    def __init__(self, path: Path, forget: bool, forget_survivors: bool) -> None:
        self._path = path
        known: dict[str, bool] = {} if forget or not path.exists() else json.loads(path.read_text("utf-8"))
        self._known = {key: survived for key, survived in known.items() if not (survived and forget_survivors)}

    def __contains__(self, key: str) -> bool:
        return key in self._known

    def __getitem__(self, key: str) -> bool:
        return self._known[key]

    def add(self, key: str, survived: bool) -> None:
        """Store a result at once, so that an interrupted run keeps it."""
        self._known[key] = survived
        self._path.parent.mkdir(exist_ok=True)
        self._path.write_text(json.dumps(self._known), encoding="utf-8")


def tried(trials: Iterable[Trial], results: Results, jobs: int, until: float) -> None:
    """Run the trials without a result of an earlier run."""
    for trial, survived in survivors((trial for trial in trials if trial.key not in results), jobs, until):
        results.add(trial.key, survived)
        print(f"{'SURVIVES' if survived else 'noticed '}  {trial.name}", file=sys.stderr, flush=True)


def main() -> int:
    """Print the surviving bugs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after this number of seconds")
    parser.add_argument("--only", default="", help="bugs whose address contains this text")
    parser.add_argument("--jobs", type=int, default=2, help="number of concurrent tests (default: %(default)s)")
    parser.add_argument("--survivors", action="store_true", help="try those again that no test noticed")
    parser.add_argument("--all", action="store_true", help="forget the results of earlier runs")
    options = parser.parse_args()
    until = time.monotonic() + options.seconds
    results = Results(RESULTS, options.all, options.survivors)
    chosen = [trial for trial in (*module_trials(), *documents.trials()) if options.only in trial.name]
    tried(chosen, results, options.jobs, until)
    # Only here: this imports the project, which each child of the trials above must import itself.
    machines = {name: key for name, key in machine_keys().items() if options.only in name}
    left = {name: key for name, key in machines.items() if key not in results}
    if left and time.monotonic() < until:
        for key, survived in machine_results(left, until):
            results.add(key, survived)
    keys = {trial.name: trial.key for trial in chosen} | machines
    known = {name: results[key] for name, key in keys.items() if key in results}
    found = sorted(name for name, survived in known.items() if survived)
    for name in found:
        print(f"survives: {name}")
    print(
        f"{len(keys)} bugs, {len(known)} tried, {len(found)} unnoticed"
        + ("" if len(known) == len(keys) else "; run again")
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
