"""Reads a template: expands SAM resources, fills in parameters, orders resources by creation. Makes no AWS calls.

aws-sam-translator expands `AWS::Serverless::*` exactly as AWS does on deployment. It accepts only S3 locations for
code and definitions, so `laptop_cloud.stack.package` runs first and replaces local paths by S3 locations.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml
from samtranslator.yaml_helper import intrinsics_multi_constructor

from laptop_cloud.aws.account import ACCOUNT_ID, REGION
from laptop_cloud.errors import ParameterError, TemplateError
from laptop_cloud.stack.intrinsics import Lookups, references, resolve
from laptop_cloud.stack.package import Package

STACK_NAME = "laptop"
"""The stack's name by default."""

ParameterValue = str | list[str]


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """PyYAML's C parser where it is installed, because it is ten times as fast."""


_Loader.add_multi_constructor("!", intrinsics_multi_constructor)


def read_yaml(text: str) -> Any:
    """Parse a template's text; short forms such as `!Ref` become their long forms, as in AWS SAM."""
    return yaml.load(text, _Loader)  # noqa: S506 - a safe loader


@dataclass(frozen=True)
class Resource:
    """One resource of a template; its properties still contain intrinsic functions."""

    logical_id: str
    type: str
    properties: dict[str, Any]


