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
        (AllowedValues, AllowedPattern, MinLength, MaxLength, MinValue, MaxValue, or Type Number).
    """
    unknown = sorted(set(overrides) - set(declared))
    if unknown:
        known = ", ".join(sorted(declared)) or "none"
        raise ParameterError(f"No such parameter: {', '.join(unknown)}. The template declares: {known}.")
    return {name: _value(name, rules, overrides) for name, rules in declared.items()}


def _value(name: str, rules: Mapping[str, Any], overrides: Mapping[str, object]) -> ParameterValue:
    if name not in overrides and "Default" not in rules:
        raise ParameterError(f"Parameter {name} has no default: give it a value, for example {{{name!r}: '...'}}.")
    value = _text(overrides.get(name, rules.get("Default")))
    kind = str(rules.get("Type", "String"))
    parts = [part.strip() for part in value.split(",")] if "List" in kind else [value]
    for part in parts:
        _check(name, part, kind, rules)
    return parts if "List" in kind else value


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _check(name: str, value: str, kind: str, rules: Mapping[str, Any]) -> None:
    def refuse(rule: str) -> ParameterError:
        hint = rules.get("ConstraintDescription")
        return ParameterError(f"Parameter {name}={value!r} {rule}." + (f" {hint}" if hint else ""))

    allowed = [_text(choice) for choice in rules.get("AllowedValues", [])]
    if allowed and value not in allowed:
        raise refuse(f"is not one of {', '.join(allowed)}")
    pattern = rules.get("AllowedPattern")
    if pattern is not None and re.fullmatch(str(pattern), value) is None:
        raise refuse(f"does not match {pattern}")
    if len(value) < int(rules.get("MinLength", 0)):
        raise refuse(f"is shorter than {rules['MinLength']}")
    if "MaxLength" in rules and len(value) > int(rules["MaxLength"]):
        raise refuse(f"is longer than {rules['MaxLength']}")
    if "Number" in kind:
        try:
            number = float(value)
        except ValueError:
            raise refuse("is not a number") from None
        if "MinValue" in rules and number < float(rules["MinValue"]):
            raise refuse(f"is below {rules['MinValue']}")
        if "MaxValue" in rules and number > float(rules["MaxValue"]):
            raise refuse(f"is above {rules['MaxValue']}")
