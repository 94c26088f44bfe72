"""The config API's handler, called as Lambda calls it. The live API is tested in tests/integration/config_api."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError

import config_api
from registry.document import NEVER_RAN
from registry.phrases import phrase
from registry.table import ProviderTable
from tests.unit.functions.test_provider_table import MemoryDynamo


@dataclass
class Context:
    function_name: str = "config_api"
    memory_limit_in_mb: int = 512
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:123456789012:function:config_api"
    aws_request_id: str = "request"


class Broken:
    """A DynamoDB table whose calls all fail."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __getattr__(self, name: str) -> Any:
        def fail(**given: Any) -> None:
            raise self.error

        return fail


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> ProviderTable:
    table = ProviderTable(MemoryDynamo(), "providers", 100)
    monkeypatch.setattr(config_api, "table", lambda: table)
    return table


def call(method: str, path: str, body: str | None = None, encoded: bool = False, **headers: str) -> dict[str, Any]:
    event = {
        "httpMethod": method,
        "path": path,
        "headers": headers or None,
        "multiValueHeaders": {name: [value] for name, value in headers.items()} or None,
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "requestContext": {"requestId": "r", "stage": "dev", "path": f"/dev{path}"},
        "body": body,
        "isBase64Encoded": encoded,
    }
    return config_api.handler(event, Context())  # type: ignore[arg-type]


def test_a_body_in_base64_is_read(table: ProviderTable) -> None:
    body = base64.b64encode(b'{"frequency": 5}').decode()

    assert call("PUT", "/providers/a", body, encoded=True)["statusCode"] == 201
    assert table.get("a").entry == {"frequency": 5, **NEVER_RAN}


def test_a_body_that_is_not_text_is_rejected(table: ProviderTable) -> None:
    refused = call("PUT", "/providers/a", base64.b64encode(b"\xff").decode(), encoded=True)

    assert (refused["statusCode"], "UTF-8" in refused["body"]) == (400, True)


def test_header_names_are_case_insensitive(table: ProviderTable) -> None:
    call("PUT", "/providers/a", '{"frequency": 5}')

    assert call("PUT", "/providers/a", '{"frequency": 6}', **{"if-none-match": "*"})["statusCode"] == 412


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_an_invalid_entry_is_refused_before_its_precondition_is_looked_at(table: ProviderTable, method: str) -> None:
    call("PUT", "/providers/a", '{"frequency": 5}')

    answer = call(method, "/providers/a", '{"frequency": {}}', **{"if-none-match": "*"})

    assert answer["statusCode"] == 422
    assert table.get("a").entry["frequency"] == 5


@pytest.mark.parametrize(
    "error",
    [
        ClientError({"Error": {"Code": "ProvisionedThroughputExceededException"}}, "GetItem"),
        ConnectTimeoutError(endpoint_url="https://dynamodb"),
    ],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/providers"),
        ("GET", "/providers/a"),
        ("PUT", "/providers/a"),
        ("PATCH", "/providers/a"),
        ("DELETE", "/providers/a"),
    ],
)
def test_the_status_is_503_when_the_database_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, error: Exception, method: str, path: str
) -> None:
    broken = ProviderTable(Broken(error), "providers", 100)
    monkeypatch.setattr(config_api, "table", lambda: broken)

    answer = call(method, path, '{"frequency": 5}')

    assert answer["statusCode"] == 503
    assert json.loads(answer["body"])["status"] == 503
    assert answer["multiValueHeaders"]["Retry-After"] == ["1"]
    assert "Throughput" not in answer["body"]


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_the_status_is_503_when_a_write_fails(monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    dynamo = MemoryDynamo()
    monkeypatch.setattr(config_api, "table", lambda: ProviderTable(dynamo, "providers", 100))
    call("PUT", "/providers/a", '{"frequency": 5}')
    before = dict(dynamo.items)
    broken = Broken(ClientError({"Error": {"Code": "ThrottlingException"}}, "PutItem"))
    monkeypatch.setattr(dynamo, "put_item", broken.put_item)
    monkeypatch.setattr(dynamo, "delete_item", broken.delete_item)

    assert call(method, "/providers/a", '{"frequency": 6}')["statusCode"] == 503
    assert dynamo.items == before


@pytest.mark.parametrize(
    ("status", "title"), [(413, "Content Too Large"), (422, "Unprocessable Content"), (404, "Not Found")]
)
def test_status_phrases_are_those_of_rfc_9110_in_every_version_of_python(status: int, title: str) -> None:
    assert phrase(HTTPStatus(status)) == title


@pytest.mark.parametrize("path", ["/providers", "/providers/a"])
def test_every_answer_must_be_validated_before_a_cache_repeats_it(path: str, table: ProviderTable) -> None:
    call("PUT", "/providers/a", '{"frequency": 5}')

    first = call("GET", path)
    again = call("GET", path, **{"If-None-Match": first["multiValueHeaders"]["ETag"][0]})

    assert (first["statusCode"], again["statusCode"]) == (200, 304)
    assert [answer["multiValueHeaders"]["Cache-Control"] for answer in (first, again)] == [["no-cache"]] * 2
