"""The built-in config API as it is deployed: API Gateway's listener, the real handler, DynamoDB."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import requests

from laptop_cloud.cloud import LaptopCloud
from tests.harness.clouds import SharedCloud
from tests.harness.waiting import HANG_SECONDS


@dataclass(frozen=True)
class Api:
    """The config API with its key."""

    cloud: LaptopCloud
    url: str
    key: str

    def call(self, method: str, path: str = "", key: str | None = "", **request: object) -> requests.Response:
        """Send a request, by default with the correct key. Pass another key, or None for no key."""
        headers = {**request.pop("headers", {}), **({"x-api-key": key or self.key} if key is not None else {})}  # type: ignore[dict-item]
        return requests.request(method, f"{self.url}{path}", headers=headers, timeout=HANG_SECONDS, **request)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def api(shared_cloud: SharedCloud, tmp_path_factory: pytest.TempPathFactory) -> Api:
    cloud = shared_cloud.up(tmp_path_factory.mktemp("cloud"))
    secret = cloud.client("secretsmanager").get_secret_value(SecretId=cloud.outputs["ConfigApiKeySecretArn"])
    return Api(cloud, cloud.outputs["ConfigApiUrl"], secret["SecretString"])


@pytest.fixture(autouse=True)
def no_providers(request: pytest.FixtureRequest) -> None:
    """Each test begins with an empty table."""
    if "api" in request.fixturenames:
        api: Api = request.getfixturevalue("api")
        for name in api.call("GET").json():
            api.call("DELETE", f"/{name}")
