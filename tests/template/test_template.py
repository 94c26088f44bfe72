"""template.yaml: the files and handlers that it names exist, and every parameter and output is described."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from laptop_cloud.stack.intrinsics import resolve
from laptop_cloud.stack.template import Template
from tests.template.reading import ROOT, TEMPLATE, template_with, written
from tools.iam import Names

LOCAL_PATHS = {
    "AWS::Serverless::Function": ("CodeUri",),
    "AWS::Serverless::LayerVersion": ("ContentUri",),
    "AWS::Serverless::StateMachine": ("DefinitionUri",),
    "AWS::Serverless::Api": ("DefinitionUri",),
    "AWS::Glue::Job": ("Command", "ScriptLocation"),
}


def parameters() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = written()["Parameters"]
    return found


def handler_of(properties: dict[str, Any]) -> str:
    """The handler's name in a stack with the default job."""
    handler = properties["Handler"]
    return handler if isinstance(handler, str) else str(handler["Fn::Sub"]).replace("${Job}", "change_log")


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


@pytest.mark.parametrize(
    "overrides", [{}, {"Env": "prod"}, {"Job": "standardize"}, {"BookmarkMode": "glue"}, {"MessageOrder": "key"}]
)
def test_the_template_expands(overrides: dict[str, str]) -> None:
    resources = template_with(**overrides).resources

    kinds = {resource.type for resource in resources.values()}
    assert {"AWS::StepFunctions::StateMachine", "AWS::Glue::Job", "AWS::Lambda::Function"} <= kinds


def test_every_file_that_the_template_names_exists(source: dict[str, Any]) -> None:
    files = named_files(source)

    assert {"ChangeLogStateMachine", "DispatchFunction", "LambdaRunFunction"} <= set(files)
    assert not {logical_id: str(path) for logical_id, path in files.items() if not path.exists()}


@pytest.mark.parametrize("job", ["change_log", "standardize"])
def test_a_job_is_the_script_of_its_name_on_both_engines(job: str) -> None:
    template = template_with(Job=job)
    names = Names(template, None)
    properties = {name: resolve(item.properties, names) for name, item in template.resources.items()}

    assert properties["ChangeLogJob"]["Name"] == f"etl-dev-{job}"
    assert template.resources["ChangeLogJob"].properties["Command"]["ScriptLocation"] == {
        "Fn::GetAtt": ["JobLibrary", "Script"]
    }
    assert properties["ChangeLogJob"]["DefaultArguments"]["--job"] == job == properties["JobLibrary"]["Job"]
    assert properties["LambdaRunFunction"]["Handler"] == f"{job}.handler"
    assert properties["LambdaRunFunction"]["Environment"]["Variables"]["JOB"] == job
    assert (ROOT / "glue" / f"{job}.py").is_file()


def test_every_handler_is_a_function_of_its_module(source: dict[str, Any]) -> None:
    files = named_files(source)
    common = source["Globals"]["Function"]
    wanted = {
        logical_id: handler_of(common | resource["Properties"]).rpartition(".")
        for logical_id, resource in source["Resources"].items()
        if resource["Type"] == "AWS::Serverless::Function"
    }

    for logical_id, (module, _, function) in wanted.items():
        text = files[logical_id].joinpath(f"{module}.py").read_text(encoding="utf-8")
        assert re.search(rf"^(def {function}\(|{function} = )", text, re.MULTILINE), (logical_id, function)


@pytest.mark.parametrize("name", sorted(parameters()))
def test_every_parameter_has_a_description_and_a_pattern(name: str) -> None:
    rules = parameters()[name]

    assert len(rules.get("Description", "")) > 15
    bounded = {"AllowedValues", "AllowedPattern"} & set(rules) or {"MinValue", "MaxValue"} <= set(rules)
    assert bounded, f"{name} has no pattern"


def test_every_output_has_a_description(source: dict[str, Any]) -> None:
    assert source["Outputs"]
    assert not [name for name, output in source["Outputs"].items() if len(output.get("Description", "")) < 10]


def test_every_parameter_is_used(source: dict[str, Any]) -> None:
    text = TEMPLATE.read_text(encoding="utf-8").partition("\nParameters:")[2]
    used = {name for name in source["Parameters"] if re.search(rf"(!Ref {name}\b|\$\{{{name}\}}|Ref: {name}\b)", text)}

    assert used == set(source["Parameters"])


