"""Many executors ask one metadata service for credentials at once; a failed request is retried."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import pytest

from fanout_job.clients import METADATA_SERVICE, aws_client, credentials
from fanout_job.errors import CredentialsError, TransientError

ROLE = {
    "Code": "Success",
    "AccessKeyId": "AKIAROLE",
    "SecretAccessKey": "secret",
    "Token": "token",
    "Expiration": "2099-01-01T00:00:00Z",
}


class MetadataService:
    """Gives a role's credentials, after it was too busy for the first requests."""

    def __init__(self) -> None:
        self.busy_for = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                self.answer(b"session")

            def do_GET(self) -> None:
                self.answer(b"role" if self.path.endswith("/") else json.dumps(ROLE).encode())

            def answer(self, body: bytes) -> None:
                outer.busy_for -= 1
                self.send_response(503 if outer.busy_for >= 0 else 200)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()


@pytest.fixture
def metadata_service(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[MetadataService]:
    """The only source of credentials in this process."""
    made = MetadataService()
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name in METADATA_SERVICE:
        monkeypatch.setenv(name, "")  # so that it is restored after the test
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://127.0.0.1:{made.server.server_port}/")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_credentials_are_retrieved_from_a_metadata_service_that_is_busy_at_first(
    metadata_service: MetadataService,
) -> None:
    metadata_service.busy_for = 4

    assert credentials().access_key == "AKIAROLE"


def test_a_client_makes_as_many_attempts(metadata_service: MetadataService) -> None:
    metadata_service.busy_for = 4

    assert aws_client("s3", region_name="eu-west-1").meta.region_name == "eu-west-1"
    assert boto3.DEFAULT_SESSION is not None
    assert boto3.DEFAULT_SESSION.get_credentials().access_key == "AKIAROLE"
    assert metadata_service.busy_for < 0


def test_the_process_gets_its_credentials_once(metadata_service: MetadataService) -> None:
    credentials().get_frozen_credentials()
    before = metadata_service.busy_for

    aws_client("s3")

    assert credentials().access_key == "AKIAROLE"
    assert metadata_service.busy_for == before


def test_settings_of_the_environment_for_the_metadata_service_are_kept(
    metadata_service: MetadataService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_METADATA_SERVICE_NUM_ATTEMPTS", "1")
    metadata_service.busy_for = 4

    with pytest.raises(CredentialsError):
        credentials()


def test_missing_credentials_are_a_transient_fault(metadata_service: MetadataService) -> None:
    metadata_service.busy_for = 1_000

    with pytest.raises(TransientError, match="No AWS credentials"):
        credentials()
