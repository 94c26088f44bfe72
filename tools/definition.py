"""The state machine's definition with its `DefinitionSubstitutions` filled in, and its linter.

    python -m tools.definition template.yaml

cfn-lint and `sam validate` do not check the definition of an `AWS::Serverless::StateMachine`. statelint finds
dangling and unreachable states, wrong types, unknown fields and malformed paths; it is pure Python, so that validating
needs no Node.js (the npm asl-validator finds the same faults).
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer
from statelint.linter import Linter

from laptop_cloud.stack.intrinsics import resolve
from laptop_cloud.stack.template import Template
from tools.iam import Names

_PLACEHOLDER = re.compile(r"\$\{([^}]+)\}")


class DefinitionError(Exception):
    """The definition does not match its substitutions, or the result is not JSON or contains a secret."""


def placeholders(text: str) -> set[str]:
    """Names of all `${name}` in the text."""
    return set(_PLACEHOLDER.findall(text))


def substitute(text: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in a definition.

    Parameters
    ----------
    text
        The definition with its `${name}` placeholders.
    values
        Placeholder name -> value. Names must be the same on both sides.

    Raises
    ------
    DefinitionError
        A placeholder has no value, a value has no placeholder, the result is not JSON, or it takes a secret, which
        could be read in every execution's history.
    """
    missing, unused = placeholders(text) - set(values), set(values) - placeholders(text)
    if missing:
        raise DefinitionError(f"no DefinitionSubstitutions for {', '.join(sorted(missing))}")
    if unused:
        raise DefinitionError(f"DefinitionSubstitutions without a placeholder: {', '.join(sorted(unused))}")
    filled = _PLACEHOLDER.sub(lambda match: str(values[match[1]]), text)
    if "{{resolve:" in filled:
        raise DefinitionError("the definition must not contain a secret, but has a dynamic reference")
    try:
        definition: dict[str, Any] = json.loads(filled)
    except json.JSONDecodeError as error:
        raise DefinitionError(f"not JSON after substitution: {error}") from error
    return definition


def definitions(template: Template) -> dict[str, dict[str, Any]]:
    """Every state machine of the template: logical id -> definition after substitution.

    Raises
    ------
    DefinitionError
        As for `substitute`; or the definition's file does not exist.
    """
    found: dict[str, dict[str, Any]] = {}
    for logical_id, resource in template.resources.items():
        if resource.type != "AWS::StepFunctions::StateMachine":
            continue
        location = resource.properties["DefinitionS3Location"]
        text = template.package.content(location["Key"])
        if text is None:
            raise DefinitionError(f"{logical_id}: no definition found at {location['Key']}")
        values = resolve(resource.properties.get("DefinitionSubstitutions", {}), Names(template, None))
        found[logical_id] = substitute(text.decode(), values)
    return found


def faults(definition: dict[str, Any]) -> list[str]:
    """Return the faults of a state machine definition, one per line; empty if there are none."""
    return [str(fault).strip() for fault in Linter.validate(definition)]


def main(template: Path) -> None:
    """Print the faults; the exit status is 1 if there are any, or no state machine."""
    try:
        found = definitions(Template.load(template))
    except DefinitionError as error:
        sys.exit(str(error))
    wrong = [f"{logical_id}: {fault}" for logical_id, asl in found.items() for fault in faults(asl)]
    print(*wrong, sep="\n", end="", file=sys.stderr)
    states = sum(len(asl["States"]) for asl in found.values())
    print(f"{', '.join(found) or 'no state machine'}: {states} states, {len(wrong)} faults")
    sys.exit(bool(wrong or not found))


if __name__ == "__main__":
    typer.run(main)