class Template(Lookups):
    """One template with one set of parameter values.

    Attributes
    ----------
    package
        The files that the template names, as they were when it was read.
    parameters
        Parameter name -> value, with overrides applied and checked.
    stack_name
        The value of `AWS::StackName`.
    resources
        Logical id -> resource. Resources with a false condition are left out. Each resource comes after those it
        refers to.
    """

    def __init__(
        self, document: Mapping[str, Any], package: Package, parameters: Mapping[str, ParameterValue], stack_name: str
    ) -> None:
        self.package = package
        self.parameters = dict(parameters)
        self.stack_name = stack_name
        self._pseudo_parameters: dict[str, Any] = {
            "AWS::AccountId": ACCOUNT_ID,
            "AWS::Region": REGION,
            "AWS::StackName": stack_name,
            "AWS::Partition": "aws",
            "AWS::URLSuffix": "amazonaws.com",
            "AWS::StackId": f"arn:aws:cloudformation:{REGION}:{ACCOUNT_ID}:stack/{stack_name}/laptop",
            "AWS::NotificationARNs": [],
        }
        self._document: dict[str, Any] = self._mapped(document, document.get("Mappings", {}))
        self._check_rules()
        self.resources = self._in_creation_order()

    @classmethod
    def load(cls, path: Path, overrides: Mapping[str, object] | None = None, stack_name: str = STACK_NAME) -> Template:
        """Read and expand the template at `path`.

        Raises
        ------
        TemplateError
            The file does not exist, is not a template, or is rejected by aws-sam-translator.
        ParameterError
            See `parameter_values`.
        """
        try:
            source = read_yaml(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise TemplateError(f"No template found at {path}.") from None
        if not isinstance(source, dict) or not source.get("Resources"):
            raise TemplateError(f"{path} is not a CloudFormation template: it has no Resources.")
        values = parameter_values(source.get("Parameters", {}), overrides or {})
        package = Package(path.resolve().parent)
        return cls(expand(package.packaged(source), values), package, values, stack_name)

    def condition(self, name: str) -> bool:
        """Return whether a condition is true; conditions can refer only to parameters and other conditions."""
        try:
            expression = self._document["Conditions"][name]
        except KeyError:
            raise TemplateError(f"The template has no condition {name}.") from None
        return bool(resolve(expression, self))

    def parameter(self, name: str) -> Any:
        """Return the value of a parameter or pseudo parameter, or None if it does not exist."""
        return self.parameters.get(name, self._pseudo_parameters.get(name))

    def ref(self, logical_id: str) -> Any:
        """See `laptop_cloud.stack.intrinsics.Lookups`."""
        value = self.parameter(logical_id)
        if value is None:
            raise TemplateError(f"A condition refers to {logical_id}, which is not a parameter.")
        return value

    def attribute(self, logical_id: str, name: str) -> Any:
        """See `laptop_cloud.stack.intrinsics.Lookups`."""
        raise TemplateError(f"A condition refers to {logical_id}.{name}: conditions can refer only to parameters.")

    def dynamic_reference(self, service: str, reference: str) -> str:
        """See `laptop_cloud.stack.intrinsics.Lookups`."""
        raise TemplateError("A condition contains a dynamic reference, which CloudFormation does not resolve there.")

    def outputs(self) -> dict[str, Any]:
        """Return output name -> unresolved value, without outputs whose condition is false."""
        return {name: output["Value"] for name, output in self._wanted("Outputs").items()}

    def _mapped(self, value: Any, maps: Mapping[str, Any]) -> Any:
        """Replace each Fn::FindInMap by the value it finds; its keys can refer only to parameters."""
        if isinstance(value, list):
            return [self._mapped(item, maps) for item in value]
        if not isinstance(value, dict):
            return value
        if set(value) != {"Fn::FindInMap"}:
            return {key: self._mapped(item, maps) for key, item in value.items()}
        name, first, second = (str(resolve(key, self)) for key in value["Fn::FindInMap"])
        try:
            return maps[name][first][second]
        except KeyError:
            raise TemplateError(f"The template's Mappings have no entry {name}, {first}, {second}.") from None

    def _check_rules(self) -> None:
        """Check the template's Rules, which restrict combinations of parameters."""
        for name, rule in self._document.get("Rules", {}).items():
            if "RuleCondition" in rule and not resolve(rule["RuleCondition"], self):
                continue
            for assertion in rule["Assertions"]:
                if not resolve(assertion["Assert"], self):
                    raise ParameterError(f"Rule {name}: {assertion.get('AssertDescription', assertion['Assert'])}")

    def _in_creation_order(self) -> dict[str, Resource]:
        wanted = self._wanted("Resources")
        needs = {logical_id: self._needs(body) & set(wanted) - {logical_id} for logical_id, body in wanted.items()}
        try:
            order = list(TopologicalSorter(needs).static_order())
        except CycleError as error:
            raise TemplateError(f"Circular references between {', '.join(sorted(set(error.args[1])))}.") from None
        return {
            logical_id: Resource(logical_id, wanted[logical_id]["Type"], dict(wanted[logical_id].get("Properties", {})))
            for logical_id in order
        }

    def _wanted(self, section: str) -> dict[str, Mapping[str, Any]]:
        """Return a section's entries without those whose condition is false."""
        entries = self._document.get(section, {}).items()
        return {name: body for name, body in entries if "Condition" not in body or self.condition(body["Condition"])}

    def _needs(self, body: Mapping[str, Any]) -> set[str]:
        named = body.get("DependsOn", [])
        return references(body.get("Properties", {})) | set([named] if isinstance(named, str) else named)


def expand(packaged: Mapping[str, Any], values: Mapping[str, ParameterValue], region: str = REGION) -> dict[str, Any]:
    """Expand a packaged SAM template to plain CloudFormation, offline.

    Raises
    ------
    TemplateError
        The translator rejects the template; the message gives its reasons.
    """
    # Imported here because these imports take seconds, and only an expansion needs them.
    from samtranslator.model.exceptions import InvalidDocumentException
    from samtranslator.parser.parser import Parser
    from samtranslator.translator.translator import Translator

    texts = {name: ",".join(value) if isinstance(value, list) else value for name, value in values.items()}
    # It warns that AWS's internal feature toggles are missing.
    logging.getLogger("samtranslator").setLevel(logging.ERROR)
    try:
        # The translator reads only the session's region. The empty mapping makes it look up the names of AWS managed
        # policies in its own list.
        session = SimpleNamespace(region_name=region)
        return dict(Translator({}, Parser(), boto_session=session).translate(packaged, texts))
    except InvalidDocumentException as error:
        reasons = "; ".join(cause.message for cause in error.causes)
        raise TemplateError(f"aws-sam-translator rejects the template: {reasons}") from error


def parameter_values(declared: Mapping[str, Any], overrides: Mapping[str, object]) -> dict[str, ParameterValue]:
    """Return the value of every declared parameter: its override or its default.

    Returns
    -------
    Parameter name -> a string, or a list of strings for CommaDelimitedList and List<...> types.

    Raises
    ------
    ParameterError
        An override is not declared, a parameter has no value, or a value violates a constraint
        (AllowedValues, AllowedPattern, MinValue, MaxValue, or Type Number).
    """
    unknown = sorted(set(overrides) - set(declared))
    if unknown:
        known = ", ".join(sorted(declared)) or "none"
        raise ParameterError(f"Unknown parameter: {', '.join(unknown)}. The template declares: {known}.")
    return {name: _value(name, rules, overrides) for name, rules in declared.items()}


def _value(name: str, rules: Mapping[str, Any], overrides: Mapping[str, object]) -> ParameterValue:
    if name not in overrides and "Default" not in rules:
        raise ParameterError(f"Parameter {name} has no default. Set it, for example with --parameter {name}=VALUE.")
    value, kind = as_text(overrides.get(name, rules.get("Default"))), str(rules.get("Type", "String"))
    parts = [part.strip() for part in value.split(",")] if "List" in kind else [value]
    for part in parts:
        if violation := _violation(part, kind, rules):
            raise ParameterError(f"Parameter {name}={part!r} {violation}.")
    return parts if "List" in kind else value


def as_text(value: object) -> str:
    """Return a scalar as CloudFormation writes it: booleans in lower case."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _violation(value: str, kind: str, rules: Mapping[str, Any]) -> str | None:
    allowed = [as_text(choice) for choice in rules.get("AllowedValues", [])]
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
