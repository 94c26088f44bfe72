"""Tests of the stock trader's template on the laptop cloud."""

import json
from pathlib import Path

import pytest

from laptop_cloud.cloud import LaptopCloud

TEMPLATE = Path(__file__).with_name("template.yaml")


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    with LaptopCloud(TEMPLATE, {"PriceLimit": 60}, workdir=tmp_path_factory.mktemp("cloud")) as running:
        yield running


@pytest.mark.parametrize(("price", "side", "shares"), [(80, "sell", "9"), (60, "buy", "5")])
def test_a_trade_is_stored(cloud, price, side, shares):
    name = f"price-{price}"
    event = json.dumps({"price": price})
    cloud.client("stepfunctions").start_execution(stateMachineArn=cloud.outputs["TraderArn"], name=name, input=event)

    (execution,) = [found for found in cloud.wait() if found["name"] == name]
    trade = json.loads(execution["output"])
    stored = cloud.client("dynamodb").get_item(TableName=cloud.outputs["TradesTable"], Key={"id": {"S": trade["id"]}})
    assert (stored["Item"]["side"]["S"], stored["Item"]["shares"]["N"]) == (side, shares)


def test_the_schedule_starts_the_state_machine(cloud):
    execution = cloud.tick()

    assert execution in [found["executionArn"] for found in cloud.wait() if found["status"] == "SUCCEEDED"]
