"""The cloud as a whole: its resources, its state file, and the end of its processes."""

from __future__ import annotations

import importlib.machinery
import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from laptop_cloud.aws.account import aws_client
from laptop_cloud.cloud import LaptopCloud
from laptop_cloud.errors import LaptopCloudError, NotRunningError, ResourceError
from laptop_cloud.invoke import invoke, running_state, runs_here
from tests.harness.children import Child, alive, descendants
from tests.harness.waiting import eventually

from .conftest import FIXTURES

ROOT = Path(__file__).parents[2]


def test_resources_have_the_properties_of_the_template(cloud: LaptopCloud) -> None:
    job = cloud.client("glue").get_job(JobName="job-test")["Job"]
    assert (job["Timeout"], job["ExecutionProperty"], job["GlueVersion"]) == (600, {"MaxConcurrentRuns": 1}, "6.0")
    table = cloud.client("dynamodb").describe_table(TableName=cloud.physical_id("Table"))["Table"]
    assert [index["IndexName"] for index in table["GlobalSecondaryIndexes"]] == ["by-live"]
    policies = cloud.client("iam").list_role_policies(RoleName=cloud.physical_id("EchoFunctionRole"))["PolicyNames"]
    assert policies
    function = cloud.client("lambda").get_function_configuration(FunctionName=cloud.physical_id("SlowFunction"))
    assert (function["Timeout"], function["MemorySize"]) == (1, 256)


def test_the_script_of_a_job_is_uploaded_unchanged(cloud: LaptopCloud) -> None:
    location = cloud.client("glue").get_job(JobName="job-test")["Job"]["Command"]["ScriptLocation"]
    bucket, _, key = location.removeprefix("s3://").partition("/")
    body = cloud.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    assert body == (FIXTURES / "jobs" / "job.py").read_bytes()


def test_substitutions_are_applied_to_the_definition(cloud: LaptopCloud) -> None:
    machine = cloud.client("stepfunctions").describe_state_machine(stateMachineArn=cloud.outputs["MachineArn"])
    definition = json.loads(machine["definition"])
    assert definition["States"]["Run Job"]["Parameters"]["JobName"] == "job-test"
    assert machine["name"] == "laptop-Machine-" + machine["name"].rpartition("-")[2]


def test_describe_stacks_returns_the_outputs(cloud: LaptopCloud) -> None:
    (stack,) = cloud.client("cloudformation").describe_stacks()["Stacks"]
    assert {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]} == cloud.outputs


def test_a_tick_passes_the_scheduled_time(cloud: LaptopCloud) -> None:
    returned = cloud.tick(datetime(2026, 11, 22, 7, 30, tzinfo=UTC))
    assert returned["event"] == {"scheduled_at": "2026-11-22T07:30:00Z"}


def test_invoke_finds_the_running_cloud(cloud: LaptopCloud) -> None:
    answer = invoke("EchoFunction", {"by": "hand"}, FIXTURES / "template.yaml", cloud.workdir)
    assert answer.result["event"] == {"by": "hand"}
    assert answer.result["environment"]["COLOR"] == "test-green"
    with pytest.raises(ResourceError, match=r"has no function Nope\. It has EchoFunction, SlowFunction"):
        invoke("Nope", {}, FIXTURES / "template.yaml", cloud.workdir)


def test_without_a_running_cloud_invoke_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(NotRunningError, match=rf"No laptop cloud is running in {tmp_path}"):
        invoke("EchoFunction", {}, FIXTURES / "template.yaml", tmp_path)


def test_a_second_cloud_in_one_process_is_rejected(cloud: LaptopCloud, tmp_path: Path) -> None:
    with pytest.raises(LaptopCloudError, match="already running"):
        LaptopCloud(FIXTURES / "template.yaml", workdir=tmp_path).start()
    assert cloud.client("sqs").list_queues()["QueueUrls"]  # the first one still works


@pytest.mark.spark
@pytest.mark.skipif(not Path("/proc").exists(), reason="looks at processes through /proc")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_no_process_outlives_the_command(tmp_path: Path, how: signal.Signals) -> None:
    command = [sys.executable, "-m", "laptop_cloud", "up", "--template", str(FIXTURES / "template.yaml")]
    command += ["--workdir", str(tmp_path), "--port", "0", "--speed", "900"]
    with Child(command, cwd=ROOT, stdout=subprocess.DEVNULL) as up:
        started: set[int] = set()
        eventually(lambda: (tmp_path / "cloud.json").exists() or up.poll() is not None, "the laptop cloud")
        state = running_state(tmp_path)
        glue = aws_client("glue", state["endpoint"], state["access_key_id"])
        glue.start_job_run(JobName="job-test", Arguments={"--mode": "sleep"})

        # The function that the schedule invokes, and a driver with its JVM.
        def all_started() -> bool:
            started.update(descendants(up.pid))
            return len(started) >= 3

        eventually(all_started, lambda: f"three processes, found {started}")
        assert running_state(tmp_path)["pid"] == up.pid
        started |= descendants(up.pid)
        os.kill(up.pid, how)
        up.wait()
        eventually(lambda: not alive(started), lambda: f"the end of {alive(started)}")
        if how != signal.SIGKILL:
            assert up.returncode == 0
            assert not (tmp_path / "cloud.json").exists()


@pytest.mark.parametrize(
    ("module", "runs"),
    [
        (f"fast{importlib.machinery.EXTENSION_SUFFIXES[0]}", True),
        ("fast.cpython-39-x86_64-linux-gnu.so", False),
        ("fast.abi3.so", True),
        ("libfast.so", True),
        ("slow.py", True),
    ],
)
def test_a_package_built_for_another_python_or_system_is_not_used(tmp_path: Path, module: str, runs: bool) -> None:
    (tmp_path / "fast").mkdir()
    (tmp_path / "fast" / module).write_bytes(b"")

    assert runs_here(tmp_path) is runs
