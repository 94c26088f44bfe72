"""Faults of a valid template: AWS rejects it, charges for it or behaves in an unexpected way.

docs/first-deploy.md lists them; each test checks the template as a profile deploys it.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from fanout_job.settings import Settings
from laptop_cloud.stack.intrinsics import references
from laptop_cloud.stack.package import Package
from laptop_cloud.stack.template import expand, parameter_values
from tests.template.reading import ROOT, TEMPLATE, resources_with

PROFILES: dict[str, dict[str, str]] = {"dev": {}, "prod": {"Profile": "prod", "ApiLogsRole": "create"}}
NAMES = {
    "AWS::DynamoDB::Table": "TableName",
    "AWS::SQS::Queue": "QueueName",
    "AWS::S3::Bucket": "BucketName",
    "AWS::SecretsManager::Secret": "Name",
    "AWS::IAM::Role": "RoleName",
    "AWS::IAM::ManagedPolicy": "ManagedPolicyName",
}
FURTHER_NAMES = {"Name", "FunctionName", "LogGroupName", "AliasName", "TopicName", "DashboardName", "UsagePlanName"}
LAMBDA_LEVELS = {"TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"}

Resources = dict[str, dict[str, Any]]


def deployed(profile: str, **more: str) -> Resources:
    return resources_with(**PROFILES[profile] | more)


@pytest.fixture(scope="module", params=PROFILES)
def resources(request: pytest.FixtureRequest) -> Resources:
    return deployed(request.param)


def of_type(resources: Resources, kind: str) -> Resources:
    return {logical_id: body["Properties"] for logical_id, body in resources.items() if body["Type"] == kind}


def test_no_resource_that_may_outlive_its_stack_has_a_fixed_name(resources: Resources, source: dict[str, Any]) -> None:
    retained = {i for i, body in source["Resources"].items() if body.get("DeletionPolicy", "Delete") != "Delete"}
    looked_at = [i for i in resources if i in retained or resources[i]["Type"] in NAMES]

    assert len(looked_at) > 15
    for logical_id in looked_at:
        body = resources[logical_id]
        assert NAMES.get(body["Type"], "Name") not in body["Properties"], logical_id


def test_a_resource_name_contains_the_stack_name_or_is_the_customers_job_name(resources: Resources) -> None:
    for logical_id, body in resources.items():
        if body["Type"] == "AWS::Lambda::Alias":  # unique only within its function
            continue
        properties = body["Properties"]
        named = {json.dumps(properties[name]) for name in FURTHER_NAMES & set(properties)}
        named -= {json.dumps({"Ref": other}) for other in resources}
        if logical_id == "ChangeLogJob":
            assert named == {'{"Fn::Sub": "etl-${Env}-${Job}"}'}
        else:
            assert all("${AWS::StackName}" in name for name in named), logical_id


def test_a_failed_first_deployment_leaves_no_resources(source: dict[str, Any]) -> None:
    policies = {body.get("DeletionPolicy") for body in source["Resources"].values()}
    kept = {i for i, body in source["Resources"].items() if body.get("DeletionPolicy") == "Retain"}

    assert policies == {None, "Delete", "Retain", "RetainExceptOnCreate"}
    assert kept == {"ApiGatewayAccount", "ApiGatewayLogsRole"}  # account-wide: other APIs may use them


@pytest.mark.parametrize("order", ["none", "key"])
def test_a_queues_policy_names_its_own_queue_and_no_other(order: str) -> None:
    resources = deployed("prod", MessageOrder=order)
    policies = of_type(resources, "AWS::SQS::QueuePolicy").values()

    assert len(policies) == len(of_type(resources, "AWS::SQS::Queue")) == 5
    for policy in policies:
        (queue,) = policy["Queues"]
        named = [statement["Resource"] for statement in policy["PolicyDocument"]["Statement"]]
        assert named == [{"Fn::GetAtt": [queue["Ref"], "Arn"]}] * len(named)


def test_the_log_level_reaches_every_function_and_the_job(resources: Resources, source: dict[str, Any]) -> None:
    level = {"Ref": "LogLevel"}
    functions = of_type(resources, "AWS::Lambda::Function")
    values = set(source["Parameters"]["LogLevel"]["AllowedValues"])

    assert all(properties["LoggingConfig"]["ApplicationLogLevel"] == level for properties in functions.values())
    assert functions["LambdaRunFunction"]["Environment"]["Variables"]["LOG_LEVEL"] == level
    assert resources["ChangeLogJob"]["Properties"]["DefaultArguments"]["--log_level"] == level
    assert values == set(Settings.CHOICES["log_level"])
    assert values < LAMBDA_LEVELS


@pytest.mark.parametrize("function", ["DispatchFunction", "ClaimFunction", "UpdateStatusFunction"])
def test_every_function_that_ends_a_run_has_the_price_of_a_worker(resources: Resources, function: str) -> None:
    variables = resources[function]["Properties"]["Environment"]["Variables"]

    assert variables["GLUE_WORKER_TYPE"] == {"Ref": "GlueWorkerType"}


def test_the_job_runs_on_the_glue_version_of_its_modules(resources: Resources) -> None:
    """Glue 5.0 has no orjson, and no Glue before 6.0 has the Python that Lambda's packages are built for."""
    runtimes = {function["Runtime"] for function in of_type(resources, "AWS::Lambda::Function").values()}

    assert resources["ChangeLogJob"]["Properties"]["GlueVersion"] == "6.0"
    assert runtimes == {"python3.13"}


