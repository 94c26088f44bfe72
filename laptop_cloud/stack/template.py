"""template.yaml as the laptop cloud reads it: expanded from SAM, parameters filled in, in creation order. No AWS calls.

aws-sam-translator expands `AWS::Serverless::*` exactly as AWS does on deployment. It accepts only S3 locations for
code and definitions, which is where `laptop_cloud.stack.package` puts them.
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

from laptop_cloud.aws.account import PSEUDO_PARAMETERS, REGION
from laptop_cloud.errors import ParameterError, TemplateError
from laptop_cloud.stack.intrinsics import Lookups, references, resolve
from laptop_cloud.stack.package import Package

ParameterValue = str | list[str]


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """PyYAML's C parser, where it is installed: ten times as fast."""


_Loader.add_multi_constructor("!", intrinsics_multi_constructor)


def read_yaml(text: str) -> Any:
    """A template's text as plain data, `!Ref` and the like written out as AWS SAM reads them."""
    return yaml.load(text, _Loader)  # noqa: S506 - a safe loader


@dataclass(frozen=True)
class Resource:
    """One resource to be made: its properties still hold intrinsic functions."""

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
        Parameter name -> value, overrides applied and checked.
    resources
        Logical id -> resource, those with a false condition left away, in an order in which every resource
        comes after those it refers to.
    """

    def __init__(self, document: Mapping[str, Any], package: Package, parameters: Mapping[str, ParameterValue]) -> None:
        self.package = package
        self.parameters = dict(parameters)
        self._document: dict[str, Any] = self._mapped(document, document.get("Mappings", {}))
        self._check_rules()
        self.resources = self._in_creation_order()

    @classmethod
    def load(cls, path: Path, overrides: Mapping[str, object] | None = None) -> Template:
        """Read and expand the template at `path`.

        Raises
        ------
        TemplateError
            Not there, not YAML, or refused by aws-sam-translator.
        ParameterError
            See `parameter_values`.
        """
        try:
            source = read_yaml(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise TemplateError(f"There is no template at {path}.") from None
        if not isinstance(source, dict) or not source.get("Resources"):
            raise TemplateError(f"{path} is not a CloudFormation template: it has no Resources.")
        values = parameter_values(source.get("Parameters", {}), overrides or {})
        package = Package(path.resolve().parent)
        return cls(expand(package.packaged(source), values), package, values)

    def condition(self, name: str) -> bool:
        """Whether the condition holds; conditions refer to parameters and other conditions only."""
        try:
            expression = self._document["Conditions"][name]
        except KeyError:
            raise TemplateError(f"The template has no condition {name}.") from None
        return bool(resolve(expression, self))

    def parameter(self, name: str) -> Any:
        """Value of a parameter or pseudo parameter; None when there is none of that name."""
        return self.parameters.get(name, PSEUDO_PARAMETERS.get(name))

    def ref(self, logical_id: str) -> Any:
        """See `intrinsics.Lookups`; in conditions CloudFormation allows references to parameters only."""
        value = self.parameter(logical_id)
        if value is None:
            raise TemplateError(f"A condition refers to {logical_id}, which is no parameter.")
        return value

    def attribute(self, logical_id: str, name: str) -> Any:
        """See `laptop_cloud.stack.intrinsics.Lookups`."""
        raise TemplateError(f"A condition refers to {logical_id}.{name}: conditions may name parameters only.")

    def dynamic_reference(self, service: str, reference: str) -> str:
        """See `laptop_cloud.stack.intrinsics.Lookups`."""
        raise TemplateError("A condition holds a dynamic reference: CloudFormation does not resolve those there.")

    def outputs(self) -> dict[str, Any]:
        """Output name -> its unresolved value, those with a false condition left away."""
        return {name: output["Value"] for name, output in self._wanted("Outputs").items()}

    def _mapped(self, value: Any, maps: Mapping[str, Any]) -> Any:
        """`value` with what Fn::FindInMap finds in its place: mappings, too, know parameters only."""
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
            raise TemplateError(f"The template's mappings have no {name}, {first}, {second}.") from None

    def _check_rules(self) -> None:
        """Rules: what CloudFormation demands of parameters that belong together."""
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
        """A section's entries, those with a false condition left away."""
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
        Aws-sam-translator refuses the template; its reasons are in the message.
    """
    # Here, because they take seconds, which only an expansion needs.
    from samtranslator.model.exceptions import InvalidDocumentException
    from samtranslator.parser.parser import Parser
    from samtranslator.translator.translator import Translator

    texts = {name: ",".join(value) if isinstance(value, list) else value for name, value in values.items()}
    logging.getLogger("samtranslator").setLevel(logging.ERROR)  # it warns that AWS's own feature toggles are not here
    try:
        # The translator asks the session for its region and for nothing else. The empty mapping: names of AWS managed
        # policies are found in the list that it brings along.
        session = SimpleNamespace(region_name=region)
        return dict(Translator({}, Parser(), boto_session=session).translate(packaged, texts))
    except InvalidDocumentException as error:
        reasons = "; ".join(cause.message for cause in error.causes)
        raise TemplateError(f"aws-sam-translator refuses the template: {reasons}") from error


def parameter_values(declared: Mapping[str, Any], overrides: Mapping[str, object]) -> dict[str, ParameterValue]:
    """Every declared parameter with its value, the override if there is one, else the default: a text, and a list of
    texts for CommaDelimitedList and List<...> types.

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
