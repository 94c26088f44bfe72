"""A deployed stack, on AWS or on this machine: its outputs, and the parts that commands use.

Both are used the same way: by a boto3 session, the stack's CloudFormation outputs, and the settings in the environment
of its functions. `--local` only changes the endpoint.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from fanout.adapters import DynamoLedger, DynamoPending, S3Objects, StepFunctions
from fanout.health import FailedExecution
from fanout.maintenance_table import DynamoMaintenance
from fanout.settings import ClaimSettings, DispatchSettings

from .errors import AccessError, UsageError

if TYPE_CHECKING:
    from fanout.config_client import HttpConfigApi

OURS = {"StateMachineArn", "RunLedgerTable", "ConfigApiUrl"}
"""Outputs that identify a stack of this project, whatever its name."""
FAILED = ("FAILED", "TIMED_OUT", "ABORTED")
"""Statuses of executions that failed."""
FAILED_SECONDS = 5.0
"""Time for which a list of failed executions is reused: ListExecutions allows a few calls a second per account."""

_CONFIG = Config(
    retries={"mode": "standard", "total_max_attempts": 4}, connect_timeout=5, read_timeout=60, max_pool_connections=32
)


@dataclass(frozen=True)
class Where:
    """Which stack to use.

    Parameters
    ----------
    stack
        Name of the CloudFormation stack; None for the only one of this project.
    region, profile
        As for the AWS CLI; None for the defaults of the AWS configuration.
    cloud_file
        The file that describes a running laptop cloud; None for AWS.
    """

    stack: str | None
    region: str | None = None
    profile: str | None = None
    cloud_file: Path | None = None


class Records(S3Objects):
    """An object store that reads each run's record once: a record never changes."""

    def __init__(self, client: Any) -> None:
        super().__init__(client)
        self._known: dict[str, bytes] = {}

    def read(self, uri: str, at_most: int | None = None) -> bytes | None:
        """See `ObjectStore.read`."""
        body = self._known.get(uri) or super().read(uri, at_most)
        if body is not None and at_most is None and uri.endswith("/record.json"):
            self._known[uri] = body
        return body


