"""The AWS account that the laptop cloud pretends to be, and clients of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config

OPERATOR = "operator"
"""Access key id of whoever works with the cloud from outside: the demo, a test, a person."""

ANY_SECRET = "laptop"  # noqa: S105 - opens nothing
"""The secret access key of every principal; moto takes any."""


@dataclass(frozen=True)
class Account:
    """Where the stack pretends to be: pseudo parameters come from here."""

    account_id: str = "123456789012"
    region: str = "us-east-1"
    stack_name: str = "glue-fanout-dev"

    def pseudo_parameters(self) -> dict[str, Any]:
        """Pseudo parameter name -> value."""
        return {
            "AWS::AccountId": self.account_id,
            "AWS::Region": self.region,
            "AWS::StackName": self.stack_name,
            "AWS::Partition": "aws",
            "AWS::URLSuffix": "amazonaws.com",
            "AWS::StackId": f"arn:aws:cloudformation:{self.region}:{self.account_id}:stack/{self.stack_name}/laptop",
            "AWS::NotificationARNs": [],
        }


def aws_client(service: str, endpoint: str, region: str, principal: str = OPERATOR) -> Any:
    """A boto3 client of a laptop cloud, with no settings from the environment or the user's profile."""
    session: Any = boto3.session.Session(
        aws_access_key_id=principal, aws_secret_access_key=ANY_SECRET, region_name=region, profile_name=None
    )
    config = Config(retries={"max_attempts": 0}, max_pool_connections=64, read_timeout=910, proxies={})
    return session.client(service, endpoint_url=endpoint, config=config)


def process_environment(endpoint: str, region: str, principal: str) -> dict[str, str]:
    """What a process needs to call this account as `principal`."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": principal,
        "AWS_SECRET_ACCESS_KEY": ANY_SECRET,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
    }
