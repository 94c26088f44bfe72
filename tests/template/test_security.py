"""template.yaml: permissions, encryption, retention, and the resources that the dev profile omits."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib.metadata import requires
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from laptop_cloud.stack.intrinsics import resolve
from tests.template.reading import ROOT, resources_with, template_with
from tools.iam import EVERYTHING, Names, documents

PROFILES: dict[str, dict[str, str]] = {"dev": {}, "prod": {"Profile": "prod", "ApiLogsRole": "create"}}
KEPT = {"AWS::DynamoDB::Table", "AWS::S3::Bucket", "AWS::KMS::Key", "AWS::SecretsManager::Secret"}
ALLOWED_WILDCARDS = {
    "lambda:GetAccountSettings": "an account has one limit of concurrent functions",
    "dynamodb:ListStreams": "lists of streams know no resource",
    "kinesis:ListStreams": "lists of streams know no resource",
    **{
        f"ec2:Describe{kind}": "lists of EC2 know no resource"
        for kind in ("Subnets", "SecurityGroups", "VpcEndpoints", "RouteTables", "NetworkInterfaces")
    },
} | {
    f"logs:{action}": "log delivery knows no resource"
    for action in (
        *("CreateLogDelivery", "GetLogDelivery", "UpdateLogDelivery", "DeleteLogDelivery", "ListLogDeliveries"),
        *("PutResourcePolicy", "DescribeResourcePolicies", "DescribeLogGroups"),
    )
}


def properties_of(profile: str, **more: object) -> dict[str, tuple[str, dict[str, Any]]]:
    template = template_with(**PROFILES[profile] | more)
    names = Names(template, None)
    return {i: (r.type, resolve(r.properties, names)) for i, r in template.resources.items()}


def of_type(resources: dict[str, tuple[str, dict[str, Any]]], kind: str) -> dict[str, dict[str, Any]]:
    return {logical_id: properties for logical_id, (found, properties) in resources.items() if found == kind}


@pytest.fixture(scope="module")
def prod() -> dict[str, tuple[str, dict[str, Any]]]:
    return properties_of("prod")


@pytest.fixture(scope="module")
def dev() -> dict[str, tuple[str, dict[str, Any]]]:
    return properties_of("dev")


def statements(parameters: dict[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, document in documents(template_with(**parameters)).items():
        for statement in document["Statement"]:
            yield name, statement


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@pytest.mark.parametrize("parameters", [*PROFILES.values(), EVERYTHING], ids=[*PROFILES, "everything"])
def test_no_role_may_do_everything_of_a_service_or_on_everything(parameters: dict[str, str]) -> None:
    for name, statement in statements(parameters):
        actions = listed(statement["Action"])
        assert not [action for action in actions if "*" in action], name
        if statement["Effect"] == "Allow" and "*" in listed(statement["Resource"]):
            assert set(actions) <= set(ALLOWED_WILDCARDS), name


def test_every_function_has_a_role_of_its_own(prod: dict[str, tuple[str, dict[str, Any]]]) -> None:
    roles = [json.dumps(properties["Role"]) for properties in of_type(prod, "AWS::Lambda::Function").values()]

    assert len(set(roles)) == len(roles) == 7


def test_the_docs_say_what_each_function_may_do(source: dict[str, Any]) -> None:
    roles = (ROOT / "docs/security.md").read_text(encoding="utf-8").partition("| role | may |")[2].partition("\n\n")[0]
    functions = {name for name, found in source["Resources"].items() if found["Type"] == "AWS::Serverless::Function"}
    described = {
        name for row in roles.splitlines() for name in row.split("|")[1:2] for name in re.findall(r"\w+", name)
    }

    assert functions - described == set()


def test_every_role_takes_the_permissions_boundary() -> None:
    arn = "arn:aws:iam::123456789012:policy/boundary"
    roles = of_type(properties_of("prod", PermissionsBoundaryArn=arn), "AWS::IAM::Role")

    assert len(roles) >= 10
    assert {properties.get("PermissionsBoundary") for properties in roles.values()} == {arn}


def test_the_accounts_role_for_api_logs_is_created_only_on_request() -> None:
    one = {"ApiGatewayAccount", "ApiGatewayLogsRole"}

    assert one <= set(properties_of("dev", ApiLogsRole="create"))
    assert not one & set(properties_of("dev"))


def test_prod_encrypts_everything_that_holds_data_with_the_stacks_key(
    prod: dict[str, tuple[str, dict[str, Any]]],
) -> None:
    arn = "arn:aws:kms:us-east-1:123456789012:key/DataKey"
    keys = {
        logical_id: found
        for kind, where in {
            "AWS::DynamoDB::Table": lambda p: p["SSESpecification"]["KMSMasterKeyId"],
            "AWS::Lambda::Function": lambda p: p["KmsKeyArn"],
            "AWS::Logs::LogGroup": lambda p: p["KmsKeyId"],
            "AWS::SecretsManager::Secret": lambda p: p["KmsKeyId"],
            "AWS::SQS::Queue": lambda p: p["KmsMasterKeyId"],
            "AWS::SNS::Topic": lambda p: p["KmsMasterKeyId"],
            "AWS::Scheduler::Schedule": lambda p: p["KmsKeyArn"],
        }.items()
        for logical_id, properties in of_type(prod, kind).items()
        for found in [where(properties)]
    }
    assert len(keys) > 15
    assert set(keys.values()) <= {arn, "DataKey"}
    rule = prod["DataBucket"][1]["BucketEncryption"]["ServerSideEncryptionConfiguration"][0]
    assert rule["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": arn}
    assert prod["ChangeLogJob"][1]["SecurityConfiguration"] == "ChangeLogJobSecurity"


def test_every_role_that_uses_encrypted_resources_may_use_the_key(
    prod: dict[str, tuple[str, dict[str, Any]]],
) -> None:
    roles = of_type(prod, "AWS::IAM::Role")
    without = {name for name, properties in roles.items() if "UseKeysPolicy" not in properties["ManagedPolicyArns"]}

    # The state machine passes references, and its history is encrypted by AWS's key (docs/security.md says why).
    assert without == {"ChangeLogStateMachineRole", "ApiGatewayLogsRole"}


def test_services_that_write_directly_may_use_the_key(prod: dict[str, tuple[str, dict[str, Any]]]) -> None:
    principals = [
        service
        for statement in prod["DataKey"][1]["KeyPolicy"]["Statement"]
        for service in listed(statement["Principal"].get("Service", []))
    ]
    assert principals == [
        "events.amazonaws.com",
        "s3.amazonaws.com",
        "sns.amazonaws.com",
        "cloudwatch.amazonaws.com",
        "logs.us-east-1.amazonaws.com",
    ]


@pytest.mark.parametrize("profile", PROFILES)
def test_buckets_and_queues_refuse_plain_http(profile: str) -> None:
    resources = properties_of(profile)
    guarded = set()
    for policy in [*of_type(resources, "AWS::SQS::QueuePolicy").values()]:
        guarded |= set(policy["Queues"]) if _tls_only(policy) else set()
    for policy in of_type(resources, "AWS::S3::BucketPolicy").values():
        guarded |= {policy["Bucket"]} if _tls_only(policy) else set()
    stored = {*of_type(resources, "AWS::SQS::Queue"), *of_type(resources, "AWS::S3::Bucket")}

    assert stored == guarded


def _tls_only(policy: dict[str, Any]) -> bool:
    return any(
        s["Effect"] == "Deny" and s["Condition"] == {"Bool": {"aws:SecureTransport": "false"}} and s["Principal"] == "*"
        for s in policy["PolicyDocument"]["Statement"]
    )


@pytest.mark.parametrize("profile", PROFILES)
def test_no_bucket_can_be_made_public(profile: str) -> None:
    for properties in of_type(properties_of(profile), "AWS::S3::Bucket").values():
        assert all(properties["PublicAccessBlockConfiguration"].values())
        assert len(properties["PublicAccessBlockConfiguration"]) == 4


def test_prod_protects_tables_from_deletion_and_both_profiles_have_point_in_time_recovery(
    prod: dict[str, tuple[str, dict[str, Any]]], dev: dict[str, tuple[str, dict[str, Any]]]
) -> None:
    for resources, protected in ((prod, True), (dev, False)):
        for table in of_type(resources, "AWS::DynamoDB::Table").values():
            assert table["DeletionProtectionEnabled"] is protected
            assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}


def test_dev_has_no_resource_with_a_monthly_price(dev: dict[str, tuple[str, dict[str, Any]]]) -> None:
    kinds = {kind for kind, _ in dev.values()}

    assert not kinds & {"AWS::KMS::Key", "AWS::CloudWatch::Alarm", "AWS::CloudWatch::Dashboard", "AWS::SNS::Topic"}
    environment = dev["DispatchFunction"][1]["Environment"]["Variables"]
    assert environment["POWERTOOLS_METRICS_DISABLED"] == "true"


@pytest.mark.parametrize("profile", PROFILES)
def test_every_function_writes_to_a_log_group_of_the_stack_with_a_retention(profile: str) -> None:
    resources = properties_of(profile)
    groups = of_type(resources, "AWS::Logs::LogGroup")

    for properties in of_type(resources, "AWS::Lambda::Function").values():
        assert properties["LoggingConfig"]["LogFormat"] == "JSON"
        assert properties["LoggingConfig"]["LogGroup"] in groups
    assert all(int(group["RetentionInDays"]) == 30 for group in groups.values())
    prefix = resources["ChangeLogJob"][1]["DefaultArguments"]["--custom-logGroup-prefix"]
    assert {f"{prefix}/output", f"{prefix}/error"} <= {group["LogGroupName"] for group in groups.values()}


def test_the_access_log_has_no_key(prod: dict[str, tuple[str, dict[str, Any]]]) -> None:
    (stage,) = of_type(prod, "AWS::ApiGateway::Stage").values()

    assert "$context.identity.apiKeyId" in stage["AccessLogSetting"]["Format"]
    assert not re.search(r"identity\.apiKey(?!Id)|requestOverride|\$input", stage["AccessLogSetting"]["Format"])
    assert not any(setting.get("DataTraceEnabled") for setting in stage["MethodSettings"])


def test_no_variable_or_argument_holds_a_secret(source: dict[str, Any]) -> None:
    """The only secret goes from Secrets Manager to API Gateway's key, and is used nowhere else in the template."""
    found = [
        logical_id
        for logical_id, resource in source["Resources"].items()
        if "resolve:secretsmanager" in json.dumps(resource, default=str)
    ]
    assert found == ["ConfigApiKey"]


