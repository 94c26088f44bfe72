"""CloudFormation's intrinsic functions, evaluated on plain data. Makes no AWS calls.

Source: the "Intrinsic function reference" of the AWS CloudFormation User Guide.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from laptop_cloud.errors import TemplateError

_SUB_VARIABLE = re.compile(r"\$\{(!?)([^}]+)\}")
_DYNAMIC_REFERENCE = re.compile(r"\{\{resolve:([a-z-]+):((?:[^{}])+)\}\}")
NO_VALUE = object()
"""The value of `!Ref AWS::NoValue`: the property or list item that has it is removed."""


class Lookups(Protocol):
    """The values of a template's references in one stack."""

    def ref(self, logical_id: str) -> Any:
        """Return the value of `Ref`: a parameter's or pseudo parameter's value, or a resource's physical id."""

    def attribute(self, logical_id: str, name: str) -> Any:
        """Return the value of `Fn::GetAtt`."""

    def condition(self, name: str) -> bool:
        """Return whether the named condition is true."""

    def dynamic_reference(self, service: str, reference: str) -> str:
        """Return the value of `{{resolve:service:reference}}`."""


def resolve(value: Any, lookups: Lookups) -> Any:
    """Replace every intrinsic function and dynamic reference in `value`.

    Raises
    ------
    TemplateError
        A function is unknown, or its arguments have the wrong shape.
    """
    if isinstance(value, str):
        return _DYNAMIC_REFERENCE.sub(lambda m: lookups.dynamic_reference(m[1], m[2]), value)
    if isinstance(value, list):
        return [item for item in (resolve(item, lookups) for item in value) if item is not NO_VALUE]
    if not isinstance(value, dict):
        return value
    function = function_name(value)
    if function is None:
        resolved = {key: resolve(item, lookups) for key, item in value.items()}
        return {key: item for key, item in resolved.items() if item is not NO_VALUE}
    try:
        if function in _OF_REFERENCES:
            found = _OF_REFERENCES[function](value[function], lookups)
        elif function in _OF_VALUES:
            found = _OF_VALUES[function](*resolve(value[function], lookups))
        else:
            known = ", ".join(sorted({*_OF_REFERENCES, *_OF_VALUES}))
            raise TemplateError(f"{function} is not supported (supported are {known}): {json.dumps(value)}")
    except (TypeError, ValueError, IndexError) as error:
        raise TemplateError(f"Wrong arguments for {function}: {json.dumps(value)} ({error})") from error
    return resolve(found, lookups) if isinstance(found, str) else found  # the result may be a dynamic reference


def function_name(value: Mapping[str, Any]) -> str | None:
    """Return the name of the intrinsic function that this mapping calls, or None for plain data."""
    if len(value) != 1:
        return None
    (key,) = value
    # "Condition" names a condition only where a condition is expected; an IAM statement has one as a property.
    if key == "Condition" and isinstance(value[key], str):
        return key
    return key if key == "Ref" or key.startswith("Fn::") else None


def references(value: Any) -> set[str]:
    """Return every logical id, parameter and pseudo parameter that Ref, Fn::GetAtt and Fn::Sub in `value` name."""
    if isinstance(value, list):
        return set().union(*(references(item) for item in value)) if value else set()
    if not isinstance(value, dict):
        return set()
    found: set[str] = set()
    function = function_name(value)
    if function == "Ref":
        found.add(str(value["Ref"]))
    elif function == "Fn::GetAtt":
        target = value["Fn::GetAtt"]
        found.add(str(target[0]) if isinstance(target, list) else str(target).split(".")[0])
    elif function == "Fn::Sub":
        text, own = _sub_parts(value["Fn::Sub"])
        names = {m[2].strip().split(".")[0] for m in _SUB_VARIABLE.finditer(text) if not m[1]}
        found |= {name for name in names if name not in own} | references(own)
        return found
    for item in value.values():
        found |= references(item)
    return found


def _sub_parts(argument: Any) -> tuple[str, dict[str, Any]]:
    if isinstance(argument, str):
        return argument, {}
    text, own = argument
    return str(text), dict(own)


def _sub(argument: Any, lookups: Lookups) -> str:
    text, own = _sub_parts(argument)
    values = {name: resolve(value, lookups) for name, value in own.items()}

    def replace(match: re.Match[str]) -> str:
        name = match[2].strip()
        if match[1]:
            return "${" + match[2] + "}"
        if name in values:
            return str(values[name])
        logical_id, dot, attribute = name.partition(".")
        return str(lookups.attribute(logical_id, attribute) if dot else lookups.ref(name))

    return _SUB_VARIABLE.sub(replace, text)


def _get_att(argument: Any, lookups: Lookups) -> Any:
    logical_id, attribute = argument if isinstance(argument, list) else argument.split(".", 1)
    return lookups.attribute(logical_id, resolve(attribute, lookups))


def _if(argument: Any, lookups: Lookups) -> Any:
    name, when_true, when_false = argument
    return resolve(when_true if lookups.condition(name) else when_false, lookups)


_OF_REFERENCES: dict[str, Callable[[Any, Lookups], Any]] = {
    "Ref": lambda argument, lookups: NO_VALUE if argument == "AWS::NoValue" else lookups.ref(argument),
    "Condition": lambda argument, lookups: lookups.condition(argument),
    "Fn::GetAtt": _get_att,
    "Fn::Sub": _sub,
    "Fn::If": _if,
}
"""Functions whose argument names parameters, resources or conditions."""

_OF_VALUES: dict[str, Callable[..., Any]] = {
    "Fn::Join": lambda separator, parts: separator.join(str(part) for part in parts),
    "Fn::Split": lambda separator, text: text.split(separator),
    "Fn::Select": lambda index, items: items[int(index)],
    "Fn::Equals": lambda left, right: left == right or str(left) == str(right),
    "Fn::Contains": lambda values, one: str(one) in map(str, values),
    "Fn::And": lambda *held: all(held),
    "Fn::Or": lambda *held: any(held),
    "Fn::Not": lambda held: not held,
}
"""Functions of a list of resolved values."""
