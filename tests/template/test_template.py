"""template.yaml: what it names is there, and whoever deploys it is told what each value means."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from local.stack.template import Template
from tests.template.reading import ROOT, TEMPLATE

LOCAL_PATHS = {
    "AWS::Serverless::Function": ("CodeUri",),
    "AWS::Serverless::LayerVersion": ("ContentUri",),
    "AWS::Serverless::StateMachine": ("DefinitionUri",),
    "AWS::Serverless::Api": ("DefinitionUri",),
    "AWS::Glue::Job": ("Command", "ScriptLocation"),
}


def parameters() -> dict[str, dict[str, Any]]:
    from samtranslator.yaml_helper import yaml_parse

    found: dict[str, dict[str, Any]] = yaml_parse(TEMPLATE.read_text(encoding="utf-8"))["Parameters"]
    return found


def lookup(properties: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        properties = properties.get(key) if isinstance(properties, dict) else None
    return properties


def named_files(source: dict[str, Any]) -> dict[str, Path]:
    """Logical id -> the file or folder of this repository that the resource is made from."""
    common = source.get("Globals", {}).get("Function", {})
    found = {}
    for logical_id, resource in source["Resources"].items():
        path = LOCAL_PATHS.get(resource["Type"])
        if path is None:
            continue
        properties = resource.get("Properties", {})
        if resource["Type"] == "AWS::Serverless::Function":
            properties = common | properties
        location = lookup(properties, path)
        if isinstance(location, str) and not location.startswith(("s3://", "https://")):
            found[logical_id] = ROOT / location
    return found


@pytest.mark.parametrize("overrides", [{}, {"Env": "prod"}, {"BookmarkMode": "glue"}, {"MessageOrder": "key"}])
def test_the_template_expands(overrides: dict[str, str]) -> None:
    resources = Template.load(TEMPLATE, overrides).resources

    kinds = {resource.type for resource in resources.values()}
    assert {"AWS::StepFunctions::StateMachine", "AWS::Glue::Job", "AWS::Lambda::Function"} <= kinds


def test_every_file_that_the_template_names_exists(source: dict[str, Any]) -> None:
    files = named_files(source)

    assert {"ChangeLogJob", "ChangeLogStateMachine", "DispatchFunction", "SmallRunFunction"} <= set(files)
    assert not {logical_id: str(path) for logical_id, path in files.items() if not path.exists()}
    assert files["ChangeLogJob"] == ROOT / "glue/change_log.py"


def test_every_handler_is_a_function_of_its_module(source: dict[str, Any]) -> None:
    files = named_files(source)
    common = source["Globals"]["Function"]
    wanted = {
        logical_id: (common | resource["Properties"])["Handler"].rpartition(".")
        for logical_id, resource in source["Resources"].items()
        if resource["Type"] == "AWS::Serverless::Function"
    }

    for logical_id, (module, _, function) in wanted.items():
        text = files[logical_id].joinpath(f"{module}.py").read_text(encoding="utf-8")
        assert re.search(rf"^(def {function}\(|{function} = )", text, re.MULTILINE), (logical_id, function)


@pytest.mark.parametrize("name", sorted(parameters()))
def test_every_parameter_says_what_it_means_and_what_it_may_be(name: str) -> None:
    rules = parameters()[name]

    assert len(rules.get("Description", "")) > 15
    bounded = {"AllowedValues", "AllowedPattern"} & set(rules) or {"MinValue", "MaxValue"} <= set(rules)
    assert bounded, f"{name} takes anything"


def test_every_output_says_what_it_is(source: dict[str, Any]) -> None:
    assert source["Outputs"]
    assert not [name for name, output in source["Outputs"].items() if len(output.get("Description", "")) < 10]


def test_every_parameter_is_used(source: dict[str, Any]) -> None:
    text = TEMPLATE.read_text(encoding="utf-8").partition("\nParameters:")[2]
    used = {name for name in source["Parameters"] if re.search(rf"(!Ref {name}\b|\$\{{{name}\}}|Ref: {name}\b)", text)}

    assert used == set(source["Parameters"])


def test_the_template_stays_short_enough_to_be_read(source: dict[str, Any]) -> None:
    assert len(source["Parameters"]) <= 32
    assert len(TEMPLATE.read_text(encoding="utf-8").splitlines()) <= 1300


def test_the_schedule_gives_the_dispatcher_its_own_scheduled_time(template: Template) -> None:
    schedules = [item for item in template.resources.values() if item.type == "AWS::Scheduler::Schedule"]

    assert len(schedules) == 1
    assert "<aws.scheduler.scheduled-time>" in str(schedules[0].properties["Target"]["Input"])