class Deployment:
    """A stack and its parts, each created at first use. Threads may share it."""

    def __init__(self, session: boto3.session.Session, stack: str | None, endpoint: str | None) -> None:
        self._session = session
        self._stack = stack
        self._endpoint = endpoint
        self._clients: dict[str, Any] = {}
        self._key: str | None = None
        self._failed: tuple[float, tuple[FailedExecution, ...]] | None = None
        self._lock = threading.Lock()

    @classmethod
    def find(cls, where: Where) -> Deployment:
        """Connect to the stack.

        Raises
        ------
        AccessError
            The laptop cloud is not running, or its file is damaged.
        """
        if where.cloud_file is None:
            session = boto3.session.Session(region_name=where.region, profile_name=where.profile)
            return cls(session, where.stack, None)
        try:
            cloud = json.loads(where.cloud_file.read_text(encoding="utf-8"))
            keys = {name: cloud[name] for name in ("access_key_id", "secret_access_key")}
            endpoint, region = cloud["endpoint"], cloud["region"]
        except FileNotFoundError:
            raise AccessError(
                f"{where.cloud_file} not found; start the laptop cloud with `make up` and keep it running"
            ) from None
        except (OSError, ValueError, TypeError, LookupError) as error:
            raise AccessError(
                f"{where.cloud_file} is damaged ({error}); stop the laptop cloud, and start it again with `make up`"
            ) from None
        session = boto3.session.Session(**{f"aws_{name}": value for name, value in keys.items()}, region_name=region)
        return cls(session, None, endpoint)

    @property
    def is_local(self) -> bool:
        """Whether this is the laptop cloud."""
        return self._endpoint is not None

    def client(self, service: str) -> Any:
        """A boto3 client of the stack's account and region."""
        with self._lock:  # a boto3 session creates clients in one thread at a time
            if service not in self._clients:
                config = _CONFIG.merge(Config(proxies={})) if self.is_local else _CONFIG
                make: Any = self._session.client
                self._clients[service] = make(service, endpoint_url=self._endpoint, config=config)
            return self._clients[service]

    @cached_property
    def description(self) -> dict[str, Any]:
        """The stack, as DescribeStacks describes it.

        Raises
        ------
        UsageError
            The stack does not exist; or none was named, and the account does not have exactly one of this project.
        """
        named = {"StackName": self._stack} if self._stack else {}
        pages = self.client("cloudformation").get_paginator("describe_stacks").paginate(**named)
        try:
            stacks = [stack for page in pages for stack in page["Stacks"]]
        except ClientError as error:
            if error.response["Error"]["Code"] != "ValidationError":
                raise
            stacks = []
        found: list[dict[str, Any]] = stacks if self._stack else [one for one in stacks if _outputs(one).keys() >= OURS]
        if len(found) == 1:
            return found[0]
        region = self._session.region_name
        if found:
            options = " or ".join(f"--stack {name}" for name in sorted(one["StackName"] for one in found))
            raise UsageError(f"{region} has several glue-fanout stacks; choose one with {options}")
        raise UsageError(
            f"no {f'stack {self._stack}' if self._stack else 'glue-fanout stack'} found in {region}; use --stack or "
            "--region, deploy the stack with `make deploy`, or start the laptop cloud with `make up`"
        )

    @cached_property
    def outputs(self) -> dict[str, str]:
        """The stack's outputs."""
        return _outputs(self.description)

    def output(self, name: str) -> str:
        """One output.

        Raises
        ------
        UsageError
            The stack is of another project, or of an older version.
        """
        try:
            return self.outputs[name]
        except KeyError:
            raise UsageError(f"the stack has no output {name}; deploy this version of the template first") from None

    def environment(self, output: str) -> dict[str, str]:
        """The environment of the function that an output names."""
        found = self.client("lambda").get_function_configuration(FunctionName=self.output(output))
        return dict(found.get("Environment", {}).get("Variables", {}))

    @cached_property
    def planning(self) -> ClaimSettings:
        """The settings of the claim function, by which runs are planned."""
        return ClaimSettings.from_environment(self.environment("ClaimFunctionName"))

    @cached_property
    def dispatching(self) -> DispatchSettings:
        """The settings of the dispatcher, by which runs are started."""
        return DispatchSettings.from_environment(self.environment("DispatchFunctionName"))

    @cached_property
    def ledger(self) -> DynamoLedger:
        """The run ledger."""
        return DynamoLedger(self.client("dynamodb"), self.output("RunLedgerTable"))

    @cached_property
    def pending(self) -> DynamoPending:
        """The pending counts."""
        return DynamoPending(self.client("dynamodb"), self.output("RunLedgerTable"))

    @cached_property
    def maintenance(self) -> DynamoMaintenance:
        """The maintenance windows."""
        return DynamoMaintenance(self.client("dynamodb"), self.output("RunLedgerTable"))

    @cached_property
    def objects(self) -> S3Objects:
        """Change log, manifests, results and records."""
        return Records(self.client("s3"))

    @cached_property
    def executions(self) -> StepFunctions:
        """The executions of the state machine."""
        return StepFunctions(self.client("stepfunctions"), self.output("StateMachineArn"))

    def failed_executions(self) -> tuple[FailedExecution, ...]:
        """The newest executions that failed, timed out or were aborted: up to 1,000 of each status."""
        if self._failed is None or time.monotonic() - self._failed[0] > FAILED_SECONDS:
            states, machine = self.client("stepfunctions"), self.output("StateMachineArn")
            answers = [
                states.list_executions(stateMachineArn=machine, statusFilter=status, maxResults=1000)["executions"]
                for status in FAILED
            ]
            found = [FailedExecution(one["name"], one["startDate"], one["status"]) for one in chain(*answers)]
            self._failed = (time.monotonic(), tuple(found))
        return self._failed[1]

    @cached_property
    def config_api(self) -> HttpConfigApi:
        """The config API, with the key from Secrets Manager."""
        from fanout.config_client import HttpConfigApi

        return HttpConfigApi(self.output("ConfigApiUrl"), self.config_api_key)

    def config_api_key(self, refused: bool = False) -> str:
        """The config API's key; read from Secrets Manager once, and again after the config API refused it."""
        if self._key is None or refused:
            secret = self.client("secretsmanager").get_secret_value(SecretId=self.output("ConfigApiKeySecretArn"))
            self._key = str(secret["SecretString"])
        return self._key

    @property
    def data_bucket(self) -> str:
        """The bucket that holds the runs' folders."""
        return self.output("DataBucketName")

    @cached_property
    def job_log_group(self) -> str:
        """The log group of the Glue job, which its arguments name."""
        job = self.client("glue").get_job(JobName=self.output("GlueJobName"))["Job"]
        return str(job.get("DefaultArguments", {}).get("--custom-logGroup-prefix", "/aws-glue/jobs")) + "/output"

    @property
    def poll_seconds(self) -> float:
        """Seconds between two reads of a run that is followed."""
        return 0.3 if self.is_local else 2.0


def _outputs(stack: dict[str, Any]) -> dict[str, str]:
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", ())}
