"""The config API's handler, called as Lambda calls it. The live API is tested in tests/integration/config_api."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, parse_qsl

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


def call(method: str, address: str, body: str | None = None, encoded: bool = False, **headers: str) -> dict[str, Any]:
    path, _, query = address.partition("?")
    event = {
        "httpMethod": method,
        "path": path,
        "headers": headers or None,
        "multiValueHeaders": {name: [value] for name, value in headers.items()} or None,
        "queryStringParameters": dict(parse_qsl(query)) or None,
        "multiValueQueryStringParameters": parse_qs(query) or None,
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


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_a_request_without_a_body_is_rejected(method: str, table: ProviderTable) -> None:
    assert call(method, "/providers/a")["statusCode"] == 400


def test_an_entry_is_created_replaced_and_removed(table: ProviderTable) -> None:
    answers = [call(method, "/providers/a", '{"frequency": 5}') for method in ("PUT", "PUT", "DELETE", "DELETE")]

    assert [answer["statusCode"] for answer in answers] == [201, 200, 204, 404]


def test_the_pages_of_the_list_are_linked(monkeypatch: pytest.MonkeyPatch) -> None:
    table = ProviderTable(MemoryDynamo(), "providers", 2)
    monkeypatch.setattr(config_api, "table", lambda: table)
    for name in ("a", "b", "c"):
        call("PUT", f"/providers/{name}", '{"frequency": 5}')

    first, last = call("GET", "/providers"), call("GET", "/providers?next=b")

    assert [list(json.loads(page["body"])) for page in (first, last)] == [["a", "b"], ["c"]]
    assert first["multiValueHeaders"]["Link"] == ['<?next=b>; rel="next"']
    assert "Link" not in last["multiValueHeaders"]


@pytest.mark.parametrize("after", ["../x", "%20"])
def test_a_page_that_no_link_names_is_rejected(after: str, table: ProviderTable) -> None:
    answer = call("GET", f"/providers?next={after}")

    assert answer["statusCode"] == 400
    assert json.loads(answer["body"])["detail"] == "next must be from the Link header of an earlier answer"


@pytest.mark.parametrize(
    ("method", "path", "status", "detail"),
    [
        ("POST", "/providers", 405, "this resource supports GET"),
        ("PUT", "/providers/", 405, "this resource supports GET"),
        ("POST", "/providers/a", 405, "this resource supports GET, PUT, PATCH, DELETE"),
        ("GET", '/providers/"', 404, "the paths are /providers and /providers/{provider}"),
        ("GET", "/providers/a/b", 404, "the paths are /providers and /providers/{provider}"),
        ("POST", "/provider", 404, "the paths are /providers and /providers/{provider}"),
    ],
)
def test_an_unknown_path_or_method_is_a_problem_that_says_what_there_is(
    method: str, path: str, status: int, detail: str, table: ProviderTable
) -> None:
    answer = call(method, path)

    assert (answer["statusCode"], json.loads(answer["body"])["detail"]) == (status, detail)
    allowed = [detail.removeprefix("this resource supports ")] if status == 405 else None
    assert answer["multiValueHeaders"].get("Allow") == allowed


def test_the_table_is_that_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    dynamo = MemoryDynamo()
    monkeypatch.setenv("PROVIDERS_TABLE", "from the environment")
    monkeypatch.setattr(config_api, "client", {"dynamodb": dynamo}.get)
    monkeypatch.setattr(config_api, "table", config_api.table.__wrapped__)
    asked: list[str] = []
    monkeypatch.setattr(dynamo, "get_item", lambda TableName, **given: asked.append(TableName) or {})  # noqa: N803

    assert call("GET", "/providers/a")["statusCode"] == 404
    assert asked == ["from the environment"]


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
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception, method: str, path: str
) -> None:
    broken = ProviderTable(Broken(error), "providers", 100)
    monkeypatch.setattr(config_api, "table", lambda: broken)

    answer = call(method, path, '{"frequency": 5}')

    assert answer["statusCode"] == 503
    assert json.loads(answer["body"])["status"] == 503
    assert answer["multiValueHeaders"]["Retry-After"] == ["1"]
    assert "Throughput" not in answer["body"]
    assert "DynamoDB is not available" in caplog.messages


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
