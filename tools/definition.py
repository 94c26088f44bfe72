"""The state machine's definition as Step Functions will get it: `DefinitionSubstitutions` filled in.

cfn-lint and `sam validate` do not look into the definition of an `AWS::Serverless::StateMachine`, so both
`make validate` and the tests read it from here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from local.stack.intrinsics import resolve
from local.stack.template import Template

_PLACEHOLDER = re.compile(r"\$\{([^}]+)\}")


class DefinitionError(Exception):
    """The definition and its substitutions do not fit together, or the result is not JSON."""


class ImaginedStack:
    """Lookups for a stack that does not exist: every attribute becomes an ARN of the right form."""

    def __init__(self, template: Template) -> None:
        self._template = template

    def ref(self, logical_id: str) -> Any:
        """Value of the parameter, or the logical id as the name of the resource."""
        value = self._template.parameter(logical_id)
        return logical_id if value is None else value

    def attribute(self, logical_id: str, name: str) -> Any:
        """An ARN, whichever attribute is asked for: definitions name functions, queues and topics by ARN."""
        service = self._template.resources[logical_id].type.split("::")[1].lower()
        account = self._template.account
        return f"arn:aws:{service}:{account.region}:{account.account_id}:{logical_id}-{name}"

    def condition(self, name: str) -> bool:
        """Whether the template's condition holds."""
        return self._template.condition(name)

    def dynamic_reference(self, service: str, reference: str) -> str:
        """Raise: a secret in a definition could be read in every execution's history."""
        raise DefinitionError(f"the definition may hold no secret, and it takes {service}:{reference}")


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
        A placeholder has no value, a value has no placeholder, or the result is not JSON.
    """
    missing, unused = placeholders(text) - set(values), set(values) - placeholders(text)
    if missing:
        raise DefinitionError(f"no DefinitionSubstitutions for {', '.join(sorted(missing))}")
    if unused:
        raise DefinitionError(f"DefinitionSubstitutions without a place: {', '.join(sorted(unused))}")
    filled = _PLACEHOLDER.sub(lambda match: str(values[match[1]]), text)
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
        See `substitute`; also when the definition's file is not there.
    """
    found: dict[str, dict[str, Any]] = {}
    for logical_id, resource in template.resources.items():
        if resource.type != "AWS::StepFunctions::StateMachine":
            continue
        location = resource.properties["DefinitionS3Location"]
        path = template.local_path(location["Bucket"], location["Key"])
        if path is None or not path.is_file():
            raise DefinitionError(f"{logical_id}: there is no definition at {location['Key']}")
        values = resolve(resource.properties.get("DefinitionSubstitutions", {}), ImaginedStack(template))
        found[logical_id] = substitute(path.read_text(encoding="utf-8"), values)
    return found


def load(path: Path) -> dict[str, dict[str, Any]]:
    """`definitions` of the template at `path`, with the parameters' defaults."""
    return definitions(Template.load(path))
