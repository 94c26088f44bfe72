"""DynamoDB in two independent implementations: moto, and for `make judges` the npm package dynalite."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from tests.harness.children import Child
from tests.harness.waiting import eventually

PACKAGES = Path(__file__).parents[3] / ".judges"
PROGRAM = """
const server = require("dynalite")({ createTableMs: 0, deleteTableMs: 0, updateTableMs: 0 });
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
"""
MOTO, JUDGE = "moto", pytest.param("dynalite", marks=pytest.mark.judge)


@pytest.fixture(scope="session")
def dynalite() -> Iterator[str]:
    """Start dynalite with an empty table store in memory; return its URL."""
    with Child(["node", "-e", PROGRAM], cwd=PACKAGES, stdout=subprocess.PIPE, text=True) as server:
        port = server.stdout.readline().strip()
        assert port, "dynalite did not start"
        yield f"http://127.0.0.1:{port}"
        server.kill()


@pytest.fixture(params=["memory", MOTO, JUDGE])
def dynamo(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A client of an empty DynamoDB, or None for a test of the fake."""
    yield from [None] if request.param == "memory" else clients(request)


@pytest.fixture(params=[MOTO, JUDGE])
def real_dynamo(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A client of an empty DynamoDB."""
    yield from clients(request)


def clients(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A client of the implementation that a fixture asks for; its tables are deleted in the end."""
    if request.param == MOTO:
        with mock_aws():
            yield boto3.client("dynamodb", region_name="us-east-1")
        return
    client = boto3.client("dynamodb", endpoint_url=request.getfixturevalue("dynalite"), region_name="us-east-1")
    yield client
    for name in client.list_tables()["TableNames"]:
        client.delete_table(TableName=name)
    eventually(lambda: not client.list_tables()["TableNames"], "the deletion of the tables")
