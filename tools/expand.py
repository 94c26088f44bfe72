"""Write the template as one profile deploys it: expanded from SAM, with every condition resolved.

    python -m tools.expand template.yaml Profile=prod > expanded.json

checkov only checks the template with the default parameters, so without this the prod profile would be unchecked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from samtranslator.yaml_helper import yaml_parse

from laptop_cloud.stack.template import Template


def expanded(path: Path, parameters: Mapping[str, object]) -> dict[str, Any]:
    """The plain CloudFormation template of these parameter values, with `Metadata`, which explains what is skipped."""
    template = Template.load(path, parameters)
    source = yaml_parse(path.read_text(encoding="utf-8"))["Resources"]
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Resources": {
            logical_id: {
                "Type": resource.type,
                "Metadata": source.get(logical_id, {}).get("Metadata", {}),
                "Properties": decided(resource.properties, template),
            }
            for logical_id, resource in template.resources.items()
        },
    }


def decided(value: Any, template: Template) -> Any:
    """`value` with the branch that is taken in place of each Fn::If, and without what is AWS::NoValue."""
    if isinstance(value, list):
        return [item for item in (decided(item, template) for item in value) if item != {"Ref": "AWS::NoValue"}]
    if not isinstance(value, dict):
        return value
    if set(value) == {"Fn::If"}:
        name, when_true, when_false = value["Fn::If"]
        return decided(when_true if template.condition(name) else when_false, template)
    found = {key: decided(item, template) for key, item in value.items()}
    return {key: item for key, item in found.items() if item != {"Ref": "AWS::NoValue"}}


def main(template: Path, parameters: Annotated[list[str] | None, typer.Argument(metavar="Name=value")] = None) -> None:
    """Print the expanded template as JSON."""
    print(json.dumps(expanded(template, dict(given.split("=", 1) for given in parameters or ())), indent=1))


if __name__ == "__main__":
    typer.run(main)
