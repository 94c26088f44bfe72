"""Glue job runs run their script on PySpark, within the limits of the job."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pyspark
import pytest

from laptop_cloud.aws.spark_driver import Drivers
from laptop_cloud.cloud import LaptopCloud
from tests.harness.waiting import HANG_SECONDS, eventually

from .conftest import FIXTURES

pytestmark = pytest.mark.spark
MINUTE = 1.0
"""Length of a minute of a job's Timeout, in seconds."""


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory, drivers: Drivers) -> Iterator[LaptopCloud]:
    workdir = tmp_path_factory.mktemp("glue")
    with LaptopCloud(FIXTURES / "template.yaml", workdir=workdir, drivers=drivers, glue_minute=MINUTE) as up:
        yield up


def start(cloud: LaptopCloud, mode: str, **more: Any) -> str:
    answer = cloud.client("glue").start_job_run(JobName="job-test", Arguments={"--mode": mode}, **more)
    return str(answer["JobRunId"])


def reach(cloud: LaptopCloud, run_id: str, states: set[str], job: str = "job-test") -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = cloud.client("glue").get_job_run(JobName=job, RunId=run_id)["JobRun"]
        return found if found["JobRunState"] in states else None

    return eventually(look, f"{run_id} to be {states}") or {}


def end(cloud: LaptopCloud, run_id: str, job: str = "job-test") -> dict[str, Any]:
    return reach(cloud, run_id, {"SUCCEEDED", "FAILED", "TIMEOUT", "STOPPED"}, job)


def test_a_run_runs_its_script_on_spark(cloud: LaptopCloud) -> None:
    found = end(cloud, start(cloud, "count", WorkerType="G.1X", NumberOfWorkers=3))
    assert found["JobRunState"] == "SUCCEEDED", found
    assert (found["WorkerType"], found["NumberOfWorkers"], found["GlueVersion"]) == ("G.1X", 3, "6.0")
    assert found["CompletedOn"] >= found["StartedOn"]
    (message,) = cloud.client("sqs").receive_message(QueueUrl=cloud.outputs["QueueUrl"])["Messages"]
    body = json.loads(message["Body"])
    assert (body["rows"], body["spark"]) == (1000, pyspark.__version__)
    assert body["arguments"]["mode"] == "count"
    assert body["arguments"]["queue_url"] == cloud.outputs["QueueUrl"]  # from the job's default arguments
    assert body["principal"] == "JobRole"  # also in the Python workers


def test_a_script_that_raises_fails_its_run_with_its_message(cloud: LaptopCloud) -> None:
    run_id = start(cloud, "fail")
    found = end(cloud, run_id)
    assert (found["JobRunState"], found["ErrorMessage"]) == ("FAILED", "ValueError: bad input")
    assert "bad input" in (cloud.workdir / "logs" / f"{run_id}.log").read_text()


def test_a_script_that_exits_with_a_status_fails_its_run(cloud: LaptopCloud) -> None:
    assert end(cloud, start(cloud, "leave"))["ErrorMessage"] == "SystemExit: 3"


def test_the_next_run_reuses_the_driver(cloud: LaptopCloud) -> None:
    before = cloud.processes()
    assert end(cloud, start(cloud, "count"))["JobRunState"] == "SUCCEEDED"
    assert cloud.processes() == before


def test_a_warm_driver_uses_the_role_of_each_job_that_it_runs(cloud: LaptopCloud) -> None:
    glue, drivers = cloud.client("glue"), cloud.processes()
    defined = glue.get_job(JobName="job-test")["Job"]
    glue.create_job(
        Name="other", Role="OtherRole", Command=defined["Command"], DefaultArguments=defined["DefaultArguments"]
    )
    while cloud.client("sqs").receive_message(QueueUrl=cloud.outputs["QueueUrl"]).get("Messages"):
        pass
    assert end(cloud, glue.start_job_run(JobName="other", Arguments={"--mode": "count"})["JobRunId"], "other")
    (message,) = cloud.client("sqs").receive_message(QueueUrl=cloud.outputs["QueueUrl"])["Messages"]
    assert json.loads(message["Body"])["principal"] == "OtherRole"
    assert cloud.processes() == drivers


