"""The moto server of the probes, and helpers that call it."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from unittest import mock

import boto3
from botocore.config import Config

from tests.harness.waiting import HANG_SECONDS, eventually

REGION = "us-east-1"
ROLE = "arn:aws:iam::123456789012:role/machine"


class Recorder:
    """Hooks of a laptop cloud that runs nothing and records the calls. The job's name determines how its runs end."""

    def __init__(self) -> None:
        self.statuses: list[str] = []
        self.stopped: list[str] = []

    def invoke_function(self, function: Any, payload: bytes, invocation_type: str, headers: dict[str, str]) -> bytes:
        return b'"the handler ran"'

    def job_run_started(self, job: Any, run: Any) -> None:
        run.real_state = {"ok": "SUCCEEDED", "bad": "FAILED"}.get(job.name, "RUNNING")

    def stop_job_run(self, run_id: str) -> bool:
        self.stopped.append(run_id)
        return True

    def execution_changed(self, execution: Any) -> None:
        self.statuses.append(execution.status)

    def access_key_id(self, role_arn: str) -> str:
        return role_arn.rpartition("/")[2] or "none"

    def concurrency(self) -> int:
        return 7


@dataclass
class Server:
    """The moto server of this process."""

    endpoint: str = ""
    repaired: bool = False

    @property
    def patience(self) -> float:
        """Seconds to wait for something. Stock moto gets only seconds, because there it is expected not to happen."""
        return HANG_SECONDS if self.repaired else 5.0


HOOKS, SERVER = Recorder(), Server()


def client(service: str) -> Any:
    """Return a client without retries, because moto responds with 501 to an unknown operation."""
    keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b"}
    once = Config(retries={"total_max_attempts": 1})
    return boto3.client(service, endpoint_url=SERVER.endpoint, region_name=REGION, config=once, **keys)


def run_machine(states: dict[str, Any]) -> dict[str, Any]:
    """Run a state machine with these states; returns its execution, which with stock moto may never end."""
    arn = start_machine(states)

    def look() -> dict[str, Any]:
        found: dict[str, Any] = client("stepfunctions").describe_execution(executionArn=arn)
        return found

    try:
        return eventually(lambda: found if (found := look())["status"] != "RUNNING" else {}, seconds=SERVER.patience)
    except TimeoutError:
        return look()


def start_machine(states: dict[str, Any]) -> str:
    definition = {"StartAt": next(iter(states)), "States": states}
    states_client = client("stepfunctions")
    machine = states_client.create_state_machine(
        name=f"m-{uuid.uuid4().hex[:8]}", definition=json.dumps(definition), roleArn=ROLE
    )
    execution = states_client.start_execution(stateMachineArn=machine["stateMachineArn"], name=uuid.uuid4().hex)
    return str(execution["executionArn"])


def job(name: str) -> str:
    """Create a Glue job of this name, if it does not exist."""
    glue = client("glue")
    if name not in [found["Name"] for found in glue.get_jobs()["Jobs"]]:
        limit = {"MaxConcurrentRuns": 50}
        glue.create_job(Name=name, Role="r", Command={"Name": "glueetl"}, ExecutionProperty=limit)
    return name


def sync_task(name: str, **more: Any) -> dict[str, Any]:
    parameters = {"JobName": job(name)}
    resource = "arn:aws:states:::glue:startJobRun.sync"
    return {"Run": {"Type": "Task", "Resource": resource, "Parameters": parameters, "End": True, **more}}


def meet(owner: Any, method: str, calls: list[Callable[[], Any]]) -> bool:
    """Return whether two calls can be in a method at the same time, which the repairs prevent."""
    barrier, met = threading.Barrier(2), []
    real = getattr(owner, method)

    def wait_for_the_other(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            barrier.wait(timeout=1 if SERVER.repaired else HANG_SECONDS)
            met.append(True)
        except threading.BrokenBarrierError:
            pass
        return real(self, *args, **kwargs)

    def safely(call: Callable[[], Any]) -> None:
        try:
            call()
        except client("stepfunctions").exceptions.ClientError:
            pass

    with mock.patch.object(owner, method, wait_for_the_other):
        threads = [threading.Thread(target=safely, args=(call,)) for call in calls]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return bool(met)
