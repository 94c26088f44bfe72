"""Put bugs into the code, the template and the state machine, one at a time, and print those that no test notices.

    python -m tests.mutants [--seconds N] [--only TEXT] [--jobs N] [--survivors] [--all]

Results are kept in docs/bench/mutants.json, with a table in docs/bench/mutants.md. A mutant is tried again when its
function changes, so a run with `--seconds` continues where the last one stopped. `--survivors` tries those again that
survived, after tests were added. The exit status is 1 if any bug survives.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.mutants import documents
from tests.mutants.mutations import mutations
from tests.mutants.record import Known, Record
from tests.mutants.trials import ROOT, Trial, survivors

RESULTS, PAGE = ROOT / "docs/bench/mutants.json", ROOT / "docs/bench/mutants.md"
MODULES = tomllib.loads(Path(__file__).with_name("modules.toml").read_text(encoding="utf-8"))
EQUIVALENT = Counter({file: sum(map(len, found.values())) for file, found in MODULES.get("equivalent", {}).items()})
"""File -> number of its mutations that make no difference."""
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
                    tests = tuple(session["tests"])
                    lines = None if session.get("whole") else mutation.lines
                    yield Trial(mutation, lambda t=text: t, mutation.text, tests, lines)


def machine_results(wanted: dict[str, Known], until: float) -> Iterator[tuple[Known, bool]]:
    """Try bugs of the state machine, by name, on one laptop cloud; yield each with whether it survives."""
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
                alive = machine.survivors(theatre, tried, start)
                yield from ((wanted[mutant.name], mutant.name in alive) for mutant in tried)
        finally:
            theatre.close()


def machine_bugs() -> dict[str, Known]:
    """The name of each bug of the state machine -> the bug."""
    from tests.mutants import machine

    folder = ROOT / "tests/integration/statemachine"
    text = (ROOT / documents.MACHINE).read_text(encoding="utf-8")
    tested = "".join((folder / name).read_text(encoding="utf-8") for name in MACHINE_TESTS)
    code = hashlib.sha256(f"{text}{tested}".encode()).hexdigest()[:12]
    return {
        name: Known(documents.MACHINE, *name.split(": ", 1), code)
        for name in (mutant.name for mutant in machine.mutants(json.loads(text)))
    }


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
    trials = [*module_trials(), *documents.trials()]
    # In another process: this imports the project, which each child of the trials must import itself.
    with ProcessPoolExecutor(1) as other:
        machines = other.submit(machine_bugs).result()
    bugs = [*(trial.bug for trial in trials), *machines.values()]
    record = Record(RESULTS, bugs, options.all)
    wanted = (None, True) if options.survivors else (None,)
    chosen = [trial for trial in trials if options.only in trial.bug.name and record.result(trial.bug) in wanted]
    for trial, survived in survivors(chosen, options.jobs, until):
        record.add(trial.bug, survived)
        print(f"{'SURVIVES' if survived else 'noticed '}  {trial.bug.name}", file=sys.stderr, flush=True)
    left = {name: bug for name, bug in machines.items() if options.only in bug.name and record.result(bug) in wanted}
    if left and time.monotonic() < until:
        for bug, survived in machine_results(left, until):
            record.add(bug, survived)
    record.write()
    PAGE.write_text(record.table(EQUIVALENT), encoding="utf-8")
    results = {bug.name: record.result(bug) for bug in bugs if options.only in bug.name}
    found = sorted(name for name, survived in results.items() if survived)
    for name in found:
        print(f"survives: {name}")
    untried = sum(survived is None for survived in results.values())
    print(f"{len(results)} bugs, {len(found)} unnoticed" + (f", {untried} not tried; run again" if untried else ""))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
