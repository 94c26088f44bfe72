"""The key appears in no log: neither in API Gateway's access log nor in the function's."""

from __future__ import annotations

import json

from tests.integration.config_api.conftest import Api
from tests.template.reading import TEMPLATE, template_with
from tools.expand import expanded


def test_the_access_log_names_the_key_by_its_id_and_no_header() -> None:
    resources = expanded(TEMPLATE, {"Profile": "prod"})["Resources"].values()

    (stage,) = [resource["Properties"] for resource in resources if resource["Type"] == "AWS::ApiGateway::Stage"]
    setting = stage["AccessLogSetting"]["Format"]
    fields = set(json.loads(setting).values())
    assert "$context.identity.apiKeyId" in fields
    assert "$context.identity.apiKey" not in fields
    assert not any("header" in field.lower() or "body" in field.lower() for field in fields)


def test_no_method_logs_whole_requests() -> None:
    for resource in template_with().resources.values():
        if resource.type == "AWS::ApiGateway::Stage":
            for method in resource.properties["MethodSettings"]:
                assert method["DataTraceEnabled"] in (False, "false")
                assert method["ThrottlingRateLimit"]
                assert method["ThrottlingBurstLimit"]


def test_the_function_never_logs_the_key(api: Api) -> None:
    for method, path, body in (("PUT", "/a", b"{}"), ("PUT", "/a", b"x"), ("GET", "", b""), ("GET", "/none", b"")):
        api.call(method, path, data=body)

    written = [path.read_text(encoding="utf-8") for path in (api.cloud.workdir / "logs").glob("*config_api*")]
    assert written
    assert not any(api.key in text for text in written)
