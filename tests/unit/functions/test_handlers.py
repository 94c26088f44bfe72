"""The handlers around the rules: what they return, and the log lines and metrics that operators see."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import pytest

import claim
import dispatch
import object_events
import producer
import update_status
from fanout.bootstrap import logger
from fanout.errors import (
    ConfigApiUnavailableError,
    FanoutError,
    InvalidRequestError,
    LedgerUnavailableError,
    ResultMissingError,
)
from fanout.production import Production
from fanout.settings import ProducerSettings
from tests.harness.world import World, one_provider, result_of
from tests.unit.functions.test_batches import ObjectEvents, Producer
from tests.unit.functions.test_config_api import Context

RUN = {"run_id": "r1", "execution_arn": "arn:r1", "input": {"provider": "a"}}
SUCCEEDED = {"outcome": "succeeded", "provider": "a", "run_id": "r1"}
FAILED = {"outcome": "failed", "provider": "a", "run_id": "r1", "result": {"Error": "States.Timeout", "Cause": ""}}
GONE = {"detail-type": "Step Functions Execution Status Change"}
DETAIL: dict[str, Any] = {"status": "ABORTED", "name": "r1", "input": '{"provider": "a"}'}


class TimedContext(Context):
    def get_remaining_time_in_millis(self) -> int:
        return 20_000


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    stream = io.StringIO()
    monkeypatch.setattr(logger.registered_handler, "stream", stream)
    yield stream
    logger.clear_state()


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = one_provider()
    for part in ("claims", "endings", "dispatcher"):
        monkeypatch.setattr(f"fanout.bootstrap.{part}", lambda part=part: getattr(world, part))
    return world


def last(log: io.StringIO) -> dict[str, Any]:
    line: dict[str, Any] = json.loads(log.getvalue().splitlines()[-1])
    return line


def metrics(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The metrics of one call with their dimension env, and engine if they have it; {} if there are none."""
    documents = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "CloudWatchMetrics" in line]
    if not documents:
        return {}
    (document,) = documents
    (directive,) = document["_aws"]["CloudWatchMetrics"]
    dimensions = {name: document[name] for name in directive["Dimensions"][0] if name != "service"}
    return {**dimensions, **{metric["Name"]: document[metric["Name"]][0] for metric in directive["Metrics"]}}


def test_a_claim_is_returned_and_logged_with_its_provider_and_run(world: World, log: io.StringIO) -> None:
    claimed = claim.handler(RUN, Context())

    assert (claimed["decision"], claimed["objects"]) == ("lambda", 1)
    line = last(log)
    assert (line["message"], line["provider"], line["run_id"], line["claim"]) == ("claimed", "a", "r1", claimed)