def test_the_stack_policy_protects_whatever_is_retained(source: dict[str, Any]) -> None:
    policy = json.loads((ROOT / "stack-policy.json").read_text(encoding="utf-8"))
    allow, deny = policy["Statement"]
    named = {resource.removeprefix("LogicalResourceId/") for resource in deny["Resource"]}
    retained = {i for i, r in source["Resources"].items() if r.get("DeletionPolicy") == "RetainExceptOnCreate"}

    assert (allow["Effect"], deny["Effect"]) == ("Allow", "Deny")
    assert deny["Action"] == ["Update:Replace", "Update:Delete"]
    assert named == retained | {"ConfigApiKeySecret"}
    assert named == {i for i in named if source["Resources"][i]["Type"] in KEPT | {"AWS::SQS::Queue"}}


@pytest.mark.parametrize("path", sorted((ROOT / ".github/workflows").glob("*.yml")), ids=lambda p: p.name)
def test_workflows_pin_actions_by_commit_and_contain_no_key(path: Any) -> None:
    text = path.read_text(encoding="utf-8")
    workflow = yaml.safe_load(text)
    used = re.findall(r"uses: (\S+)(.*)", text)

    assert workflow["permissions"] == {"contents": "read"}
    assert used
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action) for action, _ in used)
    assert all(re.fullmatch(r"  # v\d+\.\d+\.\d+", version) for _, version in used)
    assert "secrets." not in text


