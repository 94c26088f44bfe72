from __future__ import annotations

from typing import Any

import pytest

from laptop_cloud.errors import TemplateError
from laptop_cloud.stack.intrinsics import references, resolve


class Values:
    """Lookups with a value of each kind."""

    def ref(self, logical_id: str) -> Any:
        return {"Env": "dev", "Queue": "http://queue", "Zones": ["x", "y"]}[logical_id]

    def attribute(self, logical_id: str, name: str) -> Any:
        return f"{logical_id}/{name}"

    def condition(self, name: str) -> bool:
        return {"Yes": True, "No": False}[name]

    def dynamic_reference(self, service: str, reference: str) -> str:
        return f"<{service} {reference}>"


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ({"Ref": "Queue"}, "http://queue"),
        ({"Fn::GetAtt": ["Queue", "Arn"]}, "Queue/Arn"),
        ({"Fn::GetAtt": "Queue.Arn"}, "Queue/Arn"),
        ({"Fn::Sub": "a-${Env}-${Queue.Arn}-${!literal}"}, "a-dev-Queue/Arn-${literal}"),
        ({"Fn::Sub": ["${Own}-${Env}", {"Own": {"Ref": "Env"}}]}, "dev-dev"),
        ({"Fn::If": ["Yes", 1, 2]}, 1),
        ({"Fn::If": ["No", 1, {"Ref": "Env"}]}, "dev"),
        ({"Fn::Join": ["-", ["a", {"Ref": "Env"}]]}, "a-dev"),
        ({"Fn::Join": [",", {"Ref": "Zones"}]}, "x,y"),
        ({"Fn::Split": ["/", "a/b"]}, ["a", "b"]),
        ({"Fn::Select": ["1", {"Fn::Split": ["/", "a/b"]}]}, "b"),
        ({"Fn::Equals": [{"Ref": "Env"}, "dev"]}, True),
        ({"Fn::And": [{"Condition": "Yes"}, {"Condition": "No"}]}, False),
        ({"Fn::Or": [{"Condition": "Yes"}, {"Condition": "No"}]}, True),
        ({"Fn::Not": [{"Condition": "No"}]}, True),
        ("{{resolve:secretsmanager:arn:x:SecretString:key}}", "<secretsmanager arn:x:SecretString:key>"),
        ({"Fn::Sub": "{{resolve:secretsmanager:${Queue}:SecretString}}"}, "<secretsmanager http://queue:SecretString>"),
        ({"Condition": {"StringEquals": {"a": {"Ref": "Env"}}}}, {"Condition": {"StringEquals": {"a": "dev"}}}),
    ],
)
def test_each_function_returns_the_value_that_cloudformation_returns(expression: Any, value: Any) -> None:
    assert resolve(expression, Values()) == value


def test_no_value_removes_its_property_or_list_item() -> None:
    no_value = {"Ref": "AWS::NoValue"}
    assert resolve({"a": no_value, "b": [1, {"Fn::If": ["No", 2, no_value]}]}, Values()) == {"b": [1]}


def test_an_unknown_function_is_named() -> None:
    with pytest.raises(TemplateError, match="Fn::Cidr"):
        resolve({"Fn::Cidr": ["10.0.0.0/8", 1, 8]}, Values())


def test_wrong_arguments_are_shown() -> None:
    with pytest.raises(TemplateError, match="Wrong arguments for Fn::Join"):
        resolve({"Fn::Join": "oops"}, Values())


def test_nested_references_are_found() -> None:
    value = {"a": [{"Ref": "One"}, {"Fn::Sub": ["${Two.Arn}${Own}", {"Own": {"Fn::GetAtt": "Three.Arn"}}]}]}
    assert references(value) == {"One", "Two", "Three"}
