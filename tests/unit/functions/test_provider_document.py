"""The fields and values of an entry, and how patches apply."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanout.errors import InvalidProviderError, InvalidRequestError
from fanout.providers import parse_entry
from registry.document import NEVER_RAN, EntryTooLargeError, checked, merged, read_json

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
ZONE = "with its zone, as GMT, UTC or an offset, such as 'Tue, 08 Nov 2022 15:47:17 GMT'"


def test_null_fields_are_the_same_as_absent_fields() -> None:
    assert checked("a", {"frequency": 5, "status": None, "note": None}, NOW) == {"frequency": 5, **NEVER_RAN}


@pytest.mark.parametrize("frequency", [1, 7.5, "120", "7.5", 527040])
def test_a_frequency_is_minutes_as_a_number_or_a_string(frequency: object) -> None:
    assert checked("a", {"frequency": frequency}, NOW) == {"frequency": frequency, **NEVER_RAN}


@pytest.mark.parametrize(
    "frequency", [0, -5, 0.5, 527041, True, None, "", "abc", "0", "1e3", "-5", " 5", [5], float("nan")]
)
def test_any_other_frequency_is_rejected(frequency: object) -> None:
    with pytest.raises(InvalidProviderError, match="frequency"):
        checked("a", {"frequency": frequency}, NOW)


def test_an_entry_that_is_too_long_is_rejected() -> None:
    rest = len(json.dumps({"frequency": 5, "x": "", **NEVER_RAN}))
    longest = "y" * (65_536 - rest)

    assert checked("a", {"frequency": 5, "x": longest}, NOW)["x"] == longest
    with pytest.raises(EntryTooLargeError):
        checked("a", {"frequency": 5, "x": longest + "y"}, NOW)


@pytest.mark.parametrize(
    ("changes", "after"),
    [
        ({"status": "running"}, {"frequency": 5, "status": "running", "error": None}),
        ({"status": "failed", "error": "new"}, {"frequency": 5, "status": "failed", "error": "new"}),
        ({"paused": True}, {"frequency": 5, "status": "failed", "error": "old", "paused": True}),
    ],
)
def test_a_patch_and_the_error_of_the_run_before(changes: dict[str, Any], after: dict[str, Any]) -> None:
    assert merged({"frequency": 5, "status": "failed", "error": "old"}, changes) == after


def test_an_error_does_not_repeat_the_request() -> None:
    with pytest.raises(InvalidProviderError) as refused:
        checked("a", {"frequency": 5, "status": "canary-secret"}, NOW)

    assert "canary-secret" not in str(refused.value)


@pytest.mark.parametrize(
    "text", ["", "[]", "1", "null", '"x"', "{", '{"a": NaN}', '{"a": -Infinity}', '{"a": 1e999}', "[" * 9999]
)
def test_a_document_that_is_no_json_object_is_rejected(text: str) -> None:
    with pytest.raises(InvalidRequestError):
        read_json(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": 1e999}', "the body contains a number that is too large: 1e999"),
        ('{"a": -1e999}', "the body contains a number that is too large: -1e999"),
        ('{"a": 1.' + "0" * 14 + "e999}", "number that is too large: 1.00000000000000e999"),
        ('{"a": 1.' + "0" * 15 + "e999}", "number that is too large: 1.000000000000000e99... of 21 characters"),
        ('{"a": 1' + "0" * 308 + "}", "too large: 10000000000000000000... of 309 characters"),
        ('{"a": 1' + "0" * 400 + "}", "too large: 10000000000000000000... of 401 characters"),
        ('{"a": 1' + "0" * 5_000 + "}", "too large: 10000000000000000000... of 5,001 characters"),
        (r'{"a": "\ud800"}', r"contains \ud800, a lone surrogate, which is not a character"),
        (r'{"a\udfff": 1}', r"contains \udfff, a lone surrogate, which is not a character"),
        ('{"a": ' + "[" * 5_000 + "]" * 5_000 + "}", "a JSON object with at most 200 levels is allowed"),
    ],
)
def test_json_that_dynamodb_cannot_store_is_rejected_with_a_reason(text: str, words: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        read_json(text)

    assert str(refused.value).endswith(words)


def test_a_surrogate_pair_and_a_large_number_are_kept() -> None:
    assert read_json(r'{"a": "\ud83d\ude00", "n": 1' + "0" * 307 + ', "f": 1e308}') == {
        "a": "\U0001f600",
        "n": 10**307,
        "f": 1e308,
    }


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({}, "a: frequency: is missing"),
        ({"frequency": 0}, "a: frequency: must be minutes from 1 to 527040, as a number or as a string"),
        ({"frequency": "abc"}, "a: frequency: must be minutes from 1 to 527040, as a number or as a string"),
        ({"frequency": True}, "a: frequency: must be minutes from 1 to 527040, as a number or as a string"),
        ({"frequency": 5, "paused": "yes"}, "a: paused: must be true or false"),
        ({"frequency": 5, "status": "done"}, "a: status: must be one of 'new', 'running', 'succeeded' or 'failed'"),
        ({"frequency": 5, "group": ""}, "a: group: must not be empty"),
        ({"frequency": 5, "group": "x" * 65}, "a: group: must have at most 64 characters"),
        ({"frequency": 5, "group": 5, "error": 4}, "a: group: must be text; error: must be text"),
        ({"frequency": 5, "last_success": "x"}, f"a: last_success: must be an RFC 1123 date {ZONE}"),
    ],
)
def test_an_invalid_entry_is_rejected_with_a_reason(entry: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidProviderError) as refused:
        checked("a", entry, NOW)

    assert str(refused.value) == words


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=8,
)


@given(
    entry=st.dictionaries(st.sampled_from(["frequency", "last_success", "status", "paused", "group", "x"]), json_values)
)
def test_the_dispatcher_accepts_every_accepted_entry(entry: dict[str, Any]) -> None:
    try:
        taken = checked("a", entry, NOW)
    except (InvalidRequestError, InvalidProviderError):
        return
    parse_entry("a", taken, NOW)
    assert None not in taken.values()


def test_a_last_success_is_stored_in_the_form_of_http() -> None:
    entry = checked("a", {"frequency": 5, "last_success": "Sun, 1 Nov 2026 01:00:00 +0100"}, NOW)

    assert entry["last_success"] == "Sun, 01 Nov 2026 00:00:00 GMT"
