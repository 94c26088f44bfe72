"""The HTTP listener behaves as API Gateway in front of a function."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

import pytest

from laptop_cloud.cloud import LaptopCloud
from tests.harness.waiting import HANG_SECONDS


def key(cloud: LaptopCloud) -> str:
    secret = cloud.client("secretsmanager").get_secret_value(SecretId=cloud.outputs["KeySecretArn"])
    return str(secret["SecretString"])


def request(url: str, key: str | None, method: str = "GET", body: bytes | None = None) -> tuple[int, Any, Any]:
    headers = {"x-api-key": key} if key else {}
    try:
        asked = urllib.request.Request(url, body, headers, method=method)  # noqa: S310 - own URL
        answer = urllib.request.urlopen(asked, timeout=HANG_SECONDS)  # noqa: S310
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read()), error.headers
    return answer.status, json.loads(answer.read()), answer.headers


@pytest.mark.parametrize("wrong", [None, "", "x" * 40])
def test_a_request_without_a_key_of_the_stage_is_rejected(cloud: LaptopCloud, wrong: str | None) -> None:
    assert request(f"{cloud.outputs['ApiUrl']}/things", wrong)[:2] == (403, {"message": "Forbidden"})


@pytest.mark.fault(25)
def test_a_key_without_a_usage_plan_of_the_stage_is_rejected(cloud: LaptopCloud) -> None:
    gateway = cloud.client("apigateway")
    other = gateway.create_api_key(name="other", enabled=True, value="o" * 40)
    assert request(f"{cloud.outputs['ApiUrl']}/things", "o" * 40)[0] == 403
    plan = gateway.create_usage_plan(name="other", apiStages=[{"apiId": cloud.physical_id("Api"), "stage": "else"}])
    gateway.create_usage_plan_key(usagePlanId=plan["id"], keyId=other["id"], keyType="API_KEY")
    assert request(f"{cloud.outputs['ApiUrl']}/things", "o" * 40)[0] == 403


def test_the_function_gets_the_proxy_event_of_a_rest_api(cloud: LaptopCloud) -> None:
    url = f"{cloud.outputs['ApiUrl']}/things/a%20b?x=1&x=2"
    status, seen, headers = request(url, key(cloud), "PATCH", b'{"n": 1}')
    assert (status, headers["X-Method"]) == (200, "PATCH")
    event = seen["event"]
    assert (event["resource"], event["path"], event["httpMethod"]) == ("/{proxy+}", "/things/a b", "PATCH")
    assert event["pathParameters"] == {"proxy": "things/a b"}
    assert event["queryStringParameters"] == {"x": "2"}
    assert event["multiValueQueryStringParameters"] == {"x": ["1", "2"]}
    assert (event["body"], event["isBase64Encoded"]) == ('{"n": 1}', False)
    context = event["requestContext"]
    assert (context["stage"], context["path"], context["resourcePath"]) == (
        "test",
        "/test/things/a b",
        "/{proxy+}",
    )
    assert context["identity"]["apiKeyId"] == cloud.physical_id("ApiKey")


def test_an_unknown_path_or_stage_gets_api_gateway_s_response(cloud: LaptopCloud) -> None:
    stage = cloud.outputs["ApiUrl"]
    missing = (403, {"message": "Missing Authentication Token"})
    assert request(f"{stage}/", key(cloud))[:2] == missing
    assert request(stage, key(cloud), "DELETE")[:2] == missing
    assert request(f"{stage.removesuffix('/test')}/prod/things", key(cloud))[:2] == (403, {"message": "Forbidden"})


def test_a_failed_function_is_a_bad_gateway(cloud: LaptopCloud) -> None:
    client, name = cloud.client("lambda"), cloud.physical_id("EchoFunction")
    client.update_function_configuration(FunctionName=name, Handler="echo.nothing")
    try:
        assert request(f"{cloud.outputs['ApiUrl']}/things", key(cloud))[:2] == (
            502,
            {"message": "Internal server error"},
        )
    finally:
        client.update_function_configuration(FunctionName=name, Handler="echo.handler")


def test_the_url_in_an_output_is_on_this_machine(cloud: LaptopCloud) -> None:
    assert cloud.outputs["ApiUrl"].startswith("http://127.0.0.1:")
