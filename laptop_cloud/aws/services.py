"""AWS services in one process: moto on one port, and runners for functions, job runs and REST APIs."""

from __future__ import annotations

import json
import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypedDict, Unpack

from moto.awslambda.utils import get_backend
from moto.core.config import default_user_config
from moto.dynamodb.models import dynamodb_backends
from moto.events.models import events_backends
from moto.moto_api._internal.models import moto_api_backend
from moto.moto_server import werkzeug_app

from laptop_cloud.aws import event_bus, job_runs, repairs
from laptop_cloud.aws.account import ACCOUNT_ID, OPERATOR, REGION, aws_client
from laptop_cloud.aws.api_gateway import ApiGateway, Proxy
from laptop_cloud.aws.event_sources import EventSource, QueuePoller
from laptop_cloud.aws.functions import FunctionRunner
from laptop_cloud.aws.job_runs import JobRunner
from laptop_cloud.aws.local_server import LocalServer
from laptop_cloud.aws.logs import LogWriter
from laptop_cloud.aws.repairs.hooks import Hooks, connect
from laptop_cloud.aws.spark_driver import Drivers
from laptop_cloud.aws.stream_sources import StreamPoller
from laptop_cloud.errors import LaptopCloudError
from laptop_cloud.state import empty_folder

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]
"""WSGI."""

_moto_defaults = default_user_config.copy()
API_SECONDS = 29.0
"""Time for which a request to an API waits for a free function: the time limit of API Gateway's integrations. API
Gateway does not wait, but this machine has as few functions as a new account: some clients at once would get errors."""


class Settings(TypedDict, total=False):
    """Optional settings of a laptop cloud."""

    port: int
    """Port of the AWS endpoint. By default 0: any free port."""
    drivers: Drivers
    """Spark drivers that the caller owns and stops. By default, Glue runs start drivers on demand."""
    warm: int
    """Number of Spark drivers to start in advance; 0 by default."""
    concurrency: int
    """Maximum of concurrent Lambda invocations, above which Lambda throttles. By default 10, as in a new account."""
    glue_minute: float
    """Length of a minute of a Glue job's timeout, in seconds; 60 by default."""
    around: Callable[[Application], Application]
    """Wraps moto's WSGI application, for tests that record or fail AWS calls."""


