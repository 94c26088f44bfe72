"""The built-in config API, called over HTTP."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from fanout.config_client import HttpConfigApi
from tests.harness.waiting import HANG_SECONDS
from tests.integration.config_api.conftest import Api

SUCCESS = "Tue, 08 Nov 2022 15:47:17 GMT"
ENTRY = {
    "frequency": "120",
    "last_success": SUCCESS,
    "status": "succeeded",
    "owner": {"team": "sales", "limit": 12345678901234567890.5},
}
NEVER_RAN = {"last_success": "Thu, 01 Jan 1970 00:00:00 GMT", "status": "new"}


def problem(response: requests.Response) -> tuple[int, str]:
    """Return status and detail of an error, which must be a problem document."""
    body = response.json()
    assert response.headers["Content-Type"] == "application/problem+json"
    assert {"type", "title", "status", "detail"} <= set(body)
    assert body["status"] == response.status_code
    return response.status_code, body["detail"]


def test_an_entry_is_returned_as_it_was_put(api: Api) -> None:
    put = api.call("PUT", "/a", json=ENTRY)
    got = api.call("GET", "/a")

    assert (put.status_code, got.status_code) == (201, 200)
    assert put.json() == got.json() == ENTRY
    assert put.headers["ETag"] == got.headers["ETag"]
    assert api.call("PUT", "/a", json=ENTRY).status_code == 200


def test_a_provider_that_never_ran_is_new_and_last_succeeded_in_1970(api: Api) -> None:
    put = api.call("PUT", "/a", json={"frequency": 5, "status": None})
    ran = api.call("PATCH", "/a", json={"status": "succeeded", "last_success": SUCCESS})
    forgotten = api.call("PATCH", "/a", json={"status": None, "last_success": None})

    assert put.json() == forgotten.json() == {"frequency": 5, **NEVER_RAN}
    assert ran.json() == {"frequency": 5, "status": "succeeded", "last_success": SUCCESS}


def test_a_patch_changes_only_its_fields_and_null_removes_one(api: Api) -> None:
    api.call("PUT", "/a", json={**ENTRY, "group": "g"})

    changed = api.call("PATCH", "/a", json={"paused": True, "group": None})

    assert changed.json() == {**ENTRY, "paused": True}


def test_a_new_status_clears_the_error_of_the_last_run(api: Api) -> None:
    api.call("PUT", "/a", json=ENTRY)
    api.call("PATCH", "/a", json={"status": "failed", "run_id": "r1", "error": "RecordError: line 7"})

    assert api.call("PATCH", "/a", json={"status": "running", "run_id": "r2"}).json() == {
        **ENTRY,
        "status": "running",
        "run_id": "r2",
    }


def test_a_removed_provider_is_gone(api: Api) -> None:
    api.call("PUT", "/a", json=ENTRY)

    assert api.call("DELETE", "/a").status_code == 204
    assert problem(api.call("GET", "/a"))[0] == problem(api.call("DELETE", "/a"))[0] == 404


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_a_change_with_an_outdated_etag_is_rejected(api: Api, method: str) -> None:
    seen = api.call("PUT", "/a", json=ENTRY).headers["ETag"]
    api.call("PATCH", "/a", json={"paused": True})

    refused = api.call(method, "/a", json=ENTRY, headers={"If-Match": seen})

    assert problem(refused)[0] == 412
    assert api.call("GET", "/a").json() == {**ENTRY, "paused": True}


def test_a_change_with_the_current_etag_is_accepted(api: Api) -> None:
    seen = api.call("PUT", "/a", json=ENTRY).headers["ETag"]

    assert api.call("PATCH", "/a", json={"paused": True}, headers={"If-Match": seen}).status_code == 200


def test_put_with_a_condition_only_creates_or_only_replaces(api: Api) -> None:
    assert api.call("PUT", "/a", json=ENTRY, headers={"If-Match": "*"}).status_code == 412
    assert api.call("PUT", "/a", json=ENTRY, headers={"If-None-Match": "*"}).status_code == 201
    assert api.call("PUT", "/a", json=ENTRY, headers={"If-None-Match": "*"}).status_code == 412
    assert api.call("PUT", "/a", json=ENTRY, headers={"If-Match": "*"}).status_code == 200


def test_an_etag_is_not_given_to_another_entry_after_a_removal(api: Api) -> None:
    seen = api.call("PUT", "/a", json=ENTRY).headers["ETag"]
    api.call("DELETE", "/a")
    api.call("PUT", "/a", json={"frequency": 1})

    assert api.call("DELETE", "/a", headers={"If-Match": seen}).status_code == 412


@pytest.mark.parametrize("path", ["", "/a"])
def test_an_unchanged_answer_has_no_body(api: Api, path: str) -> None:
    api.call("PUT", "/a", json=ENTRY)
    seen = api.call("GET", path).headers["ETag"]

    same = api.call("GET", path, headers={"If-None-Match": seen})
    api.call("PATCH", "/a", json={"paused": True})
    changed = api.call("GET", path, headers={"If-None-Match": seen})

    assert (same.status_code, same.content, same.headers["ETag"]) == (304, b"", seen)
    assert changed.status_code == 200


def test_changes_at_the_same_time_are_all_kept(api: Api) -> None:
    api.call("PUT", "/a", json={"frequency": 5})
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda n: api.call("PATCH", "/a", json={f"field{n}": n}).status_code, range(4)))

    kept = api.call("GET", "/a").json()
    assert {f"field{n}" for n, status in enumerate(answers) if status == 200} == set(kept) - {"frequency", *NEVER_RAN}
    assert set(answers) <= {200, 412}
    assert 200 in answers


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"not json", 400, "JSON object"),
        (b"", 400, "JSON object"),
        (b"[1]", 400, "not a list"),
        (b'{"frequency": NaN}', 400, "JSON object"),
        (b'{"frequency": 1e999}', 400, "too large: 1e999"),
        (b'{"frequency": 5, "owner": "\\ud800"}', 400, "a lone surrogate"),
        (b"\xff\xfe", 400, "UTF-8"),
        (b"[" * 100_000, 400, "JSON object"),
        (b"{}", 422, "frequency"),
        (b'{"frequency": 0}', 422, "frequency"),
        (b'{"frequency": "abc"}', 422, "frequency"),
        (b'{"frequency": true}', 422, "frequency"),
        (b'{"frequency": 5, "paused": "yes"}', 422, "paused"),
        (b'{"frequency": 5, "status": "done"}', 422, "status"),
        (b'{"frequency": 5, "last_success": "2026-11-22"}', 422, "RFC 1123"),
        (b'{"frequency": 5, "last_success": "Fri, 01 Jan 2100 00:00:00 GMT"}', 422, "future"),
        (json.dumps({"frequency": 5, "x": "y" * 70_000}).encode(), 413, "longer"),
    ],
)
def test_an_invalid_entry_is_rejected_and_changes_nothing(api: Api, body: bytes, status: int, words: str) -> None:
    api.call("PUT", "/a", json=ENTRY)

    refused = problem(api.call("PUT", "/a", data=body))

    assert refused[0] == status
    assert words in refused[1]
    assert api.call("GET", "/a").json() == ENTRY


@pytest.mark.parametrize("name", ["..", "a..b", "-a", "a" * 65, "a%2Fb", "%00", "%D0%B0", "a%20b"])
def test_a_name_outside_the_allow_list_is_rejected(api: Api, name: str) -> None:
    status = requests.Request("PUT", f"{api.url}/x").prepare()
    status.url = f"{api.url}/{name}"
    status.headers["x-api-key"] = api.key
    status.prepare_body(None, None, ENTRY)

    answer = requests.Session().send(status, timeout=HANG_SECONDS)

    assert problem(answer)[0] in (404, 422)
    assert api.call("GET").json() == {}


@pytest.mark.parametrize(("path", "allowed"), [("", "GET"), ("/a", "GET, PUT, PATCH, DELETE")])
def test_another_method_gets_the_list_of_allowed_methods(api: Api, path: str, allowed: str) -> None:
    refused = api.call("POST", path, json=ENTRY)

    assert problem(refused)[0] == 405
    assert refused.headers["Allow"] == allowed


def test_another_path_is_not_found(api: Api) -> None:
    assert problem(requests.get(api.url + "s", headers={"x-api-key": api.key}, timeout=HANG_SECONDS))[0] == 404


def test_an_invalid_etag_is_rejected(api: Api) -> None:
    assert problem(api.call("GET", "/a", headers={"If-Match": "1"}))[0] == 404  # GET ignores If-Match
    assert problem(api.call("PUT", "/a", json=ENTRY, headers={"If-Match": "1"}))[0] == 400
    assert problem(api.call("GET", "?next=../x"))[0] == 400


@pytest.mark.fault(25)
@pytest.mark.parametrize("key", [None, "wrong", "x" * 40])
def test_without_the_key_nothing_is_read_and_nothing_changes(api: Api, key: str | None) -> None:
    api.call("PUT", "/a", json=ENTRY)
    before = table(api)

    answers = [
        api.call(method, path, key=key, json={"frequency": 1})
        for method in ("GET", "PUT", "PATCH", "DELETE", "POST")
        for path in ("", "/a", "/b")
    ]

    assert {problem(answer)[0] for answer in answers} == {403}
    assert not any("frequency" in answer.text for answer in answers)
    assert table(api) == before


def table(api: Api) -> object:
    return api.cloud.client("dynamodb").scan(TableName=api.cloud.physical_id("Providers"))["Items"]


def test_a_list_larger_than_one_lambda_response_is_split_into_pages(api: Api) -> None:
    entry = {"frequency": 60, "notes": 'quote "' * 8_000}
    names = [f"provider-{number:03d}" for number in range(60)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: api.call("PUT", f"/{name}", json=entry).raise_for_status(), names))

    first = api.call("GET")
    listed = HttpConfigApi(api.url, lambda refused: api.key).entries()

    assert len(json.dumps(first.text)) < 6_000_000
    assert len(first.json()) < 60
    assert 'rel="next"' in first.headers["Link"]
    assert dict(listed) == {name: {**entry, **NEVER_RAN} for name in names}
