"""The config client reports runs."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
import requests

from fanout.config_client import (
    REPORT_SECONDS,
    REST_SECONDS,
    TRIES,
)
from fanout.errors import ConfigApiUnavailableError
from fanout.runs import Report
from tests.harness.config_server import URL, Server, page
from tests.harness.transport import Reply

# ----------------------------------------------------------------------------------------------------------- reporting

REPORT = Report(run_id="r-1", status="succeeded", last_success=datetime(2026, 11, 22, 7, 30, tzinfo=UTC))


def test_a_report_is_a_patch_of_the_providers_entry() -> None:
    server = Server(page({}))
    server.client().report("a.b", REPORT)

    sent = server.requests[0]
    assert (sent.method, sent.url) == ("PATCH", URL + "/a.b")
    assert json.loads(sent.body or b"") == {
        "status": "succeeded",
        "run_id": "r-1",
        "last_success": "Sun, 22 Nov 2026 07:30:00 GMT",
    }


def test_a_query_in_the_address_stays_after_the_path() -> None:
    server = Server(page({}))
    server.client("https://config.example/providers?env=dev").report("a", REPORT)

    assert server.requests[0].url == "https://config.example/providers/a?env=dev"


def test_a_change_is_sent_with_its_headers() -> None:
    server = Server(Reply(status=201, body=b'{"frequency": 5}'))

    answer = server.client().change("PUT", "a", {"frequency": 5}, {"If-None-Match": "*"})

    sent = server.requests[0]
    assert (sent.method, sent.headers["If-None-Match"], json.loads(sent.body or b"")) == ("PUT", "*", {"frequency": 5})
    assert (answer.status, answer.body) == (201, b'{"frequency": 5}')


def test_a_change_is_tried_only_once_because_a_repetition_may_do_harm() -> None:
    server = Server(Reply(status=503))

    with pytest.raises(ConfigApiUnavailableError, match="attempts: 1"):
        server.client().change("PUT", "a", {"frequency": 5})


def test_a_report_has_the_error_and_omits_absent_fields() -> None:
    server = Server(page({}))
    server.client().report("a", Report(run_id="r", status="failed", error="job run jr_1 ended TIMEOUT"))

    assert json.loads(server.requests[0].body or b"") == {
        "status": "failed",
        "run_id": "r",
        "error": "job run jr_1 ended TIMEOUT",
    }


def test_after_a_report_that_was_not_delivered_100_more_cost_no_time() -> None:
    server = Server(requests.ConnectionError())
    client = server.client()
    for _ in range(100):
        with pytest.raises(ConfigApiUnavailableError):
            client.report("a", REPORT)

    assert len(server.requests) == TRIES
    assert server.time.now < REPORT_SECONDS


def test_the_report_of_a_start_is_tried_only_once_because_the_run_waits_for_it() -> None:
    server = Server(Reply(status=503))

    with pytest.raises(ConfigApiUnavailableError, match="attempts: 1"):
        server.client().report("a", Report(run_id="r", status="running"))

    assert len(server.requests) == 1
    assert server.time.slept == []


def test_reports_are_sent_again_after_a_pause() -> None:
    server = Server(*[Reply(status=503)] * TRIES, page({}))
    client = server.client()
    with pytest.raises(ConfigApiUnavailableError):
        client.report("a", REPORT)
    server.time.now += REST_SECONDS

    client.report("a", REPORT)


def test_entries_are_still_read_while_reports_pause() -> None:
    server = Server(*[Reply(status=503)] * TRIES, page({"a": 1}))
    client = server.client()
    with pytest.raises(ConfigApiUnavailableError):
        client.report("a", REPORT)

    assert client.entries() == {"a": 1}
