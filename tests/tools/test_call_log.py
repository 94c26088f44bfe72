from __future__ import annotations

import io
from typing import Any

import pytest

from tests.harness.call_log import describe


def call(service: str, **environ: Any) -> tuple[str | None, str | None]:
    body = environ.pop("body", b"")
    found = describe(
        "role",
        service,
        {"CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body), "QUERY_STRING": "", **environ},
    )
    assert (found["principal"], found["service"]) == ("role", service)
    return found["action"], found["resource"]


@pytest.mark.parametrize(
    ("method", "path", "query", "expected"),
    [
        ("GET", "/b/k/x.gz", "", ("GetObject", "b/k/x.gz")),
        ("HEAD", "/b/k", "", ("GetObject", "b/k")),
        ("GET", "/b/k", "versionId=1", ("GetObjectVersion", "b/k")),
        ("PUT", "/b/k", "", ("PutObject", "b/k")),
        ("DELETE", "/b/k", "", ("DeleteObject", "b/k")),
        ("GET", "/b", "list-type=2&prefix=x", ("ListBucket", "b")),
        ("GET", "/b/", "list-type=2", ("ListBucket", "b")),
    ],
)
def test_s3_requests_are_named_by_the_iam_action_they_need(
    method: str, path: str, query: str, expected: tuple[str, str]
) -> None:
    assert call("s3", REQUEST_METHOD=method, PATH_INFO=path, QUERY_STRING=query) == expected


def test_a_json_request_names_its_operation_and_resource() -> None:
    target = "AmazonSQS.SendMessageBatch"
    body = b'{"Entries": [{"MessageBody": "{\\"QueueUrl\\": \\"no\\"}"}], "QueueUrl": "http://q"}'
    assert call("sqs", HTTP_X_AMZ_TARGET=target, body=body) == ("SendMessage", "http://q")


def test_an_invocation_is_named_by_its_iam_action() -> None:
    path = "/2015-03-31/functions/arn:aws:lambda:us-east-1:1:function:f/invocations"
    expected = ("InvokeFunction", "arn:aws:lambda:us-east-1:1:function:f")
    assert call("lambda", REQUEST_METHOD="POST", PATH_INFO=path) == expected


def test_the_body_can_still_be_read_afterwards() -> None:
    environ: dict[str, Any] = {
        "HTTP_X_AMZ_TARGET": "DynamoDB_20120810.PutItem",
        "CONTENT_LENGTH": "18",
        "wsgi.input": io.BytesIO(b'{"TableName": "t"}'),
    }
    assert describe("role", "dynamodb", environ)["resource"] == "t"
    assert environ["wsgi.input"].read() == b'{"TableName": "t"}'
