"""The laptop cloud: everything of `local` put together, in one process."""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Unpack

from laptop_cloud.aws import schedule
from laptop_cloud.aws.account import OPERATOR, REGION
from laptop_cloud.aws.services import Services, Settings
from laptop_cloud.errors import LaptopCloudError, ResourceError
from laptop_cloud.stack import deployment
from laptop_cloud.stack.stack import Stack
from laptop_cloud.stack.template import Template

_only_one = threading.Lock()


class LaptopCloud:
    """AWS as far as one template needs it, on this machine.

    Parameters
    ----------
    template
        Path of the template.
    parameters
        Overrides of its parameters.
    workdir
        Folder for state and logs/, a file for each function and job run; what an earlier run left there is removed.
    settings
        See `laptop_cloud.aws.services.Settings`.

    Attributes
    ----------
    endpoint
        URL for `aws --endpoint-url`.
    outputs
        The template's outputs.
    """

    def __init__(
        self,
        template: str | Path = "template.yaml",
        parameters: Mapping[str, object] | None = None,
        workdir: str | Path = ".local",
        **settings: Unpack[Settings],
    ) -> None:
        self.workdir = Path(workdir).resolve()
        self.endpoint = ""
        self.outputs: dict[str, str] = {}
        self._template_path = Path(template)
        self._parameters = dict(parameters or {})
        self._settings = settings
        self._lock: IO[str] | None = None
        self._services: Services | None = None
        self._stack: Stack | None = None

    def __enter__(self) -> LaptopCloud:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> LaptopCloud:
        """Bring everything up; what was started is stopped again when it fails."""
        if not _only_one.acquire(blocking=False):
            raise LaptopCloudError("A laptop cloud is already up in this process: moto's state is the process's.")
        try:
            self._lock_workdir()
            template = Template.load(self._template_path, self._parameters)
            self._services = Services(self.workdir, **self._settings)
            self.endpoint = self._services.endpoint
            self._stack = Stack(self._services, template)
            deployment.create(self._stack)
            self._write_state()
        except BaseException:
            self.stop()
            raise
        return self

    def update(self, template: str | Path | None = None, parameters: Mapping[str, object] | None = None) -> None:
        """Deploy again: another template, or the same one and the files it names as they are now.

        Parameters are overrides beside those that are known already.

        Raises
        ------
        LaptopCloudError
            Something could not be made or changed; the stack is what it was before, and the error says why.
        """
        overrides = {**self._parameters, **(parameters or {})}
        deployment.update(self._up()[1], Template.load(Path(template or self._template_path), overrides))
        self._parameters = overrides
        self._write_state()

    def stop(self) -> None:
        """End every process and thread that was started, and forget all resources."""
        if self._services is not None:
            self._services.stop()
            self._services = self._stack = None
        if self._lock is not None:
            (self.workdir / "cloud.json").unlink(missing_ok=True)
            self._lock.close()
            self._lock = None
        if _only_one.locked():
            _only_one.release()

    def client(self, service: str, principal: str = OPERATOR) -> Any:
        """A boto3 client of this cloud."""
        return self._up()[0].client(service, principal)

    def physical_id(self, logical_id: str) -> str:
        """What `Ref` gives for a resource of the template."""
        try:
            return self._up()[1].made[logical_id].ref
        except KeyError:
            raise ResourceError(f"The template makes no {logical_id}.") from None

    def listed_executions(self, **which: str) -> list[dict[str, Any]]:
        """Executions as ListExecutions gives them; one call a state machine, so it can be asked often."""
        states, found = self.client("stepfunctions"), []
        for machine in states.list_state_machines()["stateMachines"]:
            arn = machine["stateMachineArn"]
            for page in states.get_paginator("list_executions").paginate(stateMachineArn=arn, **which):
                found += page["executions"]
        return found

    def executions(self) -> list[dict[str, Any]]:
        """Every execution as DescribeExecution gives it, the oldest first."""
        states = self.client("stepfunctions")
        found = [states.describe_execution(executionArn=item["executionArn"]) for item in self.listed_executions()]
        return sorted(found, key=lambda execution: execution["startDate"])

    def job_runs(self) -> list[dict[str, Any]]:
        """Every Glue job run as GetJobRun gives it, the oldest first."""
        glue = self.client("glue")
        runs = [run for job in glue.get_jobs()["Jobs"] for run in glue.get_job_runs(JobName=job["Name"])["JobRuns"]]
        return sorted(runs, key=lambda run: run["StartedOn"])

    def processes(self) -> list[int]:
        """Process ids of the handlers and Spark drivers that are alive."""
        return self._services.processes() if self._services else []

    def tick(self, at: datetime | None = None) -> Any:
        """Fire the template's schedule once, by hand, and wait for what its function returns.

        Events that are on their way to a function arrive first, so that a tick knows of the objects put before it. The
        scheduled time is now, if none is given.

        Raises
        ------
        LaptopCloudError
            There is not exactly one schedule, or the function failed.
        """
        found = schedule.schedules(self.client("scheduler"))
        if len(found) != 1:
            raise LaptopCloudError(f"The template makes {len(found)} schedules; tick() needs one.")
        self.deliver_events()
        return self.fire(found[0], at or datetime.now(UTC))

    def deliver_events(self) -> None:
        """Wait until every queue that a function takes from is empty, without waiting for batching windows to end."""
        self._up()[0].deliver_events()

    def fire(self, fired: dict[str, Any], at: datetime) -> Any:
        """Invoke a schedule's target with its Input, and wait for what it returns."""
        target = fired["Target"]
        payload = schedule.fill_in(target.get("Input", "{}"), at)
        answer = self.client("lambda").invoke(FunctionName=target["Arn"], Payload=payload.encode())
        result = json.loads(answer["Payload"].read())
        if "FunctionError" in answer:
            raise LaptopCloudError(f"{target['Arn']} failed: {json.dumps(result)}")
        return result

    def wait(self, timeout: float = 120.0) -> list[dict[str, Any]]:
        """Wait until no execution is running; every execution, as `executions` gives them.

        Raises
        ------
        TimeoutError
            Some are still running after `timeout` seconds; names them.
        """
        end = time.monotonic() + timeout
        while running := [execution["name"] for execution in self.listed_executions(statusFilter="RUNNING")]:
            if time.monotonic() > end:
                raise TimeoutError(f"Still running after {timeout:.0f} s: {', '.join(running)}")
            time.sleep(0.1)
        return self.executions()

    def _lock_workdir(self) -> None:
        """Claim the folder; the operating system lets go of it however this process ends."""
        self.workdir.mkdir(parents=True, exist_ok=True)
        lock = (self.workdir / "lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise LaptopCloudError(
                f"Another laptop cloud works in {self.workdir}. End it, or choose another folder with --workdir."
            ) from None
        self._lock = lock

    def _write_state(self) -> None:
        """Note the outputs, and write cloud.json: how other processes find this cloud."""
        services, stack = self._up()
        self.outputs = stack.outputs()
        functions = [item for item in stack.template.resources.values() if item.type == "AWS::Lambda::Function"]
        state = {
            "pid": os.getpid(),
            "endpoint": self.endpoint,
            "region": REGION,
            "outputs": self.outputs,
            "resources": {logical_id: made.ref for logical_id, made in stack.made.items()},
            "functions": {item.logical_id: services.function(self.physical_id(item.logical_id)) for item in functions},
        }
        (self.workdir / "cloud.json").write_text(json.dumps(state, indent=1), encoding="utf-8")

    def _up(self) -> tuple[Services, Stack]:
        if self._services is None or self._stack is None:
            raise LaptopCloudError("The laptop cloud is not up.")
        return self._services, self._stack