def test_job_runs_are_not_queued(resources: Resources) -> None:
    assert resources["ChangeLogJob"]["Properties"]["JobRunQueuingEnabled"] is False


def test_ordered_lambda_runs_have_storage_to_sort() -> None:
    ordered, plain = (deployed("dev", MessageOrder=order)["LambdaRunFunction"] for order in ("key", "none"))

    assert ordered["Properties"]["EphemeralStorage"]["Size"] == 10_240
    assert "EphemeralStorage" not in plain["Properties"]


def test_unused_metrics_and_logs_are_off(resources: Resources) -> None:
    arguments = resources["ChangeLogJob"]["Properties"]["DefaultArguments"]
    (stage,) = of_type(resources, "AWS::ApiGateway::Stage").values()

    assert not {"--enable-metrics", "--enable-continuous-cloudwatch-log", "--enable-spark-ui"} & set(arguments)
    assert not any(setting["MetricsEnabled"] for setting in stage["MethodSettings"])


def needed_by(resources: Resources, logical_id: str) -> set[str]:
    found: set[str] = set()
    waiting = {logical_id}
    while waiting:
        body = resources[waiting.pop()]
        new = references(body["Properties"]) & set(resources) - found
        found |= new
        waiting |= new
    return found


def test_no_tick_starts_before_the_config_api_is_ready(resources: Resources) -> None:
    assert needed_by(resources, "DispatchFunctionTick") >= {
        *("ConfigApi", "ConfigApiStage", "ConfigApiKey", "ConfigApiUsagePlan", "ConfigApiUsagePlanKey"),
        *("ConfigApiFunction", "DispatchFunction", "ChangeLogStateMachine"),
    }


def test_with_an_external_config_api_the_schedule_waits_for_no_api() -> None:
    own = {"ConfigApiUrl": "https://config.example.com/providers", "ConfigApiKeySecretArn": "arn:aws:secretsmanager:x"}

    assert not {i for i in needed_by(deployed("dev", **own), "DispatchFunctionTick") if i.startswith("ConfigApi")}


def test_only_the_tick_alarm_is_raised_without_data() -> None:
    alarms = of_type(deployed("prod"), "AWS::CloudWatch::Alarm")

    assert {alarm["TreatMissingData"] for alarm in alarms.values()} == {"missing", "notBreaching"}
    for logical_id, alarm in alarms.items():
        raised_without_data = "InsufficientDataActions" in alarm
        assert raised_without_data is (logical_id == "NoTickAlarm"), logical_id
        assert (alarm["TreatMissingData"] == "missing") is raised_without_data, logical_id


