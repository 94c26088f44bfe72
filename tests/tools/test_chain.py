"""The model of the chain from table to message follows the template and is plausible."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from fanout.manifests import KEY_TIME_SLACK
from fanout.production import KEY_TIME_FORMAT, MAX_RECORD_AGE
from tests.template.reading import template_with
from tools.chain import BATCH_RECORDS, OBJECT_EVENTS_WINDOW_SECONDS, PRODUCER_MEMORY_MB, WINDOW_SECONDS, Chain, table
from tools.cost import DAYS, Load, total


def test_the_model_has_the_values_of_the_template() -> None:
    stream = "arn:aws:dynamodb:us-east-1:123456789012:table/things/stream/x"
    resources = template_with(SourceStreamArn=stream, ProviderAttribute="tenant").resources
    mapping: Any = resources["ProducerMapping"].properties

    assert (mapping["MaximumBatchingWindowInSeconds"], mapping["BatchSize"]) == (WINDOW_SECONDS, BATCH_RECORDS)
    assert resources["ObjectEventsMapping"].properties["MaximumBatchingWindowInSeconds"] == OBJECT_EVENTS_WINDOW_SECONDS
    assert resources["ProducerFunction"].properties["MemorySize"] == PRODUCER_MEMORY_MB


def test_the_key_time_slack_exceeds_lambdas_maximum_record_age() -> None:
    stream = "arn:aws:dynamodb:us-east-1:123456789012:table/things/stream/x"
    resources = template_with(SourceStreamArn=stream, ProviderAttribute="tenant").resources
    oldest: Any = resources["ProducerMapping"].properties["MaximumRecordAgeInSeconds"]

    assert timedelta(seconds=oldest) + timedelta(hours=2) == MAX_RECORD_AGE < KEY_TIME_SLACK
    variables: Any = resources["ClaimFunction"].properties["Environment"]["Variables"]
    assert variables["KEY_TIME_FORMAT"]["Fn::If"][:2] == ["Producing", KEY_TIME_FORMAT]


@pytest.mark.parametrize("load", [Load(1, 15, 10), Load(100, 15, 2_000), Load(10_000, 15, 100_000)], ids=str)
def test_there_are_no_more_objects_than_records_and_a_longer_window_makes_fewer(load: Load) -> None:
    chains = [Chain(load, window) for window in (1, 10, 60, 300)]

    objects = [chain.objects for chain in chains]
    assert objects == sorted(objects, reverse=True)
    assert objects[0] <= load.providers * load.rows * DAYS * (1 + 1e-9)
    assert all(0 < chain.batches <= chain.objects * (1 + 1e-9) for chain in chains)
    assert [total(chain.producer()) for chain in chains] == sorted((total(c.producer()) for c in chains), reverse=True)


def test_a_longer_window_makes_messages_older_and_the_maximum_exceeds_the_average() -> None:
    short, long = Chain(Load(1, 15, 100), 5).freshness, Chain(Load(1, 15, 100), 300).freshness
    assert short[0] < long[0] < long[1]


def test_the_table_has_100_and_10000_providers() -> None:
    assert "| 100 |" in table()
    assert "| 10,000 |" in table()
