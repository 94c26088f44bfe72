"""The job's AWS clients and credentials."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import boto3

from fanout_job.errors import CredentialsError

if TYPE_CHECKING:
    from botocore.credentials import Credentials

METADATA_SERVICE = {"AWS_METADATA_SERVICE_TIMEOUT": "5", "AWS_METADATA_SERVICE_NUM_ATTEMPTS": "5"}
"""Timeout in seconds and attempts for the metadata service, from which Glue's executors get their credentials. By
default botocore makes one attempt of one second, which can fail when dozens of executors start at once. Source: "IMDS
credential provider", AWS SDKs and Tools Reference Guide.
"""


def aws_client(service: str, **options: Any) -> Any:
    """Return a client of the process's session, which retries requests to the metadata service.

    Parameters
    ----------
    service : str
        "s3", or the service of a target.
    options
        As for `boto3.client`.
    """
    client: Any = _session().client
    return client(service, **options)


def credentials() -> Credentials:
    """Return the credentials of the process's session, for signing requests.

    Raises
    ------
    CredentialsError
        No credentials were found.
    """
    found: Credentials | None = _session().get_credentials()
    if found is None:
        raise CredentialsError
    return found


def _session() -> boto3.Session:
    for name, value in METADATA_SERVICE.items():
        os.environ.setdefault(name, value)
    if boto3.DEFAULT_SESSION is None:
        boto3.DEFAULT_SESSION = boto3.Session()
    return boto3.DEFAULT_SESSION
