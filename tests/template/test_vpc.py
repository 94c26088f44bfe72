"""template.yaml with and without a VPC: the network of functions and job, and who may manage network interfaces."""

from __future__ import annotations

import re
from typing import Any

import pytest

from laptop_cloud.errors import ParameterError
from laptop_cloud.stack.intrinsics import resolve
from laptop_cloud.stack.makers import check_types
from tests.harness.permissions import AWS_MANAGED
from tests.template.reading import template_with
from tools.iam import EVERYTHING, Names

VPC = {name: value for name, value in EVERYTHING.items() if name.startswith("Vpc")}
SUBNETS, GROUPS = (VPC[name].split(",") for name in ("VpcSubnetIds", "VpcSecurityGroupIds"))
PROFILES = {"dev": {}, "prod": {"Profile": "prod", "ApiLogsRole": "create"}}
PRODUCER = {name: EVERYTHING[name] for name in ("SourceStreamArn", "ProviderAttribute")}
EC2 = "arn:aws:ec2:us-east-1"

Resources = dict[str, tuple[str, dict[str, Any]]]


def resources(profile: str, **more: str) -> Resources:
    template = template_with(**PROFILES[profile], **PRODUCER, **more)
    check_types(template)
    names = Names(template, None)
    return {name: (item.type, resolve(item.properties, names)) for name, item in template.resources.items()}


def functions(found: Resources) -> dict[str, dict[str, Any]]:
    return {name: properties for name, (kind, properties) in found.items() if kind == "AWS::Lambda::Function"}


@pytest.mark.parametrize("profile", PROFILES)
def test_with_a_vpc_every_function_and_the_job_are_in_it(profile: str) -> None:
    found = resources(profile, **VPC)
    networks = {name: properties["VpcConfig"] for name, properties in functions(found).items()}
    _, job = found["ChangeLogJob"]
    kind, network = found["JobNetwork"]

    assert len(networks) == 8
    assert all(one == {"SubnetIds": SUBNETS, "SecurityGroupIds": GROUPS} for one in networks.values())
    assert job["Connections"] == {"Connections": ["JobNetwork"]}
    assert job["DefaultArguments"]["--disable-proxy-v2"] == "true"
    assert (kind, network["ConnectionInput"]["ConnectionType"]) == ("AWS::Glue::Connection", "NETWORK")
    assert network["ConnectionInput"]["PhysicalConnectionRequirements"] == {
        "SubnetId": SUBNETS[0],
        "AvailabilityZone": "us-east-1a",
        "SecurityGroupIdList": GROUPS,
    }


@pytest.mark.parametrize("profile", PROFILES)
def test_without_a_vpc_nothing_of_it_is_left(profile: str) -> None:
    found = resources(profile)
    _, job = found["ChangeLogJob"]
    _, role = found["ChangeLogJobRole"]

    assert len(functions(found)) == 8
    assert not [name for name, properties in functions(found).items() if "VpcConfig" in properties]
    assert "JobNetwork" not in found
    assert "Connections" not in job
    assert "--disable-proxy-v2" not in job["DefaultArguments"]
    assert [policy["PolicyName"] for policy in role["Policies"]] == ["glue-runtime"]


def test_the_job_creates_and_deletes_interfaces_only_in_its_subnet_and_security_groups() -> None:
    _, role = resources("dev", **VPC)["ChangeLogJobRole"]
    (policy,) = [one for one in role["Policies"] if one["PolicyName"] == "network"]
    found = {one["Sid"]: one for one in policy["PolicyDocument"]["Statement"]}

    subnet = f"{EC2}:*:subnet/{SUBNETS[0]}"
    interfaces = f"{EC2}:123456789012:network-interface/*"
    assert found["CreateInterfaces"]["Resource"] == [interfaces, f"{EC2}:*:security-group/*", subnet]
    assert found["CreateInterfaces"]["Condition"] == {"StringEqualsIfExists": {"ec2:SecurityGroupID": GROUPS}}
    assert found["DeleteInterfaces"]["Resource"] == interfaces
    assert found["DeleteInterfaces"]["Condition"] == {"ArnLike": {"ec2:Subnet": subnet}}
    assert found["TagInterfaces"]["Condition"] == {
        "ForAllValues:StringEquals": {"aws:TagKeys": ["aws-glue-service-resource"]}
    }


@pytest.mark.parametrize("vpc", [{}, VPC], ids=["without", "with"])
def test_the_code_of_no_function_may_manage_network_interfaces(vpc: dict[str, str]) -> None:
    """SAM attaches AWSLambdaVPCAccessExecutionRole to each role in both cases."""
    found = resources("prod", **vpc)
    (deny,) = found["NoNetworkPolicy"][1]["PolicyDocument"]["Statement"]
    allowed = {one for one in AWS_MANAGED["service-role/AWSLambdaVPCAccessExecutionRole"] if one.startswith("ec2:")}
    pattern = deny["Condition"]["ArnLike"]["lambda:SourceFunctionArn"]

    assert (deny["Effect"], deny["Resource"]) == ("Deny", "*")
    assert len(allowed) == 6
    assert allowed <= set(deny["Action"])
    assert pattern.startswith("arn:aws:lambda:us-east-1:123456789012:function:")
    for name, properties in functions(found).items():
        attached = found[f"{name}Role"][1]["ManagedPolicyArns"]
        assert "NoNetworkPolicy" in attached
        assert "arn:aws:iam::aws:policy/service-role/AWSLambdaVPCAccessExecutionRole" in attached
        assert re.fullmatch(pattern.rpartition(":")[2].replace("*", ".+"), properties["FunctionName"])


@pytest.mark.parametrize("missing", VPC)
def test_a_part_of_a_vpc_is_rejected(missing: str) -> None:
    part = {name: value for name, value in VPC.items() if name != missing}

    with pytest.raises(ParameterError, match="Set VpcSubnetIds, VpcSecurityGroupIds and VpcAvailabilityZone, or none"):
        template_with(**part)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("VpcSubnetIds", "subnet-0a1b2c3d, subnet-4e5f6a7b"),
        ("VpcSubnetIds", "vpc-0a1b2c3d"),
        ("VpcSubnetIds", ",".join(["subnet-0a1b2c3d"] * 17)),
        ("VpcSecurityGroupIds", "default"),
        ("VpcSecurityGroupIds", ",".join(["sg-0a1b2c3d"] * 6)),
        ("VpcAvailabilityZone", "us-east-1"),
        ("VpcAvailabilityZone", "use1-az1"),
    ],
)
def test_an_invalid_network_is_rejected(name: str, value: str) -> None:
    with pytest.raises(ParameterError, match=f"Parameter {name}="):
        template_with(**VPC | {name: value})


@pytest.mark.parametrize("zone", ["us-east-1a", "us-gov-west-1b", "us-west-2-lax-1a", "eusc-de-east-1a"])
def test_zones_of_every_kind_of_region_are_accepted(zone: str) -> None:
    network = template_with(**VPC | {"VpcAvailabilityZone": zone}).resources["JobNetwork"].properties

    requirements = network["ConnectionInput"]["PhysicalConnectionRequirements"]
    assert requirements["AvailabilityZone"] == {"Ref": "VpcAvailabilityZone"}
