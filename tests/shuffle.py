"""Runs the unit and fault tests many times, each time in another order, next to one busy loop per core.

    python -m tests.shuffle [--rounds N] [--first SEED] [PATH …]

A test that passes only in the usual order, or only without load, fails here in one of the rounds.
"""

from __future__ import annotations

import argparse
import os
import sys
import time

from tests.busy import busy_loops
from tests.harness.children import run

SUITES = ("tests/unit", "tests/faults")
HISTORIES = "60"


def main() -> int:
    """Print a line for each round; the exit status is 1 if one of them failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20, help="how often (default: %(default)s)")
    parser.add_argument("--first", type=int, default=1, help="seed of the first round's order (default: %(default)s)")
    parser.add_argument("paths", nargs="*", default=SUITES, help="instead of the tests of units and faults")
    options = parser.parse_args()
    failed, cores = [], os.cpu_count() or 1
    with busy_loops(cores):
        for seed in range(options.first, options.first + options.rounds):
            how = ["-q", "-p", "no:cacheprovider", "-n", str(cores), "--no-loadscope-reorder", f"--shuffle={seed}"]
            command = [sys.executable, "-m", "pytest", *how, *options.paths]
            began = time.monotonic()
            done = run(command, seconds=None, env=os.environ | {"HISTORIES": HISTORIES})
            print(
                f"order {seed}: {done.stdout.strip().splitlines()[-1]} ({time.monotonic() - began:.0f} s)", flush=True
            )
            if done.returncode:
                failed.append(seed)
                print(done.stdout + done.stderr)
    rounds = f"{options.rounds} round{'s' if options.rounds > 1 else ''}"
    print(f"{rounds}, {len(failed)} failed{': orders ' + ', '.join(map(str, failed)) if failed else ''}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
