"""The AWS account that the laptop cloud pretends to be, and clients of it."""

from __future__ import annotations

from typing import Any

import boto3
from botocore.config import Config

ACCOUNT_ID, REGION, STACK_NAME = "123456789012", "us-east-1", "glue-fanout-dev"

PSEUDO_PARAMETERS: dict[str, Any] = {
    "AWS::AccountId": ACCOUNT_ID,
    "AWS::Region": REGION,
    "AWS::StackName": STACK_NAME,
    "AWS::Partition": "aws",
    "AWS::URLSuffix": "amazonaws.com",
    "AWS::StackId": f"arn:aws:cloudformation:{REGION}:{ACCOUNT_ID}:stack/{STACK_NAME}/laptop",
    "AWS::NotificationARNs": [],
}

OPERATOR = "operator"
"""Access key id of whoever works with the cloud from outside: the demo, a test, a person."""

ANY_SECRET = "laptop"  # noqa: S105 - opens nothing
"""The secret access key of every principal; moto takes any."""


def aws_client(service: str, endpoint: str, principal: str = OPERATOR) -> Any:
    """A boto3 client of a laptop cloud, with no settings from the environment or the user's profile."""
    session: Any = boto3.session.Session(
        aws_access_key_id=principal, aws_secret_access_key=ANY_SECRET, region_name=REGION, profile_name=None
    )
    config = Config(retries={"max_attempts": 0}, max_pool_connections=64, read_timeout=910, proxies={})
    return session.client(service, endpoint_url=endpoint, config=config)


def process_environment(endpoint: str, principal: str) -> dict[str, str]:
    """What a process needs to call this account as `principal`."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": principal,
        "AWS_SECRET_ACCESS_KEY": ANY_SECRET,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
    }
