from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from laptop_cloud.errors import ParameterError, TemplateError, UnsupportedResourceError
from laptop_cloud.stack.makers import check_types
from laptop_cloud.stack.template import Template

FIXTURES = Path(__file__).parent / "fixtures"


def written(folder: Path, **sections: Any) -> Path:
    path = folder / "template.yaml"
    path.write_text(yaml.safe_dump({"Transform": "AWS::Serverless-2016-10-31", **sections}))
    return path


def test_sam_resources_are_expanded_offline() -> None:
    template = Template.load(FIXTURES / "template.yaml")
    types = {resource.type for resource in template.resources.values()}
    assert {"AWS::Lambda::Function", "AWS::StepFunctions::StateMachine", "AWS::Scheduler::Schedule"} <= types
    assert not any(kind.startswith("AWS::Serverless::") for kind in types)


def test_every_resource_comes_after_those_it_refers_to() -> None:
    order = list(Template.load(FIXTURES / "template.yaml").resources)
    assert order.index("Messages") < order.index("EchoFunctionRole") < order.index("EchoFunction")
    assert order.index("EchoFunction") < order.index("Machine")
    assert order.index("KeySecret") < order.index("ApiKey") < order.index("UsagePlanKey")


def test_a_resource_with_a_false_condition_is_left_out(tmp_path: Path) -> None:
    either = {"Fn::If": ["Given", {"Ref": "Maybe"}, "x"]}
    path = written(
        tmp_path,
        Parameters={"Own": {"Type": "String", "Default": ""}},
        Conditions={"Given": {"Fn::Not": [{"Fn::Equals": [{"Ref": "Own"}, ""]}]}},
        Resources={
            "Maybe": {"Type": "AWS::SQS::Queue", "Condition": "Given"},
            "Always": {
                "Type": "AWS::SNS::Topic",
                "Properties": {"TopicName": either},
            },
        },
        Outputs={"Url": {"Condition": "Given", "Value": {"Ref": "Maybe"}}},
    )
    assert list(Template.load(path).resources) == ["Always"]
    assert Template.load(path).outputs() == {}
    assert list(Template.load(path, {"Own": "yes"}).resources) == ["Maybe", "Always"]


def test_parameters_that_violate_a_rule_are_rejected_with_its_description(tmp_path: Path) -> None:
    key_given = {"Fn::Not": [{"Fn::Equals": [{"Ref": "Key"}, ""]}]}
    path = written(
        tmp_path,
        Parameters={"Url": {"Type": "String", "Default": ""}, "Key": {"Type": "String", "Default": ""}},
        Rules={
            "Both": {
                "RuleCondition": {"Fn::Not": [{"Fn::Equals": [{"Ref": "Url"}, ""]}]},
                "Assertions": [
                    {
                        "Assert": key_given,
                        "AssertDescription": "Url needs Key",
                    }
                ],
            }
        },
        Resources={"Q": {"Type": "AWS::SQS::Queue"}},
    )
    Template.load(path)
    Template.load(path, {"Url": "u", "Key": "k"})
    with pytest.raises(ParameterError, match="Url needs Key"):
        Template.load(path, {"Url": "u"})


def test_circular_references_are_rejected(tmp_path: Path) -> None:
    resources = {
        "A": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": {"Ref": "B"}}},
        "B": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": {"Ref": "A"}}},
    }
    with pytest.raises(TemplateError, match="Circular references between A, B"):
        Template.load(written(tmp_path, Resources=resources))


def test_an_unsupported_resource_type_is_rejected(tmp_path: Path) -> None:
    template = Template.load(written(tmp_path, Resources={"Net": {"Type": "AWS::EC2::VPC"}}))
    with pytest.raises(UnsupportedResourceError, match=r"Net.*AWS::EC2::VPC.*LEFT_OUT"):
        check_types(template)


def test_a_template_that_sam_rejects_is_rejected_with_its_reason(tmp_path: Path) -> None:
    path = written(tmp_path, Resources={"F": {"Type": "AWS::Serverless::Function", "Properties": {"CodeUri": "f"}}})
    with pytest.raises(TemplateError, match="aws-sam-translator rejects the template.*Handler"):
        Template.load(path)


def test_the_stack_s_name_is_a_pseudo_parameter(tmp_path: Path) -> None:
    named = {"Fn::Sub": "${AWS::StackName}-queue"}
    path = written(
        tmp_path, Resources={"Q": {"Type": "AWS::SQS::Queue"}}, Conditions={"Own": {"Fn::Equals": [named, "own-queue"]}}
    )
    assert not Template.load(path).condition("Own")
    assert Template.load(path, stack_name="own").condition("Own")


def test_a_missing_template_is_named(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match=r"No template found at .*nothing\.yaml"):
        Template.load(tmp_path / "nothing.yaml")