class Services:
    """An AWS account without a stack, which starts when it is created.

    Attributes
    ----------
    endpoint
        URL for `aws --endpoint-url`.
    roles
        Role ARN -> its logical id, the principal of its calls.
    log_groups
        Function name -> its log group, if the template sets one.
    api_urls
        REST API id -> URL on this machine.

    Raises
    ------
    LaptopCloudError
        The port is in use.
    """

    def __init__(self, workdir: Path, **settings: Unpack[Settings]) -> None:
        self.roles: dict[str, str] = {}
        self.log_groups: dict[str, str] = {}
        self.api_urls: dict[str, str] = {}
        self._stopping = threading.Event()
        self._apis: list[ApiGateway] = []
        self._pollers: list[EventSource] = []
        self._clients: dict[tuple[str, str], Any] = {}
        self._clients_lock = threading.Lock()
        for stale in ("logs", "functions"):
            empty_folder(workdir / stale)
        _configure_moto()
        self._prepared = _Prepared(werkzeug_app.DomainDispatcherApplication(werkzeug_app.create_backend_app))
        application: Application = self._prepared
        if "around" in settings:
            application = settings["around"](application)
        port, self._key = settings.get("port", 0), secrets.token_urlsafe(24)
        try:
            self._server = LocalServer(application, port, self._key)
        except SystemExit:  # raised by werkzeug if the port is in use
            raise LaptopCloudError(f"Port {port} is in use. Choose another with --port; 0 is any free port.") from None

        self.endpoint = self._server.url
        os.environ["MOTO_PORT"] = str(self._server.port)  # for moto's Step Functions interpreter
        self._server.start("aws")
        log_writer, logs = LogWriter(), workdir / "logs"
        self._functions = FunctionRunner(self, workdir, log_writer, settings.get("concurrency", 10))
        self._drivers = settings.get("drivers") or Drivers(logs / "spark-drivers.log")
        self._owns_drivers = "drivers" not in settings
        self._drivers.warm_up(settings.get("warm", 0))
        self._jobs = JobRunner(self, self._drivers, logs, log_writer, settings.get("glue_minute", 60.0))
        hooks = Hooks(
            self._functions.invoke,
            self._jobs.start,
            self._jobs.stop_run,
            self._execution_changed,
            lambda role: self.access_key_id(self.principal(role)),
            lambda: self._functions.concurrency,
        )
        connect(hooks)

    def stop(self) -> None:
        """End every process and thread that was started, and delete all resources."""
        self._stopping.set()
        for poller in self._pollers:
            poller.stop()
        for api in self._apis:
            api.stop()
        self._functions.stop()
        self._jobs.stop()
        if self._owns_drivers:
            self._drivers.stop()
        connect(None)
        self._server.stop()
        moto_api_backend.reset()
        default_user_config.update(_moto_defaults)

    def client(self, service: str, principal: str = OPERATOR) -> Any:
        """Return a boto3 client of this account."""
        key = (service, principal)
        with self._clients_lock:
            if key not in self._clients:
                self._clients[key] = aws_client(service, self.endpoint, self.access_key_id(principal))
            return self._clients[key]

    def access_key_id(self, principal: str) -> str:
        """Return the access key id with which a principal calls this account."""
        return f"{principal}.{self._key}"

    def before_requests(self, service: str, prepare: Callable[[], None]) -> None:
        """Call `prepare` once, before the next request to a service."""
        self._prepared.waiting[service] = prepare

    def processes(self) -> list[int]:
        """Return the process ids of the handlers and Spark drivers that are alive."""
        return self._functions.pids() + self._drivers.pids()

    def open_api(self, proxy: Proxy) -> None:
        """Start a listener for a REST API."""
        api = ApiGateway(proxy, self._invoke_for_api)
        self._apis.append(api)
        self.api_urls[proxy.api_id] = api.url

    def function(self, name: str) -> dict[str, Any]:
        """Return a function's `laptop_cloud.aws.sandbox.Function` as plain data, for another process."""
        made = get_backend(ACCOUNT_ID, REGION).get_function(name)
        function = self._functions.function(made)
        return {**asdict(function), "code": str(function.code)}

    def add_event_source(self, mapping_id: str) -> None:
        """Start polling for an event source mapping."""
        backend = get_backend(ACCOUNT_ID, REGION)
        mapping = backend.get_event_source_mapping(mapping_id)
        assert mapping is not None
        role = self.principal(backend.get_function(mapping.function_arn).role)
        *_, service = mapping.event_source_arn.split(":")[:3]
        functions = self.client("lambda", service)
        if service == "sqs":
            self._pollers.append(QueuePoller(mapping, self.client("sqs", role), functions))
            return
        tables = dynamodb_backends[ACCOUNT_ID][REGION]
        table = tables.get_table(mapping.event_source_arn.split("/")[1])
        table.lambda_event_source_mappings.clear()  # moto would invoke the function at each write, without batches
        self._pollers.insert(0, StreamPoller(mapping, table, lambda name: self.client(name, role), functions))

    def deliver_events(self) -> None:
        """See `laptop_cloud.cloud.LaptopCloud.deliver_events`."""
        for poller in self._pollers:  # streams first, because their functions may cause further events
            poller.hurry()

    def principal(self, role: str) -> str:
        """Return the principal of a role's calls: its logical id, or the name of a role outside the template."""
        by_name = {arn.rpartition("/")[2]: logical_id for arn, logical_id in self.roles.items()}
        name = role.rpartition("/")[2]
        return by_name.get(name) or name or "unknown"

    # ---- calls between services

    def _execution_changed(self, execution: Any) -> None:
        rules = list(events_backends[ACCOUNT_ID][REGION].event_buses["default"].rules.values())
        event_bus.deliver(event_bus.execution_status_event(execution), rules, self._invoke_async)

    def _invoke_for_api(self, function_arn: str, event: dict[str, Any]) -> tuple[Any, int | None]:
        client, end = self.client("lambda", "apigateway"), time.monotonic() + API_SECONDS
        while True:
            try:
                answer = client.invoke(FunctionName=function_arn, Payload=json.dumps(event).encode())
            except client.exceptions.TooManyRequestsException:
                if time.monotonic() >= end or self._stopping.wait(0.25):
                    return None, 500
            else:
                return json.loads(answer["Payload"].read()), 502 if "FunctionError" in answer else None

    def _invoke_async(self, function_arn: str, payload: bytes) -> None:
        client = self.client("lambda", "events")
        client.invoke(FunctionName=function_arn, InvocationType="Event", Payload=payload)

    def send_to_queue(self, queue_arn: str, body: str) -> None:
        """Send an event that a function could not process to the queue of its on-failure destination."""
        sqs = self.client("sqs", "lambda")
        url = sqs.get_queue_url(QueueName=queue_arn.rpartition(":")[2])["QueueUrl"]
        sqs.send_message(QueueUrl=url, MessageBody=body)

    def read_object(self, location: str) -> bytes:
        """Return the content of an s3:// location, read as Glue."""
        bucket, _, key = location.removeprefix("s3://").partition("/")
        return bytes(self.client("s3", "glue").get_object(Bucket=bucket, Key=key)["Body"].read())


class _Prepared:
    """A WSGI application that prepares some services at their first request."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._lock = threading.Lock()
        self.waiting: dict[str, Callable[[], None]] = {}

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if self.waiting:
            with self._lock:
                for service in [name for name in self.waiting if f"/{name}/" in environ.get("HTTP_AUTHORIZATION", "")]:
                    self.waiting[service]()
                    del self.waiting[service]  # only after preparation, so that concurrent requests wait for the lock
        return self._application(environ, start_response)


def _configure_moto() -> None:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    logging.getLogger("moto.stepfunctions").setLevel(logging.CRITICAL)  # it logs every failure, handled or not
    default_user_config["stepfunctions"] = {"execute_state_machine": True}
    default_user_config["lambda"] = {"use_docker": False}
    os.environ.pop("AWS_PROFILE", None)  # boto3 fails if the profile does not exist
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"
    werkzeug_app.DISABLE_GLOBAL_CORS = True  # type: ignore[attr-defined]
    job_runs.use_real_runs()
    repairs.apply_all()
