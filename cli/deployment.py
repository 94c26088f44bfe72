"""A deployed stack, on AWS or on this machine: its outputs, and the parts of `fanout` on top of them.

There is one path for both: a boto3 session, the stack's CloudFormation outputs and the settings in the functions'
environment. `--local` only says where the endpoint is.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from cli.errors import AccessError, UsageError
from fanout.adapters import DynamoLedger, DynamoPending, S3Objects
from fanout.settings import ClaimSettings, DispatchSettings

if TYPE_CHECKING:
    from fanout.config_client import HttpConfigApi

OURS = {"StateMachineArn", "RunLedgerTable", "ConfigApiUrl"}
"""Outputs by which a stack of this project is known, whatever its name."""

_CONFIG = Config(
    retries={"mode": "standard", "total_max_attempts": 4},
    connect_timeout=5,
    read_timeout=60,
    max_pool_connections=32,
)


@dataclass(frozen=True)
class Where:
    """Which stack is meant.

    Parameters
    ----------
    stack
        Name of the CloudFormation stack; None for the only one there is.
    region, profile
        As for the AWS CLI; None for the caller's own.
    cloud_file
        The file that a laptop cloud leaves while it is up; None for AWS.
    """

    stack: str | None
    region: str | None = None
    profile: str | None = None
    cloud_file: Path | None = None


class Deployment:
    """A stack and everything that a command may need of it, each made on first use."""

    def __init__(self, session: boto3.session.Session, stack: str | None, endpoint: str | None) -> None:
        self._session = session
        self._stack = stack
        self._endpoint = endpoint
        self._clients: dict[str, Any] = {}

    @classmethod
    def find(cls, where: Where) -> Deployment:
        """Connect to the stack.

        Raises
        ------
        AccessError
            `make up` is not running.
        """
        if where.cloud_file is None:
            session = boto3.session.Session(region_name=where.region, profile_name=where.profile)
            return cls(session, where.stack, None)
        try:
            cloud = json.loads(where.cloud_file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise AccessError(
                f"there is no {where.cloud_file}: start the laptop cloud with `make up` and leave it running"
            ) from None
        session = boto3.session.Session(
            aws_access_key_id="operator",
            aws_secret_access_key="laptop",  # noqa: S106 - moto takes any
            region_name=cloud["region"],
        )
        return cls(session, None, cloud["endpoint"])

    @property
    def is_local(self) -> bool:
        """Whether this is the laptop cloud."""
        return self._endpoint is not None

    def client(self, service: str) -> Any:
        """A boto3 client of the stack's account and region."""
        if service not in self._clients:
            config = _CONFIG.merge(Config(proxies={})) if self.is_local else _CONFIG
            make: Any = self._session.client
            self._clients[service] = make(service, endpoint_url=self._endpoint, config=config)
        return self._clients[service]

    @cached_property
    def outputs(self) -> dict[str, str]:
        """The stack's outputs.

        Raises
        ------
        UsageError
            There is no such stack; or none was named, and there is not exactly one of this project.
        """
        named = {"StackName": self._stack} if self._stack else {}
        pages = self.client("cloudformation").get_paginator("describe_stacks").paginate(**named)
        try:
            outputs = {
                stack["StackName"]: {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", ())}
                for page in pages
                for stack in page["Stacks"]
            }
        except ClientError as error:
            if error.response["Error"]["Code"] != "ValidationError":
                raise
            outputs = {}
        found = outputs if self._stack else {name: given for name, given in outputs.items() if given.keys() >= OURS}
        if len(found) == 1:
            return found.popitem()[1]
        region = self._session.region_name
        if found:
            raise UsageError(f"there are several stacks in {region}: say --stack {' or --stack '.join(sorted(found))}")
        raise UsageError(
            f"there is no stack {self._stack or 'of glue-fanout'} in {region}: name another with --stack or --region, "
            "deploy it with `make deploy`, or start the laptop cloud with `make up`"
        )

    def output(self, name: str) -> str:
        """One output.

        Raises
        ------
        UsageError
            The stack is not one of this project, or an older one.
        """
        try:
            return self.outputs[name]
        except KeyError:
            raise UsageError(f"the stack has no output {name}: deploy this version of the template first") from None

    def environment(self, output: str) -> dict[str, str]:
        """The environment of the function that an output names."""
        found = self.client("lambda").get_function_configuration(FunctionName=self.output(output))
        return dict(found.get("Environment", {}).get("Variables", {}))

    @cached_property
    def planning(self) -> ClaimSettings:
        """By which settings runs are planned."""
        return ClaimSettings.from_environment(self.environment("ClaimFunctionName"))

    @cached_property
    def dispatching(self) -> DispatchSettings:
        """By which settings runs are started."""
        return DispatchSettings.from_environment(self.environment("DispatchFunctionName"))

    @cached_property
    def ledger(self) -> DynamoLedger:
        """The run ledger."""
        return DynamoLedger(self.client("dynamodb"), self.output("RunLedgerTable"))

    @cached_property
    def pending(self) -> DynamoPending:
        """Who has pending objects."""
        return DynamoPending(self.client("dynamodb"), self.output("RunLedgerTable"))

    @cached_property
    def objects(self) -> S3Objects:
        """Change log, manifests, results and records."""
        return S3Objects(self.client("s3"))

    @cached_property
    def config_api(self) -> HttpConfigApi:
        """The config API, with the key from Secrets Manager."""
        from fanout.config_client import HttpConfigApi

        return HttpConfigApi(self.output("ConfigApiUrl"), self.config_api_key)

    def config_api_key(self, refused: bool = False) -> str:
        """The config API's key; read once, and once more after it was refused."""
        if refused:
            self.__dict__.pop("_key", None)
        return self._key

    @cached_property
    def _key(self) -> str:
        secret = self.client("secretsmanager").get_secret_value(SecretId=self.output("ConfigApiKeySecretArn"))
        return str(secret["SecretString"])

    @property
    def runs(self) -> str:
        """Where the runs' folders lie, one folder a provider below it: s3 URI without a slash at its end."""
        return f"s3://{self.output('DataBucketName')}/runs"

    @property
    def poll_seconds(self) -> float:
        """How often a run is looked at while it is followed."""
        return 0.3 if self.is_local else 2.0
