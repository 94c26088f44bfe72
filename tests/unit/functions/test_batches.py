"""The handlers of batches: the records that they ask Lambda to redeliver."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

import object_events
import producer
from fanout.errors import InvalidRequestError
from fanout.production import Production
from fanout.settings import ObjectEventsSettings, ProducerSettings
from tests.unit.functions.test_config_api import Context


class ObjectEvents:
    """Accepts the messages whose body is "good"."""

    settings = ObjectEventsSettings(env="dev", run_ledger_table="ledger", change_log_dir="s3://data/change_log")

    def count(self, messages: Mapping[str, str]) -> tuple[set[str], Counter[str]]:
        return {name for name, body in messages.items() if body != "good"}, Counter(counted=1)


class Producer:
    def __init__(self, failed: str | None) -> None:
        self.failed = failed

    def produce(self, event: dict[str, Any]) -> Production:
        return Production(failed=self.failed, records=len(event["Records"]), objects=1, unassigned=0, foreign=0)


def test_only_the_messages_that_could_not_be_counted_are_redelivered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fanout.bootstrap.object_events", ObjectEvents)
    records = [{"messageId": name, "body": body} for name, body in {"1": "bad", "2": "good", "3": "bad"}.items()]

    answer = object_events.handler({"Records": records}, Context())

    assert answer == {"batchItemFailures": [{"itemIdentifier": "1"}, {"itemIdentifier": "3"}]}


@pytest.mark.parametrize("event", [{}, {"Records": [{"messageId": "1"}]}, {"Records": None}])
def test_an_event_that_is_no_batch_of_messages_is_rejected(event: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError, match="not a batch of SQS messages"):
        object_events.handler(event, Context())


@pytest.mark.parametrize(("failed", "again"), [(None, []), ("17", [{"itemIdentifier": "17"}])])
def test_a_batch_is_retried_from_the_record_that_failed(
    failed: str | None, again: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ProducerSettings(
        env="dev", change_log_dir="s3://data/change_log", data_bucket="data", provider_attribute="tenant"
    )
    monkeypatch.setattr("fanout.bootstrap.producer_settings", lambda: settings)
    monkeypatch.setattr("fanout.bootstrap.producer", lambda: Producer(failed))

    assert producer.handler({"Records": [{}]}, Context()) == {"batchItemFailures": again}


def test_unreadable_messages_are_a_metric(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    counted = Counter({"not a message of S3": 2, "not an event of S3": 3, "not in the change log": 4, "counted": 5})
    events = ObjectEvents()
    monkeypatch.setattr(events, "count", lambda messages: (set(), counted))
    monkeypatch.setattr("fanout.bootstrap.object_events", lambda: events)

    object_events.handler({"Records": []}, Context())

    (line,) = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "CloudWatchMetrics" in line]
    assert (line["UnreadableEvents"], line["env"]) == ([5], "dev")
