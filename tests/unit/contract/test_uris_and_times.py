"""The URIs of a run's documents, and the times in DynamoDB's records."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from contract.times import change_micros, format_iso, from_micros
from contract.uris import manifest_uri, parse_run_dir, record_uri, result_uri, run_dir, runs_dir, split_uri


@pytest.mark.parametrize(
    ("uri", "parts"),
    [
        ("s3://bucket", ("bucket", "")),
        ("s3://bucket/", ("bucket", "")),
        ("s3://bucket/a/b.json", ("bucket", "a/b.json")),
        ("s3://bucket/a?b#c%20d//e/", ("bucket", "a?b#c%20d//e/")),
    ],
)
def test_a_uri_is_split_at_its_first_slash_whether_it_has_a_key_or_not(uri: str, parts: tuple[str, str]) -> None:
    assert split_uri(uri) == parts


@pytest.mark.parametrize("uri", ["", "none", "s3:/bucket/k", "s3://", "s3:///k", "https://bucket/k", "bucket/k"])
def test_an_invalid_s3_uri_is_rejected(uri: str) -> None:
    with pytest.raises(ValueError, match="is not an s3:// URI"):
        split_uri(uri)


def test_a_runs_folder_name_has_the_time_of_its_claim_and_its_run_id() -> None:
    claimed_at = datetime(2026, 11, 22, 7, 30, 5, tzinfo=UTC)
    folder = run_dir("data", "acme", claimed_at, "acme-20261122T073000Z")

    assert folder == "s3://data/runs/provider=acme/20261122T073005Z_acme-20261122T073000Z/"
    named = folder.removeprefix(runs_dir("data", "acme"))
    assert parse_run_dir(named) == (claimed_at, "acme-20261122T073000Z")
    assert [of(folder).removeprefix(folder) for of in (manifest_uri, result_uri, record_uri)] == [
        "manifest.json", "result.json", "record.json",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["", "x/", "20261122T073005Z_/", "20261122T073005Z_r1", "2026_r1/"])
def test_a_folder_with_another_name_is_not_a_run(name: str) -> None:
    assert parse_run_dir(name) is None


@pytest.mark.parametrize(
    ("record", "body", "time"),
    [
        ({}, {"ApproximateCreationDateTime": 1428537600}, "2015-04-09T00:00:00Z"),
        ({}, {"ApproximateCreationDateTime": 1428537600.25}, "2015-04-09T00:00:00.250000Z"),
        ({"tableName": "t"}, {"ApproximateCreationDateTime": 1428537600250}, "2015-04-09T00:00:00.250000Z"),
        ({"recordFormat": "application/json"}, {"ApproximateCreationDateTime": 1428537600250},
         "2015-04-09T00:00:00.250000Z"),
        ({"tableName": "t"}, {"ApproximateCreationDateTime": 1428537600000007,
                              "ApproximateCreationDateTimePrecision": "MICROSECOND"}, "2015-04-09T00:00:00.000007Z"),
        ({"tableName": "t", "ApproximateCreationDateTimePrecision": "second"},
         {"ApproximateCreationDateTime": 1428537600}, "2015-04-09T00:00:00Z"),
        ({}, {}, None),
    ],
)  # fmt: skip
def test_the_time_of_a_change_is_read_in_the_precision_of_its_stream(record: Any, body: Any, time: str | None) -> None:
    micros = change_micros(record, body)

    assert (None if micros is None else format_iso(from_micros(micros))) == time


@pytest.mark.parametrize(
    "body",
    [
        {"ApproximateCreationDateTime": "1428537600"},
        {"ApproximateCreationDateTime": True},
        {"ApproximateCreationDateTime": float("inf")},
        {"ApproximateCreationDateTime": float("nan")},
        {"ApproximateCreationDateTime": 1, "ApproximateCreationDateTimePrecision": "HOUR"},
        {"ApproximateCreationDateTime": 1, "ApproximateCreationDateTimePrecision": 3},
    ],
)
def test_an_invalid_time_is_an_error(body: Any) -> None:
    with pytest.raises(ValueError, match="ApproximateCreationDateTime"):
        change_micros({}, body)