@pytest.mark.fault(12)
def test_a_run_above_the_concurrency_of_the_job_is_rejected(cloud: LaptopCloud) -> None:
    run_id = start(cloud, "sleep")
    glue = cloud.client("glue")
    with pytest.raises(glue.exceptions.ConcurrentRunsExceededException):
        start(cloud, "count")
    reach(cloud, run_id, {"RUNNING"})
    stopped = glue.batch_stop_job_run(JobName="job-test", JobRunIds=[run_id])
    assert [entry["JobRunId"] for entry in stopped["SuccessfulSubmissions"]] == [run_id]
    assert end(cloud, run_id)["JobRunState"] == "STOPPED"
    again = glue.batch_stop_job_run(JobName="job-test", JobRunIds=[run_id])
    assert [entry["JobRunId"] for entry in again["Errors"]] == [run_id]


def test_a_run_ends_at_the_timeout_of_the_job(cloud: LaptopCloud) -> None:
    glue = cloud.client("glue")
    command = glue.get_job(JobName="job-test")["Job"]["Command"]
    arguments = {"--mode": "sleep", "--queue_url": "unused"}
    glue.create_job(Name="short", Role="JobRole", Command=command, Timeout=2, DefaultArguments=arguments)
    found = end(cloud, glue.start_job_run(JobName="short")["JobRunId"], "short")
    assert found["JobRunState"] == "TIMEOUT"
    assert found["ExecutionTime"] >= 2 * MINUTE


def test_a_run_without_its_script_fails_with_the_reason(cloud: LaptopCloud) -> None:
    glue = cloud.client("glue")
    command = glue.get_job(JobName="job-test")["Job"]["Command"]
    command["ScriptLocation"] += "-nope"
    glue.create_job(Name="gone", Role="r", Command=command)
    run_id = glue.start_job_run(JobName="gone")["JobRunId"]
    found = end(cloud, run_id, "gone")
    assert found["JobRunState"] == "FAILED"
    assert "NoSuchKey" in found["ErrorMessage"]


def test_stopping_an_execution_stops_its_run_and_sends_an_event(cloud: LaptopCloud) -> None:
    states = cloud.client("stepfunctions")
    execution = states.start_execution(
        stateMachineArn=cloud.outputs["MachineArn"], name="to-be-stopped", input='{"mode": "sleep"}'
    )["executionArn"]
    eventually(lambda: any(run["JobRunState"] == "RUNNING" for run in cloud.job_runs()), "a job run")
    states.stop_execution(executionArn=execution)
    (ended,) = [found for found in cloud.wait(HANG_SECONDS) if found["name"] == "to-be-stopped"]
    assert ended["status"] == "ABORTED"
    assert cloud.job_runs()[-1]["JobRunState"] == "STOPPED"
    event = _event(cloud)
    assert event["detail-type"] == "Step Functions Execution Status Change"
    assert (event["source"], event["resources"]) == ("aws.states", [execution])
    assert (event["detail"]["status"], event["detail"]["name"]) == ("ABORTED", "to-be-stopped")
    assert json.loads(event["detail"]["input"]) == {"mode": "sleep"}
    assert event["detail"]["stopDate"] - event["detail"]["startDate"] > 0


def _event(cloud: LaptopCloud) -> dict[str, Any]:
    def look() -> list[dict[str, Any]]:
        messages = cloud.client("sqs").receive_message(QueueUrl=cloud.outputs["QueueUrl"]).get("Messages", [])
        return [body for body in (json.loads(message["Body"]) for message in messages) if "detail" in body]

    return eventually(look, "an event")[0]