def test_only_the_deployment_may_ask_for_an_identity_token() -> None:
    asking = [p.name for p in (ROOT / ".github/workflows").glob("*.yml") if "id-token: write" in p.read_text("utf-8")]

    assert asking == ["deploy.yml"]


def test_prod_is_deployed_with_the_prod_profile() -> None:
    import tomllib

    settings = tomllib.loads((ROOT / "samconfig.toml").read_text(encoding="utf-8"))

    assert "Profile=prod" in settings["prod"]["deploy"]["parameters"]["parameter_overrides"]


def test_checkov_checks_all_resources_that_prod_deploys() -> None:
    seen = resources_with(Profile="prod")
    text = json.dumps(seen)

    assert set(seen) == set(template_with(Profile="prod").resources)
    assert "Fn::If" not in text
    assert "AWS::NoValue" not in text
    assert seen["RunLedger"]["Properties"]["DeletionProtectionEnabled"] is True
    assert seen["AccessLogBucket"]["Metadata"]["checkov"]["skip"][0]["comment"]


@pytest.mark.parametrize("path", [".checkov.yaml", "template.yaml"])
def test_every_check_that_is_skipped_says_why(path: str) -> None:
    lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
    skips = [number for number, line in enumerate(lines) if re.match(r"\s*- (id: )?(CKV|WS|ES|W|E)\w+\d", line)]

    assert len(skips) >= 3
    for number in skips:
        around = (
            lines[number - 1].strip(),
            lines[number],
            lines[number + 1 if number + 1 < len(lines) else number].strip(),
        )
        explained = around[0].startswith("#") or "  # " in around[1] or around[2].startswith("comment: ")
        assert explained, lines[number]


