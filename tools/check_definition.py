"""Lint every state machine of a template after substitution.

    python -m tools.check_definition template.yaml

statelint finds dangling and unreachable states, wrong types, unknown fields and malformed paths. It is pure
Python, so that validating needs no Node.js (the npm asl-validator finds the same faults).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from statelint.linter import Linter

from tools.definition import DefinitionError, load


def faults(definition: dict[str, Any]) -> list[str]:
    """What is wrong with a state machine's definition, one line a fault; empty when nothing is."""
    return [str(fault).strip() for fault in Linter.validate(definition)]


def main() -> int:
    """Print the faults; the exit status is 1 when there are any."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("template", type=Path)
    path: Path = parser.parse_args().template
    try:
        found = load(path)
    except DefinitionError as error:
        print(f"{path}: {error}", file=sys.stderr)
        return 1
    wrong = [f"{logical_id}: {fault}" for logical_id, asl in found.items() for fault in faults(asl)]
    for line in wrong:
        print(line, file=sys.stderr)
    if not found:
        print(f"{path} has no state machine", file=sys.stderr)
        return 1
    states = sum(len(asl["States"]) for asl in found.values())
    print(f"{', '.join(found)}: {states} states, {len(wrong)} faults")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
