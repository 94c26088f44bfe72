"""`LaptopCloud`: AWS services and one deployed stack, in one process."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Unpack

from laptop_cloud import state
from laptop_cloud.aws import schedule
from laptop_cloud.aws.account import ANY_SECRET, OPERATOR, REGION
from laptop_cloud.aws.services import Services, Settings
from laptop_cloud.errors import BusyError, LaptopCloudError, NotRunningError, ResourceError
from laptop_cloud.stack import deployment
from laptop_cloud.stack.package import Stamps
from laptop_cloud.stack.stack import Stack
from laptop_cloud.stack.template import STACK_NAME, Template

TEMPLATE, WORKDIR = Path("template.yaml"), Path(".local")

_only_one = threading.Lock()


class LaptopCloud:
    """The AWS services that one template needs, and its stack, on this machine.

    Parameters
    ----------
    template
        Path of the template.
    parameters
        Overrides of its parameters.
    workdir
        Folder for the state file cloud.json and for logs/, which gets a file for each function and job run. Files of
        an earlier run are removed. While the cloud runs, this process and its children create files that only their
        owner can read.
    stack_name
        The value of `AWS::StackName`.
    settings
        See `laptop_cloud.aws.services.Settings`.

    Attributes
    ----------
    endpoint
        URL for `aws --endpoint-url`.
    access_key_id
        Access key id of callers outside the stack; each start makes another.
    outputs
        The template's outputs.
    stack_name, workdir
        As given; the folder as an absolute path.

    Examples
    --------
    >>> with LaptopCloud("template.yaml", {"Env": "test"}, workdir=tmp_path) as cloud:
    ...     cloud.client("sqs").send_message(QueueUrl=cloud.outputs["QueueUrl"], MessageBody="hello")
    ...     cloud.deliver_events()
    """

    def __init__(
        self,
        template: str | Path = TEMPLATE,
        parameters: Mapping[str, object] | None = None,
        workdir: str | Path = WORKDIR,
        stack_name: str = STACK_NAME,
        **settings: Unpack[Settings],
    ) -> None:
        self.workdir = Path(workdir).resolve()
        self.endpoint = self.access_key_id = ""
        self.outputs: dict[str, str] = {}
        self._template_path = Path(template)
        self._parameters = dict(parameters or {})
        self.stack_name = stack_name
        self._settings = settings
        self._lock: IO[str] | None = None
        self._umask = 0
        self._services: Services | None = None
        self._stack: Stack | None = None

    def __enter__(self) -> LaptopCloud:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.stop()

    def start(self) -> LaptopCloud:
        """Start the services and deploy the stack. If that fails, everything that was started is stopped."""
        if not _only_one.acquire(blocking=False):
            raise LaptopCloudError("A laptop cloud is already running in this process: moto's state is global.")
        try:
            self._lock, self._umask = state.lock(self.workdir), os.umask(state.PRIVATE)
            template = Template.load(self._template_path, self._parameters, self.stack_name)
            self._services = Services(self.workdir, **self._settings)
            self.endpoint, self.access_key_id = self._services.endpoint, self._services.access_key_id(OPERATOR)
            self._stack = Stack(self._services, template)
            deployment.create(self._stack)
            self._write_state()
        except BaseException:
            self.stop()
            raise
        return self

    def update(self, template: str | Path | None = None, parameters: Mapping[str, object] | None = None) -> None:
        """Deploy again: another template, or the same template with its files as they are now.

        Parameters
        ----------
        template
            Path of the template; the last one by default.
        parameters
            Overrides, in addition to those already given.

        Raises
        ------
        LaptopCloudError
            A resource could not be made or changed. The stack is rolled back, and the error gives the reason.
        """
        overrides = {**self._parameters, **(parameters or {})}
        changed = Template.load(Path(template or self._template_path), overrides, self.stack_name)
        deployment.update(self._running()[1], changed)
        self._parameters = overrides
        self._write_state()

    def stamps(self) -> tuple[Stamps, Stamps]:
        """Return time and size of the stack's files, as they were deployed and as they are now."""
        package = self._running()[1].template.package
        return package.stamps, package.current_stamps()

    def stop(self) -> None:
        """End every process and thread that was started, and delete all resources."""
        if self._services is not None:
            self._services.stop()
            self._services = self._stack = None
        if self._lock is not None:
            (self.workdir / "cloud.json").unlink(missing_ok=True)
            os.umask(self._umask)
            self._lock.close()
            self._lock = None
        if _only_one.locked():
            _only_one.release()

    def client(self, service: str, principal: str = OPERATOR) -> Any:
        """Return a boto3 client of this cloud."""
        return self._running()[0].client(service, principal)

    def physical_id(self, logical_id: str) -> str:
        """Return what `Ref` returns for a resource of the template."""
        try:
            return self._running()[1].made[logical_id].ref
        except KeyError:
            raise ResourceError(f"The template has no resource {logical_id}.") from None

    def listed_executions(self, **which: str) -> list[dict[str, Any]]:
        """Return executions as ListExecutions lists them, with one call per state machine: cheap enough for polling."""
        states, found = self.client("stepfunctions"), []
        for machine in states.list_state_machines()["stateMachines"]:
            arn = machine["stateMachineArn"]
            for page in states.get_paginator("list_executions").paginate(stateMachineArn=arn, **which):
                found += page["executions"]
        return found

    def executions(self) -> list[dict[str, Any]]:
        """Return every execution as DescribeExecution describes it, the oldest first."""
        states = self.client("stepfunctions")
        found = [states.describe_execution(executionArn=item["executionArn"]) for item in self.listed_executions()]
        return sorted(found, key=lambda execution: execution["startDate"])

    def job_runs(self) -> list[dict[str, Any]]:
        """Return every Glue job run as GetJobRun describes it, the oldest first."""
        glue = self.client("glue")
        runs = [run for job in glue.get_jobs()["Jobs"] for run in glue.get_job_runs(JobName=job["Name"])["JobRuns"]]
        return sorted(runs, key=lambda run: run["StartedOn"])

    def objects(self, bucket: str, prefix: str = "") -> list[dict[str, Any]]:
        """Return a bucket's objects with this prefix as ListObjectsV2 lists them."""
        pages = self.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return [entry for page in pages for entry in page.get("Contents", [])]

    def processes(self) -> list[int]:
        """Return the process ids of the handlers and Spark drivers that are alive."""
        return self._services.processes() if self._services else []

    def tick(self, at: datetime | None = None) -> Any:
        """Fire the template's only schedule once, and return what its target returns.

        Events in flight to a function are delivered first, so that a tick sees the objects put before it.

        Parameters
        ----------
        at
            The scheduled time; now by default.

        Raises
        ------
        LaptopCloudError
            The template does not have exactly one schedule, or the function failed.
        """
        found = schedule.schedules(self.client("scheduler"))
        if len(found) != 1:
            raise LaptopCloudError(f"The template has {len(found)} schedules; tick() needs exactly one.")
        self.deliver_events()
        return self.fire(found[0], at or datetime.now(UTC))

    def deliver_events(self) -> None:
        """Wait until every event source of a function is empty, and end batching windows early."""
        self._running()[0].deliver_events()

    def fire(self, fired: dict[str, Any], at: datetime) -> Any:
        """Invoke a schedule's target with its Input.

        Returns
        -------
        What a function returned, or the ARN of the execution that was started of a state machine.

        Raises
        ------
        BusyError
            All concurrent invocations of the account are in use.
        LaptopCloudError
            The function failed.
        """
        target = fired["Target"]
        payload = schedule.fill_in(target.get("Input", "{}"), at)
        if ":states:" in target["Arn"]:
            states = self.client("stepfunctions")
            return states.start_execution(stateMachineArn=target["Arn"], input=payload)["executionArn"]
        functions = self.client("lambda")
        try:
            answer = functions.invoke(FunctionName=target["Arn"], Payload=payload.encode())
        except functions.exceptions.TooManyRequestsException:
            raise BusyError(f"{target['Arn']}: all concurrent invocations of the account are in use.") from None
        result = json.loads(answer["Payload"].read())
        if "FunctionError" in answer:
            raise LaptopCloudError(f"{target['Arn']} failed: {json.dumps(result)}")
        return result

    def wait(self, timeout: float = 120.0) -> list[dict[str, Any]]:
        """Wait until no execution is running, and return every execution, as `executions` does.

        Raises
        ------
        TimeoutError
            Executions are still running after `timeout` seconds; the message names them.
        """
        end = time.monotonic() + timeout
        while running := [execution["name"] for execution in self.listed_executions(statusFilter="RUNNING")]:
            if time.monotonic() > end:
                raise TimeoutError(f"Still running after {timeout:.0f} s: {', '.join(running)}")
            time.sleep(0.1)
        return self.executions()

    def _write_state(self) -> None:
        """Set the outputs, and write cloud.json, by which other processes find this cloud."""
        services, stack = self._running()
        self.outputs = stack.outputs()
        functions = [item for item in stack.template.resources.values() if item.type == "AWS::Lambda::Function"]
        written = {
            "pid": os.getpid(),
            "endpoint": self.endpoint,
            "access_key_id": self.access_key_id,
            "secret_access_key": ANY_SECRET,
            "region": REGION,
            "outputs": self.outputs,
            "resources": {logical_id: made.ref for logical_id, made in stack.made.items()},
            "functions": {item.logical_id: services.function(self.physical_id(item.logical_id)) for item in functions},
        }
        state.write_state(self.workdir, written)

    def _running(self) -> tuple[Services, Stack]:
        if self._services is None or self._stack is None:
            raise NotRunningError("The laptop cloud is not running.")
        return self._services, self._stack