def test_conditions_use_only_the_functions_that_aws_documents_for_them(source: dict[str, Any]) -> None:
    # Source: "Condition functions", CloudFormation Template Reference. Others may work on AWS, but not in all other
    # implementations of CloudFormation.
    documented = {"Ref", "Condition", "Fn::FindInMap", "Fn::And", "Fn::Equals", "Fn::Not", "Fn::Or"}

    assert set(keys(list(source["Conditions"].values()))) <= documented


def keys(value: Any) -> Iterator[str]:
    """Every key of the objects in a value."""
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from keys(item)
    yield from value if isinstance(value, dict) else ()


def test_the_template_stays_short_enough_to_be_read(source: dict[str, Any]) -> None:
    assert len(source["Parameters"]) <= 40
    assert len(TEMPLATE.read_text(encoding="utf-8").splitlines()) <= 1340


def test_the_schedule_gives_the_dispatcher_its_own_scheduled_time(template: Template) -> None:
    schedules = [item for item in template.resources.values() if item.type == "AWS::Scheduler::Schedule"]

    assert len(schedules) == 1
    assert "<aws.scheduler.scheduled-time>" in str(schedules[0].properties["Target"]["Input"])


def test_the_standard_models_table_exists_only_with_its_job_and_has_the_models_columns() -> None:
    from standardize import MODEL

    assert not [r for r in template_with().resources.values() if r.type.startswith("AWS::Glue::Table")]
    template = template_with(Job="standardize")
    table = resolve(template.resources["StandardTable"].properties, Names(template, None))["TableInput"]
    kinds = {"int64": "bigint", "bool": "boolean", "date32[day]": "date", "timestamp[us, tz=UTC]": "timestamp"}

    columns = {field.name: str(field.type).replace("128", "").replace(", ", ",") for field in MODEL.schema}
    columns = {name: kinds.get(kind.replace(",tz", ", tz"), kind) for name, kind in columns.items()}
    assert {one["Name"]: one["Type"] for one in table["StorageDescriptor"]["Columns"]} == columns
    assert table["Name"] == MODEL.name
    location = table["Parameters"]["storage.location.template"]
    assert location.partition("/standard/")[2] == MODEL.folder("${provider}").removeprefix("standard/")


@pytest.mark.parametrize(("job", "written"), [("change_log", None), ("standardize", "standard"), ("mine", "output")])
def test_a_job_may_write_its_own_kind_of_files_and_no_other(job: str, written: str | None) -> None:
    template = template_with(Job=job)
    statements = resolve(template.resources["SendChangesPolicy"].properties, Names(template, None))["PolicyDocument"]
    places = [s["Resource"] for s in statements["Statement"] if s["Sid"] == "Files"]

    assert places == ([f"arn:aws:s3:::DataBucket/{written}/*"] if written else [])


@pytest.mark.fault(55)
@pytest.mark.parametrize(
    ("order", "redrive", "seconds"),
    [("none", {"deadLetterTargetArn": "ChangesDeadLetterQueue", "maxReceiveCount": 5}, 86400), ("key", None, 3600)],
)
def test_no_message_leaves_an_ordered_queue_and_the_age_of_the_oldest_raises_an_alarm(
    order: str, redrive: dict[str, Any] | None, seconds: int
) -> None:
    template = template_with(MessageOrder=order, Profile="prod")
    names = Names(template, None)
    queue, alarm = (resolve(template.resources[i].properties, names) for i in ("ChangesQueue", "QueueAgeAlarm"))
    found = queue.get("RedrivePolicy")

    assert (found and found | {"deadLetterTargetArn": found["deadLetterTargetArn"].rpartition(":")[2]}) == redrive
    assert queue.get("FifoQueue") is (True if order == "key" else None)
    assert alarm["MetricName"] == "ApproximateAgeOfOldestMessage"
    assert (alarm["Statistic"], alarm["ComparisonOperator"]) == ("Maximum", "GreaterThanThreshold")
    assert (int(alarm["Threshold"]), int(alarm["EvaluationPeriods"]), int(alarm["Period"])) == (seconds, 1, 300)
    assert alarm["Dimensions"] == [{"Name": "QueueName", "Value": "ChangesQueue"}]
