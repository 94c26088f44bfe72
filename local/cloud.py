"""The laptop cloud: everything of `local` put together, in one process.

with LaptopCloud(template="template.yaml") as cloud:
cloud.tick()
cloud.wait()
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import boto3
from botocore.config import Config
from moto.core.config import default_user_config
from moto.moto_api._internal.models import moto_api_backend
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import BaseWSGIServer, make_server

from local import event_bus, glue_runs, moto_repairs, schedule
from local.api_gateway import ApiGateway
from local.call_log import CallLog, Watcher
from local.errors import LaptopCloudError, ResourceError
from local.glue_runs import GlueRunner
from local.lambdas import LambdaRunner
from local.resources import check_types, make_all
from local.resources.stack import Route, Stack
from local.template import Template

OPERATOR = "operator"
"""Access key id of whoever works with the cloud from outside: the demo, a test, a person."""

_only_one = threading.Lock()

_moto_as_it_comes = default_user_config.copy()


class LaptopCloud:
    """AWS as far as one template needs it, on this machine.

    Parameters
    ----------
    template
        Path of the template.
    parameters
        Overrides of its parameters.
    port
        Of the AWS endpoint; 0 for any free one.
    workdir
        Folder for logs and state; what an earlier run left there is removed.
    drivers
        Spark drivers at once; they are started in the background. 0: Glue runs start one when they need it.
    glue_minute
        Seconds that a minute of a Glue timeout lasts.
    progress
        Called with a line of text as the cloud comes up.
    watch
        See `local.call_log.CallLog`; a seam for tests that break things at a certain call.

    Attributes
    ----------
    endpoint
        URL for `aws --endpoint-url`.
    outputs
        The template's outputs.
    workdir
        The folder; logs/ has a file for each function and job run, api_calls.jsonl every API call.

    Raises
    ------
    LaptopCloudError
        See `local.errors`; raised by `start`.
    """

    def __init__(
        self,
        template: str | Path = "template.yaml",
        parameters: Mapping[str, object] | None = None,
        port: int = 0,
        workdir: str | Path = ".local",
        drivers: int = 2,
        glue_minute: float = 60.0,
        progress: Callable[[str], None] = lambda line: None,
        watch: Watcher = lambda when, call, port: None,
    ) -> None:
        self.workdir = Path(workdir).resolve()
        self.endpoint = ""
        self.outputs: dict[str, str] = {}
        self._template_path = Path(template)
        self._parameters = dict(parameters or {})
        self._port = port
        self._drivers = drivers
        self._glue_minute = glue_minute
        self._progress = progress
        self._watch = watch
        self._clients: dict[tuple[str, str], Any] = {}
        self._clients_lock = threading.Lock()
        self._apis: list[ApiGateway] = []
        self._server: BaseWSGIServer | None = None
        self._call_log: CallLog | None = None
        self._lambdas: LambdaRunner | None = None
        self._glue: GlueRunner | None = None
        self._stack: Stack | None = None
        self._template: Template | None = None

    def __enter__(self) -> LaptopCloud:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # ---- coming and going

    def start(self) -> LaptopCloud:
        """Bring everything up; what was started is stopped again when it fails."""
        if not _only_one.acquire(blocking=False):
            raise LaptopCloudError("A laptop cloud is already up in this process: moto's state is the process's.")
        try:
            self._template = Template.load(self._template_path, self._parameters)
            check_types(self._template.resources)
            self._prepare_workdir()
            self._start_server()
            self._start_runners()
            self._progress(f"making {len(self._template.resources)} resources")
            self._stack = Stack(self._template, self.client, self._open_api)
            make_all(self._stack)
            self.outputs = self._stack.outputs()
            self._write_state()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End every process and thread that was started, and forget all resources."""
        for api in self._apis:
            api.stop()
        self._apis.clear()
        if self._lambdas is not None:
            self._lambdas.stop()
        if self._glue is not None:
            self._glue.stop()
        moto_repairs.connect(None)
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        if self._call_log is not None:
            self._call_log.close()
        moto_api_backend.reset()
        default_user_config.update(_moto_as_it_comes)
        (self.workdir / "cloud.json").unlink(missing_ok=True)
        if _only_one.locked():
            _only_one.release()

    # ---- what is there

    def client(self, service: str, principal: str = OPERATOR) -> Any:
        """A boto3 client of this cloud."""
        with self._clients_lock:
            key = (service, principal)
            if key not in self._clients:
                self._clients[key] = aws_client(service, self.endpoint, self.region, principal)
            return self._clients[key]

    @property
    def region(self) -> str:
        """AWS region."""
        return self._made_template().account.region

    def physical_id(self, logical_id: str) -> str:
        """What `Ref` gives for a resource of the template."""
        try:
            return self._made_stack().made[logical_id].ref
        except KeyError:
            raise ResourceError(f"The template makes no {logical_id}.") from None

    @property
    def config_api_url(self) -> str:
        """URL of the template's REST API on this machine, with its stage.

        Raises
        ------
        ResourceError
            The template makes none (for example because a URL was given as a parameter), or several.
        """
        urls = self._made_stack().api_urls()
        if len(urls) != 1:
            raise ResourceError(f"The template makes {len(urls)} REST APIs.")
        ((api_id, url),) = urls.items()
        stages = self.client("apigateway").get_stages(restApiId=api_id)["item"]
        return f"{url}/{stages[0]['stageName']}"

    def executions(self) -> list[dict[str, Any]]:
        """Every execution as DescribeExecution gives it, the oldest first."""
        states = self.client("stepfunctions")
        found = []
        for machine in states.list_state_machines()["stateMachines"]:
            for page in states.get_paginator("list_executions").paginate(stateMachineArn=machine["stateMachineArn"]):
                found += [states.describe_execution(executionArn=item["executionArn"]) for item in page["executions"]]
        return sorted(found, key=lambda execution: execution["startDate"])

    def job_runs(self) -> list[dict[str, Any]]:
        """Every Glue job run as GetJobRun gives it, the oldest first."""
        glue = self.client("glue")
        runs = [run for job in glue.get_jobs()["Jobs"] for run in glue.get_job_runs(JobName=job["Name"])["JobRuns"]]
        return sorted(runs, key=lambda run: run["StartedOn"])

    def processes(self) -> list[int]:
        """Process ids of the handlers and Spark drivers that are alive."""
        pids = self._lambdas.pids() if self._lambdas else []
        return pids + (self._glue.pids() if self._glue else [])

    # ---- what happens

    def tick(self, at: datetime | None = None) -> Any:
        """Fire the template's schedule once, by hand, and wait for what its function returns.

        Parameters
        ----------
        at
            The scheduled time; now when left away.

        Raises
        ------
        LaptopCloudError
            There is not exactly one schedule, or the function failed.
        """
        found = schedule.schedules(self.client("scheduler"))
        if len(found) != 1:
            raise LaptopCloudError(f"The template makes {len(found)} schedules; tick() needs one.")
        return self.fire(found[0], at or datetime.now(UTC))

    def fire(self, fired: dict[str, Any], at: datetime) -> Any:
        """Invoke a schedule's target with its Input, and wait for what it returns."""
        target = fired["Target"]
        payload = schedule.fill_in(target.get("Input", "{}"), fired, at)
        answer = self.client("lambda").invoke(FunctionName=target["Arn"], Payload=payload.encode())
        result = json.loads(answer["Payload"].read())
        if "FunctionError" in answer:
            raise LaptopCloudError(f"{target['Arn']} failed: {json.dumps(result)}")
        return result

    def wait(self, timeout: float = 120.0) -> list[dict[str, Any]]:
        """Wait until no execution is running.

        Returns
        -------
        Every execution, as `executions` gives them.

        Raises
        ------
        TimeoutError
            Some are still running after `timeout` seconds; names them.
        """
        end = time.monotonic() + timeout
        while running := self._running():
            if time.monotonic() > end:
                raise TimeoutError(f"Still running after {timeout:.0f} s: {', '.join(running)}")
            time.sleep(0.1)
        return self.executions()

    def _running(self) -> list[str]:
        """Names of the executions that are running. One call a state machine: this is asked ten times a second."""
        states, found = self.client("stepfunctions"), []
        for machine in states.list_state_machines()["stateMachines"]:
            arn = machine["stateMachineArn"]
            for page in states.get_paginator("list_executions").paginate(stateMachineArn=arn, statusFilter="RUNNING"):
                found += [execution["name"] for execution in page["executions"]]
        return found

    # ---- hooks of the repairs (local.moto_repairs.Hooks)

    def invoke_function(self, function: Any, payload: bytes, invocation_type: str, headers: dict[str, str]) -> bytes:
        """See `local.moto_repairs.Hooks`."""
        assert self._lambdas is not None
        return self._lambdas.invoke(function, payload, invocation_type, headers)

    def job_run_started(self, job: Any, run: Any) -> None:
        """See `local.moto_repairs.Hooks`."""
        assert self._glue is not None
        self._glue.start(job, run)

    def stop_job_run(self, job_name: str, run_id: str) -> bool:
        """See `local.moto_repairs.Hooks`."""
        assert self._glue is not None
        return self._glue.stop_run(run_id)

    def execution_changed(self, execution: Any) -> None:
        """See `local.moto_repairs.Hooks`."""
        from moto.events.models import events_backends

        account = self._made_template().account
        rules = list(events_backends[account.account_id][account.region].event_buses["default"].rules.values())
        event = event_bus.execution_status_event(execution, account.account_id, account.region)
        event_bus.deliver(event, rules, self._invoke_async)

    def principal(self, role: str) -> str:
        """See `local.moto_repairs.Hooks`: the logical id of the role, else its name."""
        roles = self._stack.roles if self._stack else {}
        by_name = {arn.rpartition("/")[2]: logical_id for arn, logical_id in roles.items()}
        name = role.rpartition("/")[2]
        return roles.get(role) or by_name.get(name) or name or "unknown"

    # ---- inner workings

    def _prepare_workdir(self) -> None:
        for stale in ("logs", "functions"):
            shutil.rmtree(self.workdir / stale, ignore_errors=True)
            (self.workdir / stale).mkdir(parents=True)

    def _start_server(self) -> None:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        logging.getLogger("moto.stepfunctions").setLevel(logging.CRITICAL)  # it reports every failure it then handles
        default_user_config["stepfunctions"] = {"execute_state_machine": True}
        default_user_config["lambda"] = {"use_docker": False}
        os.environ.pop("AWS_PROFILE", None)  # a profile that is not there would stop every boto3 client
        glue_runs.let_runs_be_real()
        moto_repairs.apply_all()
        moto_repairs.connect(self)
        application = DomainDispatcherApplication(create_backend_app)
        self._call_log = CallLog(application, self.workdir / "api_calls.jsonl", self._watch)
        try:
            self._server = make_server(
                "127.0.0.1", self._port, self._call_log, threaded=True, request_handler=MotoRequestHandler
            )
        except SystemExit:  # werkzeug's way of saying that the port is taken
            raise LaptopCloudError(f"Port {self._port} is taken: choose another one, or 0 for any.") from None
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        os.environ["MOTO_PORT"] = str(self._server.server_port)  # where moto's interpreter calls services
        os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"
        threading.Thread(target=self._server.serve_forever, name="aws", daemon=True).start()

    def _start_runners(self) -> None:
        logs = self.workdir / "logs"
        self._lambdas = LambdaRunner(
            self.endpoint, logs, self.workdir / "functions", self.principal, self._send_to_queue
        )
        self._glue = GlueRunner(
            slots=max(1, self._drivers),
            environment=lambda principal: glue_runs.driver_environment(self.endpoint, self.region, principal),
            principal=self.principal,
            read=self._read_object,
            logs=logs,
            minute=self._glue_minute,
        )
        principals = self._job_principals()
        for principal in principals[:1]:
            self._glue.warm_up(principal, self._drivers)

    def _job_principals(self) -> list[str]:
        """Logical ids of the roles of the template's Glue jobs, known before the roles are there."""
        found = []
        for resource in self._made_template().resources.values():
            role = resource.properties.get("Role") if resource.type == "AWS::Glue::Job" else None
            if isinstance(role, dict):
                found.append(str(role.get("Ref") or role["Fn::GetAtt"][0]))
        return found

    def _open_api(self, api_id: str, routes: list[Route]) -> str:
        account_id = self._made_template().account.account_id
        api = ApiGateway(api_id, routes, self.client, self._invoke_for_api, account_id)
        self._apis.append(api)
        return api.url

    def _invoke_for_api(self, function_arn: str, event: dict[str, Any]) -> tuple[Any, bool]:
        client = self.client("lambda", "apigateway")
        answer = client.invoke(FunctionName=function_arn, Payload=json.dumps(event).encode())
        return json.loads(answer["Payload"].read()), "FunctionError" in answer

    def _invoke_async(self, function_arn: str, payload: bytes) -> None:
        client = self.client("lambda", "events")
        client.invoke(FunctionName=function_arn, InvocationType="Event", Payload=payload)

    def _send_to_queue(self, queue_arn: str, body: str, attributes: dict[str, str]) -> None:
        sqs = self.client("sqs", "lambda")
        url = sqs.get_queue_url(QueueName=queue_arn.rpartition(":")[2])["QueueUrl"]
        typed = {name: {"DataType": "String", "StringValue": value} for name, value in attributes.items() if value}
        sqs.send_message(QueueUrl=url, MessageBody=body, MessageAttributes=typed)

    def _read_object(self, location: str) -> bytes:
        bucket, _, key = location.removeprefix("s3://").partition("/")
        return bytes(self.client("s3", "glue").get_object(Bucket=bucket, Key=key)["Body"].read())

    def _write_state(self) -> None:
        """cloud.json: how other processes find this cloud."""
        resources = {logical_id: made.ref for logical_id, made in self._made_stack().made.items()}
        state = {
            "pid": os.getpid(),
            "endpoint": self.endpoint,
            "region": self.region,
            "outputs": self.outputs,
            "resources": resources,
            "functions": self._functions(),
        }
        (self.workdir / "cloud.json").write_text(json.dumps(state, indent=1), encoding="utf-8")

    def _functions(self) -> dict[str, dict[str, str]]:
        """Logical id of each function -> its name, its source folder, and the principal of its role."""
        stack, template = self._made_stack(), self._made_template()
        found = {}
        for resource in template.resources.values():
            if resource.type == "AWS::Lambda::Function":
                code = stack.file(resource.properties["Code"]["S3Key"])
                role = stack.resolve(resource.properties["Role"])
                name = stack.made[resource.logical_id].ref
                found[resource.logical_id] = {"name": name, "code": str(code), "principal": self.principal(role)}
        return found

    def _made_template(self) -> Template:
        if self._template is None:
            raise LaptopCloudError("The laptop cloud is not up.")
        return self._template

    def _made_stack(self) -> Stack:
        if self._stack is None:
            raise LaptopCloudError("The laptop cloud is not up.")
        return self._stack


def aws_client(service: str, endpoint: str, region: str, principal: str) -> Any:
    """A boto3 client of a laptop cloud, with no settings from the environment or the user's profile."""
    session: Any = boto3.session.Session(
        aws_access_key_id=principal, aws_secret_access_key="laptop", region_name=region, profile_name=None
    )
    config = Config(retries={"max_attempts": 0}, max_pool_connections=64, read_timeout=910, proxies={})
    return session.client(service, endpoint_url=endpoint, config=config)