def test_a_committed_run_is_returned_logged_and_measured(
    world: World, log: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = {"objects": 1, "bytes": 5, "rows": 7, "messages": 6, "quarantined": 1, "seconds": 90.0}
    world.change("a", "_ignored")
    made = world.claim("a", "r1")
    world.leave(made, result_of(made, **figures))

    record = update_status.handler(SUCCEEDED, Context())

    assert {name: record[name] for name in ("run_id", "status", *figures)} == {
        "run_id": "r1",
        "status": "succeeded",
        **figures,
    }
    line = last(log)
    assert (line["message"], line["provider"], line["run_id"]) == ("run succeeded", "a", "r1")
    assert line["record"] == record
    measured = metrics(capsys)
    assert measured.pop("RunDollars") == record["dollars"] > 0
    assert measured == {
        "env": "test",
        "engine": "lambda",
        "RunsSucceeded": 1,
        "Rows": 7,
        "Messages": 6,
        "Quarantined": 1,
        "Ignored": 1,
        "RunSeconds": 90.0,
    }


def test_a_run_without_work_has_no_metrics_of_work(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.run("a", "r0")
    world.claim("a", "r1")

    assert update_status.handler(SUCCEEDED, Context())["engine"] == "none"

    assert metrics(capsys) == {"env": "test", "engine": "none", "RunsSucceeded": 1}


def test_a_commit_that_is_repeated_after_the_next_run_returns_no_record(world: World) -> None:
    world.run("a", "r1")
    world.run("a", "r2")

    assert update_status.handler(SUCCEEDED, Context()) == {"status": "succeeded"}


def test_a_failed_run_is_returned_as_an_error_logged_and_measured(
    world: World, log: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    world.claim("a", "r1")

    shown = update_status.handler(FAILED, Context())

    assert shown["Error"] == "RunFailed"
    line = last(log)
    assert (line["level"], line["message"], line["provider"], line["run_id"]) == ("ERROR", "run failed", "a", "r1")
    assert line["failure"]["type"] == "States.Timeout"
    assert line["reason"] == shown["Cause"]
    assert metrics(capsys) == {"env": "test", "RunsFailed": 1}


@pytest.mark.parametrize(("holder", "freed"), [("r1", True), ("r0", False)])
def test_an_aborted_execution_that_holds_a_lease_is_a_failed_run(
    holder: str, freed: bool, world: World, log: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    world.claim("a", holder)

    answer = update_status.handler({**GONE, "detail": DETAIL}, Context())

    assert answer == {"provider": "a", "run_id": "r1", "freed": freed}
    line = last(log)
    assert (line["provider"], line["run_id"], line["status"], line["freed"]) == ("a", "r1", "ABORTED", freed)
    assert line["message"] == "execution timed out or was aborted"
    assert (world.state("a").lease is None) == freed
    assert metrics(capsys) == ({"env": "test", "RunsFailed": 1} if freed else {})


@pytest.mark.parametrize("detail", [None, {}, {**DETAIL, "input": "{"}, {**DETAIL, "input": None}])
def test_an_event_of_an_execution_without_its_input_is_rejected(detail: Any, world: World) -> None:
    with pytest.raises(InvalidRequestError, match="not a Step Functions Execution Status Change event"):
        update_status.handler({**GONE, "detail": detail}, Context())


def test_a_run_without_a_result_is_not_committed(world: World) -> None:
    world.claim("a", "r1")

    with pytest.raises(ResultMissingError):
        update_status.handler(SUCCEEDED, Context())


def test_a_tick_is_returned_logged_and_measured(
    world: World, log: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    world.configure(discovery="events")
    world.provider("b", 60, last_success="Sun, 22 Nov 2026 04:30:00 GMT")
    world.provider("paused", paused=True)
    world.tell("b")
    world.clock.advance(minutes=3)

    report = dispatch.handler({"scheduled_at": world.clock().isoformat()}, TimedContext())

    assert sorted(report["started_providers"]) == ["a", "b"]
    line = last(log)
    assert (line["message"], line["report"]) == ("tick done", json.loads(json.dumps(report)))
    assert next(iter(world.executions.started)).endswith(f"-{line['correlation_id']}")
    assert metrics(capsys) == {
        **dict.fromkeys(dispatch._METRICS, 0),
        "env": "test",
        "Dispatched": 1,
        "Providers": 3,
        "Due": 2,
        "Started": 2,
        "Paused": 1,
        "NeverSucceeded": 1,
        "OldestOverdueMinutes": 3,
        "OldestPendingMinutes": 3,
    }


def test_a_tick_has_the_time_that_lambda_leaves_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[float] = []
    tick = world.dispatcher.tick
    monkeypatch.setattr(type(world.dispatcher), "tick", lambda self, at, time: left.append(time()) or tick(at, time))

    dispatch.handler({}, TimedContext())

    assert left == [20.0]


@pytest.mark.parametrize(
    ("down", "event", "error", "of_the_api"),
    [
        ("config_api", {}, ConfigApiUnavailableError, 1),
        ("ledger", {}, LedgerUnavailableError, 0),
        ("", {"scheduled_at": "never"}, InvalidRequestError, 0),
    ],
)
def test_a_failed_tick_is_raised_logged_and_measured(
    down: str,
    event: dict[str, Any],
    error: type[FanoutError],
    of_the_api: int,
    world: World,
    log: io.StringIO,
    capsys: pytest.CaptureFixture[str],
) -> None:
    world.faults.down.add(down)

    with pytest.raises(error) as raised:
        dispatch.handler(event, TimedContext())

    line = last(log)
    assert (line["level"], line["message"]) == ("ERROR", "nothing was dispatched")
    assert (line["error"], line["reason"]) == (error.__name__, str(raised.value))
    assert metrics(capsys) == {"env": "test", "DispatchFailed": 1, "ConfigApiFailed": of_the_api}


def test_a_batch_of_object_events_is_logged(monkeypatch: pytest.MonkeyPatch, log: io.StringIO) -> None:
    monkeypatch.setattr("fanout.bootstrap.object_events", ObjectEvents)

    object_events.handler({"Records": [{"messageId": name, "body": "bad"} for name in "12"]}, Context())

    line = last(log)
    assert (line["message"], line["events"], line["again"]) == ("object events counted", {"counted": 1}, 2)


@pytest.mark.parametrize(("failed", "message"), [(None, "batch written"), ("17", "batch will be redelivered")])
def test_a_batch_of_the_stream_is_logged_and_measured(
    failed: str | None,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    log: io.StringIO,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings = ProducerSettings(
        env="dev", change_log_dir="s3://data/change_log", data_bucket="data", provider_attribute="tenant"
    )
    done = Production(failed=failed, records=9, objects=3, unassigned=2, foreign=1)
    monkeypatch.setattr("fanout.bootstrap.producer_settings", lambda: settings)
    monkeypatch.setattr("fanout.bootstrap.producer", lambda: Producer(failed))
    monkeypatch.setattr(Producer, "produce", lambda self, event: done)

    producer.handler({"Records": []}, Context())

    line = last(log)
    assert line["message"] == message
    assert {name: line.get(name) for name in asdict(done)} == asdict(done)
    assert metrics(capsys) == {"env": "dev", "Unassigned": 2, "ForeignObjects": 1}
