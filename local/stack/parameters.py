"""Template parameters: defaults, overrides, and the checks that CloudFormation makes before it creates a stack."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from local.errors import ParameterError

ParameterValue = str | list[str]


def parameter_values(declared: Mapping[str, Any], overrides: Mapping[str, object]) -> dict[str, ParameterValue]:
    """Give every declared parameter its value: the override if there is one, else the default.

    Parameters
    ----------
    declared
        The template's Parameters section, parameter name -> declaration.
    overrides
        Parameter name -> value; values are taken as text, as CloudFormation does.

    Returns
    -------
    Parameter name -> text; for CommaDelimitedList and List<...> types a list of texts.

    Raises
    ------
    ParameterError
        An override is not declared, a parameter has no value, or a value breaks a rule
        (AllowedValues, AllowedPattern, MinValue, MaxValue, or Type Number).
    """
    unknown = sorted(set(overrides) - set(declared))
    if unknown:
        known = ", ".join(sorted(declared)) or "none"
        raise ParameterError(f"No such parameter: {', '.join(unknown)}. The template declares: {known}.")
    return {name: _value(name, rules, overrides) for name, rules in declared.items()}


def _value(name: str, rules: Mapping[str, Any], overrides: Mapping[str, object]) -> ParameterValue:
    if name not in overrides and "Default" not in rules:
        raise ParameterError(f"Parameter {name} has no default: give it a value, for example {{{name!r}: '...'}}.")
    value, kind = _text(overrides.get(name, rules.get("Default"))), str(rules.get("Type", "String"))
    parts = [part.strip() for part in value.split(",")] if "List" in kind else [value]
    for part in parts:
        if broken := _broken_rule(part, kind, rules):
            raise ParameterError(f"Parameter {name}={part!r} {broken}.")
    return parts if "List" in kind else value


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _broken_rule(value: str, kind: str, rules: Mapping[str, Any]) -> str | None:
    allowed = [_text(choice) for choice in rules.get("AllowedValues", [])]
    if allowed and value not in allowed:
        return f"is not one of {', '.join(allowed)}"
    if "AllowedPattern" in rules and re.fullmatch(str(rules["AllowedPattern"]), value) is None:
        return f"does not match {rules['AllowedPattern']}"
    if "Number" in kind:
        try:
            number = float(value)
        except ValueError:
            return "is not a number"
        if number < float(rules.get("MinValue", "-inf")):
            return f"is below {rules['MinValue']}"
        if number > float(rules.get("MaxValue", "inf")):
            return f"is above {rules['MaxValue']}"
    return None
