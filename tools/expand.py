"""Write the template as one profile deploys it: expanded from SAM, with every condition decided.

    python -m tools.expand template.yaml Profile=prod > expanded.json

checkov looks at the defaults only and leaves away what their conditions leave away, so without this nobody would check
the prod profile.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from samtranslator.yaml_helper import yaml_parse

from local.stack.template import Template


def expanded(path: Path, parameters: dict[str, object]) -> dict[str, Any]:
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


def main() -> int:
    """Print the expanded template as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("template", type=Path)
    parser.add_argument("parameters", nargs="*", metavar="Name=value")
    options = parser.parse_args()
    parameters: dict[str, object] = dict(given.split("=", 1) for given in options.parameters)
    json.dump(expanded(options.template, parameters), sys.stdout, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
