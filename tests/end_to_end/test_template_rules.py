"""A change of template.yaml alone changes the local run: no name, limit or variable is defined elsewhere."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from laptop_cloud.cloud import LaptopCloud
from tests.harness.waiting import HANG_SECONDS

from .conftest import ConfigApi, functions_copy, impatient, template_copy

pytestmark = pytest.mark.slow


def test_names_limits_and_variables_come_from_the_template_alone(tmp_path: Path, workdir: Path) -> None:
    changed = template_copy(
        tmp_path,
        ("Name: !Sub etl-${Env}-${Job}", "Name: !Sub renamed-${Env}-job"),
        ("FunctionName: !Sub ${AWS::StackName}-claim", "FunctionName: !Sub other-${Env}-claim"),
        ("      Handler: config_api.handler\n      Timeout: 25", "      Handler: config_api.handler\n      Timeout: 7"),
        ("MAX_WORKERS: !Ref MaxWorkers", "MAX_WORKERS: 123"),
        ("      Timeout: 60\n      MaxRetries: 0", "      Timeout: 11\n      MaxRetries: 0"),
    )
    overrides = {"MaxConcurrentRuns": 7, "TickMinutes": 1}
    with LaptopCloud(changed, overrides, workdir=workdir) as cloud:
        (job,) = cloud.client("glue").get_jobs()["Jobs"]
        assert job["Name"] == "renamed-dev-job"
        assert (job["Timeout"], job["ExecutionProperty"]) == (11, {"MaxConcurrentRuns": 7})
        claim = cloud.client("lambda").get_function_configuration(FunctionName="other-dev-claim")
        assert claim["Environment"]["Variables"]["MAX_WORKERS"] == "123"
        api = cloud.client("lambda").get_function_configuration(FunctionName=cloud.physical_id("ConfigApiFunction"))
        assert api["Timeout"] == 7
        (schedule,) = cloud.client("scheduler").list_schedules()["Schedules"]
        found = cloud.client("scheduler").get_schedule(Name=schedule["Name"])
        assert found["ScheduleExpression"] == "rate(1 minute)"


def test_max_concurrent_runs_of_the_template_limits_the_runs_on_glue(tmp_path: Path, workdir: Path) -> None:
    """Every run is on Glue. At most two run at once, and a tick of 40 seconds has time to reuse a slot once."""
    source = "      Handler: dispatch.handler\n      MemorySize: 1769\n      Timeout: "
    template = impatient(template_copy(tmp_path, (f"{source}900", f"{source}40")))
    overrides = {"MaxConcurrentRuns": 2, "LambdaMaxBytes": 0}
    with LaptopCloud(template, overrides, workdir=workdir) as cloud:
        api = ConfigApi(cloud)
        for provider in ("a", "b", "c"):
            api.call("PUT", f"/{provider}", {"frequency": 15})
        ticked = cloud.tick(datetime.now(UTC))
        assert (ticked["due"], ticked["started"] + ticked["deferred"]) == (3, 3)
        runs = cloud.wait(HANG_SECONDS)
        starts = [run["startDate"] for run in runs]
        at_once = [sum(run["startDate"] <= at < run["stopDate"] for run in runs) for at in starts]
        assert max(at_once) <= 2


def test_a_timeout_of_the_template_ends_the_handler(tmp_path: Path, workdir: Path) -> None:
    source = "      Handler: dispatch.handler\n      MemorySize: 1769\n      Timeout: "
    changed = template_copy(tmp_path, (f"{source}900", f"{source}1"))
    with (functions_copy(changed) / "dispatch.py").open("a", encoding="utf-8") as module:
        module.write("import time\n\ntime.sleep(600)\n")
    with LaptopCloud(changed, workdir=workdir) as cloud:
        name = cloud.physical_id("DispatchFunction")
        found = cloud.client("lambda").get_function_configuration(FunctionName=name)
        assert found["Timeout"] == 1
        answer = cloud.client("lambda").invoke(FunctionName=name, Payload=b"{}")
        error = json.loads(answer["Payload"].read())
        assert "Task timed out after 1.00 seconds" in error["errorMessage"]