@pytest.mark.parametrize("folder", ["functions", "glue"])
def test_everything_that_is_deployed_is_pinned(folder: str) -> None:
    """Dependencies of packages are pinned too; otherwise two builds could differ."""
    text = (ROOT / folder / "requirements.txt").read_text(encoding="utf-8")
    pinned = {canonicalize_name(name) for name in re.findall(r"^([A-Za-z0-9._-]+)==", text, re.MULTILINE)}
    needed = [Requirement(line) for name in pinned for line in requires(name) or ()]

    assert len(pinned) > 8
    assert {
        canonicalize_name(need.name) for need in needed if need.marker is None or need.marker.evaluate({"extra": ""})
    } <= pinned


def test_every_function_of_the_template_is_in_the_table_of_roles(source: dict[str, Any]) -> None:
    text = (ROOT / "docs/security.md").read_text(encoding="utf-8").partition("## Roles")[2].partition("\n## ")[0]
    named = {
        name for row in re.findall(r"^\| (\w[^|]*) \|", text, re.MULTILINE) for name in re.findall(r"[A-Z]\w+", row)
    }
    kinds = {"AWS::Serverless::Function", "AWS::Serverless::StateMachine", "AWS::Glue::Job"}
    working = {i for i, resource in source["Resources"].items() if resource["Type"] in kinds}

    assert len(working) == 10
    assert named == working | {"TickRole"}


def test_topics_and_rules_of_the_account_may_send_object_events() -> None:
    statements = properties_of("prod")["ObjectEventsQueuePolicy"][1]["PolicyDocument"]["Statement"]
    (allowed,) = [one for one in statements if one["Sid"] == "TopicsAndRules"]

    assert allowed["Principal"] == {"Service": ["sns.amazonaws.com", "events.amazonaws.com"]}
    assert allowed["Action"] == "sqs:SendMessage"
    assert allowed["Condition"] == {"ArnLike": {"aws:SourceArn": "arn:aws:*:*:123456789012:*"}}
