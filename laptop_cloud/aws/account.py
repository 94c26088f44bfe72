"""The AWS account that the laptop cloud emulates, and clients of it."""

from __future__ import annotations

import threading
from functools import cache
from typing import Any

import boto3
from botocore.config import Config

ACCOUNT_ID, REGION = "123456789012", "us-east-1"

OPERATOR = "operator"
"""Principal of callers outside the stack: a test, a demonstration, the AWS CLI."""

ANY_SECRET = "laptop"  # noqa: S105 - protects nothing
"""The secret access key of every principal. The access key id is what protects: a principal, a dot, and a key that each
start makes."""


_making_clients = threading.Lock()


@cache
def _session() -> Any:
    """One session for all clients: creating one costs more than creating a client."""
    return boto3.session.Session(region_name=REGION)


def aws_client(service: str, endpoint: str, access_key_id: str) -> Any:
    """Create a boto3 client of a laptop cloud, without settings from the environment or the user's profile."""
    config = Config(retries={"max_attempts": 0}, max_pool_connections=64, read_timeout=910, proxies={})
    keys = {"aws_access_key_id": access_key_id, "aws_secret_access_key": ANY_SECRET}
    with _making_clients:  # sessions are not thread-safe, clients are
        return _session().client(service, endpoint_url=endpoint, config=config, **keys)


def process_environment(endpoint: str, access_key_id: str) -> dict[str, str]:
    """Return the environment variables with which a process calls this account."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": access_key_id,
        "AWS_SECRET_ACCESS_KEY": ANY_SECRET,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
    }
