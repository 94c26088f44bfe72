"""Bad data, cases 18 to 24 of docs/guarantees.md, on both engines; test_sending.py has the faults of the queue."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.integration.job.harness import DATA, PROVIDER, Harness
from tests.unit.job.records import export, kinesis, line, stream

KEY = f"s3://{DATA}/change_log/provider={PROVIDER}"


def numbered(count: int, prefix: str = "e", **changed: Any) -> list[bytes]:
    """Good lines with ids prefix-0, prefix-1 and so on."""
    return [line({**stream(**changed), "eventID": f"{prefix}-{n}"}) for n in range(count)]


def packed(lines: list[bytes]) -> bytes:
    return gzip.compress(b"\n".join(lines) + b"\n")


def failed(outcome: Any, type_: str, name: str | None = None, at: int | None = None) -> None:
    """Assert that the run failed with this error, in its result and for the engine."""
    assert outcome.error is not None
    assert outcome.result["status"] == "failed"
    error = outcome.result["failure"]
    assert error["type"] == type_
    assert error["object"] == (f"{KEY}/{name}" if name else None)
    assert error["line"] == at
    if name:
        assert f"{KEY}/{name}" in str(outcome.error)
    if at:
        assert f"line {at}" in str(outcome.error)


def test_a_run_sends_one_message_a_row_and_records_its_result(job: Harness) -> None:
    lines = [line(stream("INSERT")), line(kinesis()), line(export()), b"", line(export(new=False))]
    files = {"a.json.gz": packed(lines), "b.jsonl": b"\n".join(numbered(3, "b"))}
    outcome = job.run(files)
    assert outcome.error is None
    result = outcome.result
    assert {name: result[name] for name in ("status", "objects", "rows", "messages", "quarantined", "failure")} == {
        "status": "succeeded",
        "objects": 2,
        "rows": 7,
        "messages": 7,
        "quarantined": 0,
        "failure": None,
    }
    assert result["bytes"] == sum(map(len, files.values()))
    assert result["engine"] == job.engine
    assert len(set(outcome.ids)) == 7
    if job.engine == "lambda":
        assert outcome.returned == result


def test_a_run_of_an_empty_manifest_succeeds_and_sends_nothing(job: Harness) -> None:
    outcome = job.run({})
    assert (outcome.error, outcome.result["status"], outcome.messages) == (None, "succeeded", [])


# ---- 19


@pytest.mark.guarantee("G3")
def test_data_19_a_repeated_run_sends_exactly_the_same_messages(job: Harness) -> None:
    manifest = job.plan([job.put("a.json.gz", packed([line(export()), *numbered(4), line(export(old=False))]))])
    first, second = job.run_manifest(manifest), job.run_manifest(manifest)
    assert first.bodies == second.bodies
    assert len(set(first.ids)) == 6


# ---- 20


@pytest.mark.fault(20)
def test_data_20_an_object_overwritten_after_the_plan_fails_the_run_and_is_not_sent(job: Harness) -> None:
    planned = [job.put("a.json.gz", packed(numbered(2, "a"))), job.put("b.json.gz", packed(numbered(2, "b")))]
    job.put("b.json.gz", packed(numbered(2, "new")))
    outcome = job.run_manifest(job.plan(planned), on_bad_record="quarantine")
    failed(outcome, "ObjectChangedError", "b.json.gz")
    assert "next run makes a new plan" in outcome.result["failure"]["advice"]
    assert outcome.ids == ["a-0", "a-1"]


@pytest.mark.fault(20)
def test_data_20_an_object_deleted_after_the_plan_fails_the_run(job: Harness) -> None:
    planned = [job.put("a.json.gz", packed(numbered(2, "a"))), job.put("b.json.gz", packed(numbered(2, "b")))]
    job.s3.delete_object(Bucket=DATA, Key=planned[0].key)
    outcome = job.run_manifest(job.plan(planned))
    failed(outcome, "ObjectChangedError", "a.json.gz")
    assert outcome.ids == ["b-0", "b-1"]


@pytest.mark.fault(20)
@pytest.mark.parametrize("change", ["overwritten", "deleted"])
def test_data_20_in_a_versioned_bucket_the_planned_version_is_read(job: Harness, change: str) -> None:
    job.s3.put_bucket_versioning(Bucket=DATA, VersioningConfiguration={"Status": "Enabled"})
    planned = job.put("a.json.gz", packed(numbered(2, "a")))
    job.put("a.json.gz-another", packed(numbered(2, "another")))
    if change == "overwritten":
        job.put("a.json.gz", packed(numbered(2, "new")))
    else:
        job.s3.delete_object(Bucket=DATA, Key=planned.key)
    outcome = job.run_manifest(job.plan([planned]))
    assert outcome.error is None
    assert outcome.ids == ["a-0", "a-1"]


@pytest.mark.fault(20)
@pytest.mark.parametrize("change", ["overwritten", "deleted"])
def test_data_20_quarantine_copies_the_version_that_was_planned(job: Harness, change: str) -> None:
    job.s3.put_bucket_versioning(Bucket=DATA, VersioningConfiguration={"Status": "Enabled"})
    planned = job.put("a.json.gz", b"no gzip")
    if change == "overwritten":
        job.put("a.json.gz", packed(numbered(2, "new")))
    else:
        job.s3.delete_object(Bucket=DATA, Key=planned.key)
    outcome = job.run_manifest(job.plan([planned]), on_bad_record="quarantine")
    assert outcome.error is None
    assert (outcome.result["quarantined"], outcome.ids) == (1, [])
    assert job.read(f"quarantine/provider={PROVIDER}/run-1/{planned.key}") == b"no gzip"


@pytest.mark.fault(21, 43)
def test_data_21_bad_objects_are_all_counted_and_up_to_twenty_are_named(job: Harness) -> None:
    outcome = job.run({f"{n:02}.json": b"bad" for n in range(23)} | {"good.json.gz": GOOD})
    result = outcome.result
    assert [failure["object"] for failure in result["failures"]] == [f"{KEY}/{n:02}.json" for n in range(20)]
    assert {(failure["type"], failure["line"]) for failure in result["failures"]} == {("RecordError", 1)}
    assert (result["failure"], result["failure_count"]) == (result["failures"][0], 23)
    assert "(and 22 more)" in str(outcome.error)


@pytest.mark.fault(20)
def test_data_20_without_event_ids_a_renamed_object_gets_new_ids_and_an_unchanged_one_keeps_them(job: Harness) -> None:
    body = packed([line(export())])
    first = job.run({"a.json.gz": body})
    again = job.run({"a.json.gz": body})
    renamed = job.run({"b.json.gz": body})
    assert first.ids == again.ids != renamed.ids


@pytest.mark.fault(45)
def test_data_45_the_same_bytes_with_another_etag_have_the_same_ids_in_every_shape(job: Harness) -> None:
    without_id = {name: value for name, value in stream().items() if name != "eventID"}
    records = [export(), export(old=False), export(new=False), without_id, without_id, {**kinesis(), "eventID": ""}]
    body, half = b"\n".join(map(line, records)), 5 * 2**20
    body += b"\n" * (half + 1)
    whole = job.put("a.json", body)
    first = job.run_manifest(job.plan([whole]))

    where = {"Bucket": DATA, "Key": whole.key}
    upload = where | {"UploadId": job.s3.create_multipart_upload(**where)["UploadId"]}
    parts = [
        {"PartNumber": n, "ETag": job.s3.upload_part(**upload, PartNumber=n, Body=part)["ETag"]}
        for n, part in enumerate((body[:half], body[half:]), 1)
    ]
    etag = job.s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})["ETag"].strip('"')
    again = job.run_manifest(job.plan([replace(whole, etag=etag)]))

    assert etag != whole.etag
    assert (first.error, again.error) == (None, None)
    assert first.bodies == again.bodies
    assert len(set(first.ids)) == len(records), "two equal records in one object are two changes"


# ---- 21

GOOD = packed(numbered(3, "good"))
WHOLE = packed(numbered(80, "bad"))
BAD: dict[str, tuple[bytes, str, int | None]] = {
    "corrupt gzip": (WHOLE[:200] + b"\0" * 20 + WHOLE[220:], "CorruptObjectError", None),
    "truncated gzip": (WHOLE[:-9], "CorruptObjectError", None),
    "a 50 MB line": (
        packed([*numbered(2, "bad"), b'{"a":"' + b"x" * 50_000_000 + b'"}', *numbered(1, "after")]),
        "LineTooLongError",
        3,
    ),
    "invalid UTF-8": (packed([*numbered(2, "bad"), b'{"dynamodb":"\xff\xfe"}']), "RecordError", 3),
    "a line that is not JSON": (packed([*numbered(2, "bad"), b"hello"]), "RecordError", 3),
    "JSON that is no change record": (packed([*numbered(2, "bad"), b'{"order": 7}']), "RecordError", 3),
    "a lone surrogate": (packed([*numbered(2, "bad"), rb'{"dynamodb":"\ud800"}']), "RecordError", 3),
    "an unknown type": (packed([*numbered(2, "bad"), line(stream(NewImage={"a": {"Q": "1"}}))]), "RecordError", 3),
    "zstd": (b"\x28\xb5\x2f\xfd" + b"0" * 40, "CorruptObjectError", 1),
}


@pytest.mark.fault(21)
@pytest.mark.parametrize("case", BAD)
def test_data_21_a_bad_object_or_line_fails_the_run_and_is_named_and_others_are_sent(job: Harness, case: str) -> None:
    body, type_, at = BAD[case]
    outcome = job.run({"bad.json.gz": body, "good.json.gz": GOOD})
    assert outcome.error is not None
    at = at or outcome.result["failure"]["line"]
    failed(outcome, type_, "bad.json.gz", at)
    assert [i for i in outcome.ids if i.startswith("good")] == ["good-0", "good-1", "good-2"]
    before = [event["id"] for event in outcome.events if not event["id"].startswith("good")]
    assert len(before) == at - 1, "all rows before the bad line are sent, and none after it"


@pytest.mark.fault(21)
@pytest.mark.parametrize("case", BAD)
def test_data_21_quarantine_copies_bad_objects_and_lines_and_sends_the_rest(job: Harness, case: str) -> None:
    body, type_, at = BAD[case]
    outcome = job.run({"bad.json.gz": body, "good.json.gz": GOOD}, on_bad_record="quarantine")
    assert outcome.error is None
    assert outcome.result["quarantined"] == 1
    assert {"good-0", "good-1", "good-2"} <= set(outcome.ids)
    if case == "a 50 MB line":
        assert "after-0" in outcome.ids, "reading continues after the line"
    stem = f"quarantine/provider={PROVIDER}/run-1/change_log/provider={PROVIDER}/bad.json.gz"
    by_line = type_ == "RecordError"
    copy = f"{stem}.line-{at}.json" if by_line else stem
    assert sorted(job.keys_below("quarantine/")) == [copy, f"{copy}.note.json"]
    assert job.read(copy) == (gzip.decompress(body).split(b"\n")[at - 1] if by_line and at else body)
    note = json.loads(job.read(f"{copy}.note.json"))
    assert note["failure"]["type"] == type_
    assert note["failure"]["object"] == f"{KEY}/bad.json.gz"
    assert note["run_id"] == "run-1"


def test_data_21_many_bad_lines_are_counted_and_their_object_copied_once(job: Harness) -> None:
    outcome = job.run({"a.json.gz": packed([b"bad"] * 130 + numbered(1))}, on_bad_record="quarantine")
    assert outcome.error is None
    assert (outcome.result["quarantined"], outcome.result["rows"], outcome.ids) == (130, 1, ["e-0"])
    assert len(job.keys_below("quarantine/")) == 2 * 101


def test_data_21_several_gzip_members_a_missing_last_newline_and_empty_objects_are_valid(job: Harness) -> None:
    files = {
        "members.json.gz": packed(numbered(2, "m")) + packed(numbered(2, "n")) + gzip.compress(b""),
        "no-newline.json.gz": gzip.compress(b"\n".join(numbered(2, "o"))),
        "empty.json.gz": b"",
        "empty-member.json.gz": gzip.compress(b""),
        "blank.json": b"\n\n  \n",
        "crlf.json": b"\r\n".join(numbered(2, "p")) + b"\r\n",
    }
    outcome = job.run(files)
    assert outcome.error is None
    assert outcome.ids == ["m-0", "m-1", "n-0", "n-1", "o-0", "o-1", "p-0", "p-1"]
    assert outcome.result["objects"] == len(files)


# ---- 22


@pytest.mark.fault(22)
def test_data_22_every_type_is_sent_without_loss(job: Harness) -> None:
    image = {
        "exact": {"N": "1234567890123456789012345678.9012345678"},
        "integer": {"N": "99999999999999999999999999999999999999"},
        "tiny": {"N": "-1E-130"},
        "binary": {"B": "AAEC/w=="},
        "strings": {"SS": ["b", "a"]},
        "numbers": {"NS": ["1", "2.50", "12345678901234567890123"]},
        "binaries": {"BS": ["AA==", "AQ=="]},
        "map": {"M": {"": {"L": [{"M": {"Name": {"S": "x"}, "name": {"S": "y"}}}, {"NULL": True}, {"BOOL": False}]}}},
        "empty": {"S": ""},
        "": {"S": "empty key"},
        "ключ 🗝 \ufffe\u0000": {"S": 'значение 🔐 \uffff\u0001 \\ " \u2028'},
    }
    outcome = job.run({"a.json.gz": packed([line(stream(NewImage=image))])})
    [body] = outcome.bodies
    assert (
        '"exact":1234567890123456789012345678.9012345678,"integer":99999999999999999999999999999999999999,"tiny":-1E-130'
        in body
    )
    assert '"numbers":[1,2.50,12345678901234567890123]' in body
    new = json.loads(body)["data"]["new"]
    assert new["binary"] == "AAEC/w=="
    assert (new["strings"], new["binaries"]) == (["b", "a"], ["AA==", "AQ=="])
    assert new["map"] == {"": [{"Name": "x", "name": "y"}, None, False]}
    assert (new["empty"], new[""]) == ("", "empty key")
    assert new["ключ 🗝 \ufffe\u0000"] == 'значение 🔐 \uffff\u0001 \\ " \u2028'


# ---- 23


@pytest.mark.fault(23)
def test_data_23_a_message_over_the_limit_is_sent_as_a_claim_check(job: Harness) -> None:
    image = {"big": {"S": "x" * 1_200_000}}
    outcome = job.run({"a.json.gz": packed([line({**stream(NewImage=image), "eventID": "big"}), *numbered(2)])})
    assert outcome.error is None
    assert outcome.ids == ["big", "e-0", "e-1"]
    [event] = [event for event in outcome.events if event["id"] == "big"]
    assert "data" not in event
    stored = json.loads(job.read(event["dataref"].removeprefix(f"s3://{DATA}/")))
    assert stored["new"] == {"big": "x" * 1_200_000}


def test_data_23_the_limit_is_that_of_the_queue(job: Harness) -> None:
    image = {"big": {"S": "x" * 5_000}}
    outcome = job.run({"a.json.gz": packed([line(stream(NewImage=image))])}, max_message_bytes="4096")
    assert "dataref" in outcome.events[0]


# ---- 24


@pytest.mark.fault(24)
def test_data_24_a_gzip_bomb_of_one_line_is_a_typed_error(job: Harness) -> None:
    bomb = gzip.compress(b"{" + b" " * 200_000_000, 9)
    outcome = job.run({"bomb.json.gz": bomb, "good.json.gz": GOOD})
    failed(outcome, "LineTooLongError", "bomb.json.gz", 1)
    assert outcome.ids == ["good-0", "good-1", "good-2"]


# ---- every message and every error

CLOUD_EVENT = {
    "type": "object",
    "required": ["specversion", "id", "source", "type", "time", "subject", "datacontenttype", "provider"],
    "properties": {
        "specversion": {"const": "1.0"},
        "id": {"type": "string", "minLength": 1},
        "source": {"const": "/glue-fanout/test/change_log/acme"},
        "type": {"enum": [f"dynamodb.{kind}" for kind in ("insert", "modify", "remove", "upsert")]},
        "time": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$"},
        "subject": {"type": "string"},
        "datacontenttype": {"const": "application/json"},
        "provider": {"const": "acme"},
        "sequence": {"type": "string", "pattern": r"^\d+$"},
        "data": {"type": "object", "required": ["keys"]},
        "dataref": {"type": "string"},
    },
    "additionalProperties": False,
}


def test_every_message_is_a_cloud_event(job: Harness) -> None:
    records = [stream("INSERT"), stream("REMOVE", NewImage=None), kinesis(), export(), export(new=False, old=False)]
    outcome = job.run({"a.json.gz": packed([line(record) for record in records])})
    assert len(outcome.events) == len(records)
    for event in outcome.events:
        Draft202012Validator(CLOUD_EVENT).validate(event)


def test_row_values_appear_in_no_error_and_no_log(job: Harness, capfd: pytest.CaptureFixture[str]) -> None:
    canary = "canary-7f3a"
    lines = [
        line(stream(NewImage={"a": {"S": canary}})),
        line(stream(NewImage={canary: {"S": [canary]}})),
        line(stream(NewImage={"a": {canary: canary}})),
        f'{{"dynamodb": {canary}'.encode(),
        line({**stream(canary), "secret": canary}),
    ]
    files = {f"{n}.json.gz": packed([one]) for n, one in enumerate(lines)}
    outcome = job.run(files, log_level="DEBUG")
    quarantined = job.run(files, on_bad_record="quarantine")
    assert outcome.error is not None
    assert quarantined.result["quarantined"] == 4
    written = capfd.readouterr()
    notes = b"".join(job.read(key) for key in job.keys_below("quarantine/") if key.endswith("note.json"))
    for text in (
        str(outcome.error),
        repr(outcome.error),
        json.dumps(outcome.result),
        written.out,
        written.err,
        notes.decode(),
    ):
        assert canary not in text