def test_the_api_has_one_stage_and_it_is_guarded(resources: Resources) -> None:
    (stage,) = of_type(resources, "AWS::ApiGateway::Stage").values()
    (deployment,) = of_type(resources, "AWS::ApiGateway::Deployment").values()
    (plan,) = of_type(resources, "AWS::ApiGateway::UsagePlan").values()
    (api,) = of_type(resources, "AWS::ApiGateway::RestApi").values()

    assert "StageName" not in deployment
    assert stage["StageName"] == {"Ref": "Env"}
    assert plan["ApiStages"] == [{"ApiId": {"Ref": "ConfigApi"}, "Stage": {"Ref": "ConfigApiStage"}}]
    operations = [operation for path in api["Body"]["paths"].values() for operation in path.values()]
    assert operations
    assert all({"api_key": []} in operation["security"] for operation in operations)


def test_the_job_gets_script_and_library_only_from_its_stacks_bucket(resources: Resources) -> None:
    (policy,) = resources["ChangeLogJobRole"]["Properties"]["Policies"]
    (statement,) = [s for s in policy["PolicyDocument"]["Statement"] if s["Sid"] == "ScriptAndLibrary"]

    assert statement["Action"] == "s3:GetObject"
    assert statement["Resource"] == {"Fn::Sub": "${DataBucket.Arn}/library/*"}
    assert resources["JobLibrary"]["Properties"]["Prefix"] == "library/"


def test_a_fresh_account_can_deploy_the_dev_profile() -> None:
    """API Gateway rejects access logs while the account has no role for them."""
    dev = deployed("dev")

    assert "AccessLogSetting" not in dev["ConfigApiStage"]["Properties"]
    assert "ConfigApiAccessLogs" not in dev
    for logs in (deployed("dev", ApiLogsRole="create"), deployed("prod"), deployed("prod", ApiLogsRole="exists")):
        assert logs["ConfigApiStage"]["Properties"]["AccessLogSetting"]["DestinationArn"]
        assert "ConfigApiAccessLogs" in logs


def test_no_partition_and_no_domain_is_hard_coded() -> None:
    texts = [path.read_text(encoding="utf-8") for path in (TEMPLATE, ROOT / "statemachine/change_log.asl.json")]

    for text in texts:
        assert "arn:aws:" not in text
        domains, principals = re.compile(r"[\w.]+\.amazonaws\.com"), re.findall(r"Service: (\[[^]]*\]|\S+)", text)
        assert set(domains.findall(text)) == set(domains.findall(" ".join(principals)))


def test_resources_that_sam_adds_use_the_regions_partition(source: dict[str, Any]) -> None:
    values = parameter_values(source["Parameters"], {"Profile": "prod"})
    text = json.dumps(expand(Package(ROOT).packaged(source), values, "cn-north-1")["Resources"])

    assert "arn:aws-cn:" in text
    assert "arn:aws:" not in text


def test_claim_checks_and_quarantine_expire_after_all_messages_that_may_name_them(
    resources: Resources, source: dict[str, Any]
) -> None:
    rules = resources["DataBucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
    expiring = {rule["Prefix"]: rule for rule in rules if "ExpirationInDays" in rule}
    queues = ("ChangesQueue", "ChangesDeadLetterQueue")
    longest = sum(int(resources[queue]["Properties"]["MessageRetentionPeriod"]) for queue in queues)

    assert set(expiring) == {"claim-check/", "quarantine/"}
    assert all(rule["ExpirationInDays"] == {"Ref": "KeepDays"} for rule in expiring.values())
    assert all(rule["Status"] == "Enabled" for rule in rules)
    assert source["Parameters"]["KeepDays"]["MinValue"] * 86_400 > longest


def test_every_point_of_the_page_names_an_existing_test_or_says_where_to_look() -> None:
    text = (ROOT / "docs/first-deploy.md").read_text(encoding="utf-8")
    defined = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^ *(?:async )?def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    rows = [row for row in text.splitlines() if re.match(r"\| \d+ \|", row)]
    named = set(re.findall(r"`(test_\w+)`", text))

    assert [int(row.split("|")[1]) for row in rows] == list(range(1, len(rows) + 1))
    assert len(rows) >= 11
    assert named <= defined
    for row in rows:
        assert "`test_" in row or "**Look**: " in row, row
