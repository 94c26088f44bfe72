"""The parts of the handlers, made from the environment, with the services of moto."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache

import boto3
import pytest

from fanout import bootstrap
from fanout.claims import ClaimRequest
from fanout.errors import ConfigApiUnavailableError
from tests.harness.shelf import Shelf
from tests.harness.world import ending
from tests.unit.functions.test_dispatch_handler import KEY, ConfigApi, config_api
from tests.unit.functions.test_pending import message

__all__ = ["config_api"]  # a fixture

PARTS = ("client", "dispatcher", "claims", "endings", "object_events", "producer_settings", "producer")
TICK = datetime(2026, 11, 22, 7, 30, tzinfo=UTC)


@pytest.fixture
def api(config_api: tuple[ConfigApi, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[ConfigApi]:
    """The config API with one provider, a; its key, a bucket, the ledger and the state machine are in AWS."""
    from moto import mock_aws  # takes a second

    from tests.integration.functions.test_ledger_store import table

    served, url = config_api
    served.body = json.dumps({"a": {"frequency": 15}}).encode()
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        table(boto3.client("dynamodb"))
        boto3.client("s3").create_bucket(Bucket="data")
        machine = boto3.client("stepfunctions").create_state_machine(
            name="m",
            definition=json.dumps({"StartAt": "End", "States": {"End": {"Type": "Succeed"}}}),
            roleArn="arn:aws:iam::123456789012:role/states",
        )
        secret = boto3.client("secretsmanager").create_secret(Name="key", SecretString=KEY)
        environment = {
            "ENV": "test",
            "JOB": "change_log",
            "RUN_LEDGER_TABLE": "ledger",
            "CONFIG_API_URL": url,
            "CONFIG_API_KEY_SECRET": secret["ARN"],
            "STATE_MACHINE_ARN": machine["stateMachineArn"],
            "CHANGE_LOG_DIR": "s3://data/log",
            "DATA_BUCKET": "data",
            "PROVIDER_ATTRIBUTE": Shelf().attribute,
            "LOOKBACK_MINUTES": "60",
            "MAX_CONCURRENT_RUNS": "2",
            "MAX_WORKERS": "2",
            "MAX_BYTES_PER_RUN": "1000",
            "LAMBDA_MAX_BYTES": "1000",
        }
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        for name in PARTS:
            monkeypatch.setattr(bootstrap, name, cache(getattr(bootstrap, name).__wrapped__))
        yield served


def test_a_tick_starts_a_provider_that_the_config_api_lists(api: ConfigApi) -> None:
    report = bootstrap.dispatcher().tick(TICK, lambda: 60.0)

    assert report.started_providers == ["a"]
    assert api.keys == [KEY]
    machine = bootstrap.dispatcher().settings.state_machine_arn
    executions = boto3.client("stepfunctions").list_executions(stateMachineArn=machine)["executions"]
    assert [execution["name"] for execution in executions] == ["a-20261122T073000Z"]


def test_object_events_are_counted_planned_and_committed(api: ConfigApi) -> None:
    boto3.client("s3").put_object(Bucket="data", Key="log/provider=a/1", Body=b"{}")
    before = bootstrap.utc_now()

    bootstrap.object_events().count({"m": message("log/provider=a/1", bucket="data")})
    claim = bootstrap.claims().claim(ClaimRequest(provider="a", run_id="r1"))
    ended = bootstrap.endings().fail(ending("failed", "a", "r1"))

    assert (claim.decision, claim.objects) == ("lambda", 1)
    assert ended[0].type == "UnknownError"
    state = bootstrap.dispatcher().store.get("a")
    assert state.last_run is not None
    assert before <= state.last_run.started_at <= state.last_run.ended_at <= bootstrap.utc_now()
    assert bootstrap.dispatcher().pending.waiting().keys() == {"a"}


def test_a_batch_of_the_stream_is_written_into_the_change_log(api: ConfigApi) -> None:
    shelf = Shelf()

    done = bootstrap.producer().produce({"Records": [shelf.change(1, "a")]})

    assert (done.failed, done.records, done.objects) == (None, 1, 1)
    (written,) = boto3.client("s3").list_objects_v2(Bucket="data")["Contents"]
    assert written["Key"].startswith("log/provider=a/")


def test_a_secret_that_cannot_be_read_is_an_error_that_names_it(
    api: ConfigApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONFIG_API_KEY_SECRET", "gone")

    with pytest.raises(ConfigApiUnavailableError, match="the secret gone could not be read"):
        bootstrap.dispatcher().tick(TICK, lambda: 60.0)

    assert api.keys == []


def test_a_log_line_has_its_time_as_lambda_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(bootstrap.logger.registered_handler, "stream", stream)

    before = bootstrap.utc_now()
    bootstrap.logger.warning("a line")

    time = json.loads(stream.getvalue())["timestamp"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d", time)
    assert before.replace(microsecond=0) <= datetime.fromisoformat(time)
