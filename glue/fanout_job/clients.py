"""The job's AWS clients, and the credentials that they sign with."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import boto3

from fanout_job.errors import CredentialsError

if TYPE_CHECKING:
    from botocore.credentials import Credentials

METADATA_SERVICE = {"AWS_METADATA_SERVICE_TIMEOUT": "5", "AWS_METADATA_SERVICE_NUM_ATTEMPTS": "5"}
"""Seconds and tries at the metadata service, where Glue's executors get their credentials. botocore asks once and waits
for one second, which executors that start by the dozen can miss. Source: "IMDS credential provider", AWS SDKs and Tools
Reference Guide.
"""


def aws_client(service: str, **options: Any) -> Any:
    """Return a client of the process's session, which is patient with the metadata service.

    Parameters
    ----------
    service : str
        "s3", "sqs", "sns" or "events".
    options
        As for `boto3.client`.
    """
    client: Any = _session().client
    return client(service, **options)


def credentials() -> Credentials:
    """Return the credentials of the process's session, to sign requests with.

    Raises
    ------
    CredentialsError
        There are none.
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
