"""A user's own change log, in all three record shapes: one message per row, each a valid CloudEvent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from demo.plan import own_plan
from demo.sample_data import Shape, Style, View, change_log
from demo.verify import Messages, compare, drain, expected_ids
from laptop_cloud.aws.spark_driver import Drivers
from laptop_cloud.cloud import LaptopCloud
from tests.harness.waiting import HANG_SECONDS

from .conftest import ROOT, ConfigApi

pytestmark = [pytest.mark.spark, pytest.mark.slow]

OPTIONAL_TEXT = {"type": ["string", "null"], "minLength": 1}
CLOUD_EVENT = {
    # Rules of the CloudEvents 1.0 specification and its JSON event format: required attributes, their types, extensions
    # of simple types with names of lower-case letters and digits, and at most one data member.
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    "required": ["id", "source", "specversion", "type"],
    "properties": {
        "id": {"type": "string", "minLength": 1},
        "source": {"type": "string", "minLength": 1, "format": "uri-reference"},
        "specversion": {"const": "1.0"},
        "type": {"type": "string", "minLength": 1},
        "datacontenttype": OPTIONAL_TEXT,
        "dataschema": {**OPTIONAL_TEXT, "format": "uri"},
        "subject": OPTIONAL_TEXT,
        "time": {**OPTIONAL_TEXT, "format": "date-time"},
        "data": True,
        "data_base64": {"type": ["string", "null"]},
    },
    "additionalProperties": {"type": ["string", "integer", "boolean"]},
    "propertyNames": {"pattern": "^([a-z0-9]+|data_base64)$"},
    "not": {"required": ["data", "data_base64"]},
}
VALID = jsonschema.Draft7Validator(CLOUD_EVENT, format_checker=jsonschema.FormatChecker())
STYLES = {f"{shape}-{view.lower().replace('_', '-')}": Style(shape, view) for shape in Shape for view in View}
ROWS = 60


@pytest.fixture(scope="module")
def sent(
    tmp_path_factory: pytest.TempPathFactory,
    drivers: Drivers,
) -> Iterator[tuple[LaptopCloud, list[dict[str, Any]], dict[str, Messages]]]:
    """Messages after one tick: one provider for each shape and view type, half of them on PySpark."""
    folder = tmp_path_factory.mktemp("log")
    for name, style in STYLES.items():
        for part in change_log(name, ROWS, 3, style, seed=7):
            path = folder / part.key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(part.body)
    plan = own_plan(folder)
    workdir = tmp_path_factory.mktemp("work")
    overrides = {"LambdaMaxBytes": plan.lambda_max_bytes}
    with LaptopCloud(ROOT / "template.yaml", overrides, workdir=workdir, drivers=drivers) as cloud:
        bucket, _, prefix = cloud.outputs["ChangeLogDir"].removeprefix("s3://").partition("/")
        api = ConfigApi(cloud)
        for provider, parts in plan.first.items():
            api.call("PUT", f"/{provider}", {"frequency": 15})
            for part in parts:
                cloud.client("s3").put_object(Bucket=bucket, Key=f"{prefix}/{part.key}", Body=part.body)
        cloud.tick(datetime.now(UTC))
        cloud.wait(HANG_SECONDS)
        received: dict[str, Messages] = {}
        bodies = drain(cloud.client("sqs"), cloud.outputs["ChangesQueueUrl"], received)
        yield cloud, bodies, received


def test_there_is_exactly_one_message_a_row(
    sent: tuple[LaptopCloud, list[dict[str, Any]], dict[str, Messages]],
) -> None:
    cloud, _, received = sent
    bucket, _, prefix = cloud.outputs["ChangeLogDir"].removeprefix("s3://").partition("/")
    compared = compare(expected_ids(cloud.client("s3"), bucket, prefix), received)
    assert set(compared) == set(STYLES)
    assert {name: found for name, found in compared.items() if not found.ok or found.rows != ROWS} == {}


def test_both_engines_were_used(sent: tuple[LaptopCloud, list[dict[str, Any]], dict[str, Messages]]) -> None:
    cloud, _, _ = sent
    decisions = [json.loads(found["output"])["claim"]["decision"] for found in cloud.executions()]
    assert decisions.count("glue") >= 3
    assert decisions.count("lambda") >= 2


def test_every_message_is_a_valid_cloud_event(
    sent: tuple[LaptopCloud, list[dict[str, Any]], dict[str, Messages]],
) -> None:
    _, bodies, _ = sent
    assert len(bodies) == ROWS * len(STYLES)
    for body in bodies:
        VALID.validate(body)
        assert body["source"].endswith(body["provider"])
        datetime.fromisoformat(body["time"])


def test_the_schema_rejects_invalid_cloud_events() -> None:
    good = {"id": "1", "source": "/s", "specversion": "1.0", "type": "t"}
    VALID.validate(good)
    for bad in (
        {**good, "specversion": "0.3"},
        {**good, "id": ""},
        {"id": "1"},
        {**good, "data": 1, "data_base64": ""},
    ):
        assert list(VALID.iter_errors(bad))


def test_own_plan_counts_rows_and_keeps_the_files(tmp_path: Path) -> None:
    for part in change_log("p", 10, 2, Style(Shape.EXPORT, View.NEW_IMAGE)):
        path = tmp_path / part.key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(part.body)
    plan = own_plan(tmp_path)
    assert [part.rows for part in plan.first["p"]] == [5, 5]
    assert (plan.corrupt, plan.second) == (None, {})
