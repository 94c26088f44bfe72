"""The built-in config API against the dispatcher logic of the article that the project follows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from laptop_cloud.cloud import LaptopCloud
from tests.harness.clouds import SharedCloud
from tests.harness.waiting import HANG_SECONDS

from .conftest import ConfigApi

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cloud(shared_cloud: SharedCloud, tmp_path_factory: pytest.TempPathFactory) -> LaptopCloud:
    found = shared_cloud.up(tmp_path_factory.mktemp("cloud"))
    for provider in ConfigApi(found).call("GET"):
        ConfigApi(found).call("DELETE", f"/{provider}")
    return found


def due_providers(config: dict[str, Any], now: datetime) -> list[str]:
    """The article's rule, unchanged: minutes as text, RFC 1123 dates, and a comparison with the status."""
    due = []
    for provider in config:  # noqa: PLC0206 - as in the article
        entry = config[provider]
        last = datetime.strptime(entry["last_success"], "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
        if entry["status"] != "running" and now - last >= timedelta(minutes=int(entry["frequency"])):
            due.append(provider)
    return due


def test_the_dispatcher_logic_of_the_article_works_unmodified(cloud: LaptopCloud) -> None:
    api = ConfigApi(cloud)
    api.call(
        "PUT",
        "/providerA",
        {"frequency": "120", "last_success": "Tue, 08 Nov 2022 15:47:17 GMT", "status": "succeeded"},
    )
    api.call(
        "PUT", "/providerB", {"frequency": "120", "last_success": "Tue, 08 Nov 2022 15:47:17 GMT", "status": "running"}
    )
    api.call(
        "PUT", "/providerC", {"frequency": 120, "last_success": "Tue, 08 Nov 2022 17:00:00 GMT", "status": "succeeded"}
    )
    api.call("PUT", "/providerD", {"frequency": "120"})
    config = api.call("GET")
    assert isinstance(config["providerA"]["frequency"], str)
    assert due_providers(config, datetime(2022, 11, 8, 18, 0, tzinfo=UTC)) == ["providerA", "providerD"]
    for provider in ("providerA", "providerB", "providerC", "providerD"):
        api.call("DELETE", f"/{provider}")


def test_after_a_run_the_entry_has_the_format_of_the_article(cloud: LaptopCloud) -> None:
    api = ConfigApi(cloud)
    api.call("PUT", "/fresh", {"frequency": "15"})
    now = datetime.now(UTC).replace(microsecond=0)
    assert cloud.tick(now)["started_providers"] == ["fresh"]
    cloud.wait(HANG_SECONDS)
    entry = api.call("GET")["fresh"]
    assert entry["status"] == "succeeded"
    assert datetime.strptime(entry["last_success"], "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC) == now
    assert due_providers({"fresh": entry}, now + timedelta(minutes=14)) == []
    assert due_providers({"fresh": entry}, now + timedelta(minutes=15)) == ["fresh"]


@pytest.mark.fault(3)
def test_a_tick_delivered_twice_starts_each_provider_once(cloud: LaptopCloud) -> None:
    api = ConfigApi(cloud)
    api.call("PUT", "/twice", {"frequency": "15"})
    now = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    cloud.tick(now)
    cloud.tick(now)
    cloud.wait(HANG_SECONDS)
    assert sum(1 for found in cloud.executions() if found["name"].startswith("twice-")) == 1
