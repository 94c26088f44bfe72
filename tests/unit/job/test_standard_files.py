"""A source object has one output file, which is replaced as a whole or not at all."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from botocore.exceptions import ClientError
from pyarrow import parquet

from contract.manifest import PlannedObject
from fanout_job import standard
from fanout_job.mapping import Mapping
from fanout_job.mapping_formats import JsonLines
from fanout_job.task import Tally, Task, guarded
from tests.unit.job.records import SETTINGS
from tests.unit.job.standardizing import MODEL

CSV = Mapping.parse(b"csv:\nfields: {id: a, price: b}", "m.yaml")
KEY = "in/provider=acme/2026/11/a.csv"
FILE = MODEL.output_key("acme", KEY)


class MemoryS3:
    """The part of S3 that the job uses; an ETag is the body's length and a counter."""

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, str]] = {}
        self.puts = 0
        self.refuse_puts = self.refuse_heads = False
        self.before_put: Callable[[], None] = nothing
        self.lost_answers = 0

    def put_object(self, Bucket: str, Key: str, Body: Any, **how: str) -> None:  # noqa: N803 - boto3's names
        if self.refuse_puts:
            raise ClientError({"Error": {"Code": "SlowDown"}}, "PutObject")
        before_put, self.before_put = self.before_put, nothing
        before_put()
        there = self.objects[Key][1] if Key in self.objects else None
        if ("IfMatch" in how and (there is None or how["IfMatch"] != there)) or ("IfNoneMatch" in how and there):
            raise ClientError({"Error": {"Code": "PreconditionFailed"}}, "PutObject")
        self.puts += 1
        self.objects[Key] = (Body if isinstance(Body, bytes) else Body.read(), f"{self.puts}")
        if "IfMatch" in how or "IfNoneMatch" in how:
            self.lost_answers, lost = max(0, self.lost_answers - 1), self.lost_answers
            if lost:  # the client repeats the request and gets the answer to the second one
                raise ClientError({"Error": {"Code": "PreconditionFailed"}}, "PutObject")

    def get_object(self, Bucket: str, Key: str, IfMatch: str | None = None, **how: str) -> dict[str, Any]:  # noqa: N803
        found = self.head_object(Bucket, Key)
        if IfMatch not in (None, found["ETag"]):
            raise refused(412)
        return {"Body": io.BytesIO(self.objects[Key][0]), **found}

    def head_object(self, Bucket: str, Key: str) -> dict[str, str]:  # noqa: N803
        if self.refuse_heads or Key not in self.objects:
            raise refused(403 if self.refuse_heads else 404)
        return {"ETag": self.objects[Key][1]}

    def get_paginator(self, name: str) -> MemoryS3:
        return self

    def paginate(self, **which: str) -> list[dict[str, Any]]:
        """List the versions: there are none."""
        return []

    def copy_object(self, Key: str, CopySource: dict[str, str], **how: str) -> None:  # noqa: N803
        self.objects[Key] = self.objects[CopySource["Key"]]


def nothing() -> None:
    """The default of what happens before a put."""


def refused(status: int) -> ClientError:
    error: Any = {"Error": {"Code": str(status)}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(error, "GetObject")


class Provider:
    """One provider, whose sources are planned and converted in each run."""

    def __init__(self, mapping: Mapping = CSV, on_bad_record: str = "fail") -> None:
        self.s3, self.mapping, self.runs = MemoryS3(), mapping, 0
        self.settings = replace(SETTINGS, on_bad_record=on_bad_record)

    def put(self, body: bytes, key: str = KEY) -> PlannedObject:
        self.s3.put_object("data", key, body)
        return PlannedObject("data", key, len(body), self.s3.objects[key][1], 0)

    def run(self, *planned: PlannedObject, **more: Any) -> Tally:
        self.runs += 1
        task = Task(replace(self.settings, run_id=f"run-{self.runs}"))
        task.s3 = self.s3

        def work(source: Any) -> list[None]:
            standard.convert_object(source, self.mapping, MODEL, more.get("transform"))
            return [None]

        with guarded(task):
            list(task.each(planned, work))
        return task.tally

    def rows(self, key: str = FILE) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = parquet.read_table(pa.BufferReader(self.s3.objects[key][0])).to_pylist()
        return [{name: value for name, value in row.items() if value is not None} for row in found]

    def ids(self) -> list[str]:
        return [row["id"] for row in self.rows()]


def test_a_file_has_the_models_schema_and_the_source_of_each_row() -> None:
    acme = Provider()
    tally = acme.run(acme.put(b"a,b\nx,1.5\ny,\n"))
    assert tally == Tally(objects=1, bytes=13, rows=2)
    table = parquet.ParquetFile(pa.BufferReader(acme.s3.objects[FILE][0]))
    assert table.schema_arrow == MODEL.schema
    assert {column.compression for column in _columns(table)} == {"ZSTD"}
    source = f"s3://data/{KEY}"
    assert acme.rows() == [
        {"id": "x", "price": Decimal("1.50"), "_source": source, "_row": 1, "_run": "run-1"},
        {"id": "y", "_source": source, "_row": 2, "_run": "run-1"},
    ]


def _columns(table: parquet.ParquetFile) -> list[Any]:
    group = table.metadata.row_group(0)
    return [group.column(number) for number in range(group.num_columns)]


def test_a_repeated_run_replaces_rows_with_the_same_rows() -> None:
    acme = Provider()
    planned = acme.put(b"a,b\nx,1\n")
    for _ in range(3):
        acme.run(planned)
    assert acme.ids() == ["x"]
    assert [key for key in acme.s3.objects if key.startswith("standard/")] == [FILE]


def test_a_replaced_source_replaces_its_rows_and_an_allowed_empty_one_removes_them() -> None:
    acme = Provider(replace(CSV, empty="allowed"))
    acme.run(acme.put(b"a,b\nx,1\ny,2\n"))
    other = acme.put(b"a,b\nz,1\n", f"{KEY}2")
    acme.run(acme.put(b"a,b\nw,1\n"), other)
    assert acme.ids() == ["w"]
    acme.run(acme.put(b""))
    assert acme.rows() == []
    assert acme.rows(MODEL.output_key("acme", f"{KEY}2"))[0]["id"] == "z"


def test_a_deleted_source_keeps_its_rows_and_fails_a_run_that_had_planned_it() -> None:
    acme = Provider()
    planned = acme.put(b"a,b\nx,1\n")
    acme.run(planned)
    del acme.s3.objects[KEY]
    [failure] = acme.run(planned).failures
    assert failure.type == "ObjectChangedError"
    assert acme.ids() == ["x"]


def test_a_source_that_is_deleted_while_it_is_read_is_named_as_deleted() -> None:
    acme = Provider()

    def meanwhile(record: dict[str, Any]) -> dict[str, Any]:
        del acme.s3.objects[KEY]
        return record

    [failure] = acme.run(acme.put(b"a,b\nx,1\n"), transform=meanwhile).failures
    assert (failure.object, failure.message) == (f"s3://data/{KEY}", "was deleted after the run was planned")
    assert FILE not in acme.s3.objects


def test_a_file_that_cannot_be_looked_up_is_not_replaced() -> None:
    acme = Provider()

    def meanwhile(record: dict[str, Any]) -> dict[str, Any]:
        acme.s3.refuse_heads = True
        return record

    [failure] = acme.run(acme.put(b"a,b\nx,1\n"), transform=meanwhile).failures
    assert (failure.type, failure.object) == ("StorageError", f"s3://data/{FILE}")
    assert failure.message == "cannot be read (403)"
    assert FILE not in acme.s3.objects


@pytest.mark.fault(37)
def test_an_abandoned_run_does_not_replace_new_rows_with_old_ones() -> None:
    acme = Provider()
    old = acme.put(b"a,b\nold,1\n")

    def meanwhile(record: dict[str, Any]) -> dict[str, Any]:
        if record["id"] == "old":
            acme.run(acme.put(b"a,b\nnew,1\n"))
        return record

    [failure] = acme.run(old, transform=meanwhile).failures
    assert (failure.type, failure.message) == ("ObjectChangedError", "was overwritten after the run was planned")
    assert acme.ids() == ["new"]


@pytest.mark.fault(37)
@pytest.mark.parametrize("earlier", [b"a,b\nearlier,1\n", None])
def test_a_source_that_is_replaced_between_its_last_check_and_the_upload_keeps_the_newer_rows(
    earlier: bytes | None,
) -> None:
    acme = Provider()
    if earlier:
        acme.run(acme.put(earlier))
    old = acme.put(b"a,b\nold,1\n")
    acme.s3.before_put = lambda: run_of_a_newer(acme)
    [failure] = acme.run(old).failures
    assert failure.type == "ObjectChangedError"
    assert acme.ids() == ["new"]


def run_of_a_newer(acme: Provider) -> None:
    assert not acme.run(acme.put(b"a,b\nnew,1\n")).failures


@pytest.mark.fault(37)
def test_an_upload_whose_answer_was_lost_is_made_again() -> None:
    acme = Provider()
    acme.s3.lost_answers = 1
    assert acme.run(acme.put(b"a,b\nx,1\n")).failures == []
    assert acme.ids() == ["x"]


def test_a_file_that_other_runs_keep_writing_is_left_to_the_next_run() -> None:
    acme = Provider()
    acme.s3.lost_answers = 9
    [failure] = acme.run(acme.put(b"a,b\nx,1\n")).failures
    assert (failure.type, failure.object) == ("ObjectChangedError", f"s3://data/{FILE}")


def test_a_failed_upload_keeps_the_old_file_and_the_next_run_replaces_it() -> None:
    acme = Provider()
    acme.run(acme.put(b"a,b\nx,1\n"))
    planned = acme.put(b"a,b\ny,1\n")
    acme.s3.refuse_puts = True
    [failure] = acme.run(planned).failures
    assert failure.type == "StorageError"
    assert acme.ids() == ["x"]
    acme.s3.refuse_puts = False
    acme.run(planned)
    assert acme.ids() == ["y"]


@pytest.mark.parametrize("body", [b"a,b\ny,1\nz,bad\n", b"a,b\ny,1\nz\n", b"a\ny\n", gzip.compress(b"a,b\ny,1\n")[:-3]])
def test_a_bad_source_keeps_the_old_file_and_is_named(body: bytes) -> None:
    acme = Provider()
    acme.run(acme.put(b"a,b\nx,1\n"))
    good = acme.put(b"a,b\ng,1\n", f"{KEY}2")
    [failure] = acme.run(acme.put(body), good).failures
    assert failure.object == f"s3://data/{KEY}"
    assert failure.line is not None
    assert acme.ids() == ["x"]
    assert acme.rows(MODEL.output_key("acme", f"{KEY}2"))[0]["id"] == "g"


XML = Mapping.parse(b"xml: {record: r}\nfields: {id: a}", "m.yaml")


def test_the_rows_before_the_damage_of_a_source_do_not_replace_the_old_file() -> None:
    acme = Provider(XML)
    acme.run(acme.put(b"<r><a>x</a></r>"))
    [failure] = acme.run(acme.put(b"<all><r><a>1</a></r><r><a")).failures
    assert (failure.unit, failure.line) == ("row", 2)
    assert acme.ids() == ["x"]


def test_a_truncated_source_is_damaged_after_the_last_row_that_was_read() -> None:
    acme = Provider(replace(CSV, csv=None, json_lines=JsonLines()))
    records = b"".join(b'{"a": "%d", "b": 1}\n' % number for number in range(200_000))
    tally = acme.run(acme.put(gzip.compress(records)[:-3]))
    assert tally.rows > 0
    assert tally.failures[0].line == tally.rows + 1


def test_under_quarantine_a_source_that_fails_a_check_keeps_the_old_file() -> None:
    acme = Provider(replace(CSV, min_rows=2), "quarantine")
    acme.run(acme.put(b"a,b\nx,1\ny,2\n"))
    [failure] = acme.run(acme.put(b"a,b\nz,1\n")).failures
    assert failure.type == "CheckFailedError"
    assert acme.ids() == ["x", "y"]


def test_under_quarantine_bad_rows_are_quarantined_and_good_rows_are_written() -> None:
    acme = Provider(on_bad_record="quarantine")
    tally = acme.run(acme.put(b"a,b\nx,1\ny,bad\nz\nw,2\n"))
    assert (tally.rows, tally.quarantined, tally.failures) == (2, 2, [])
    assert [(row["id"], row["_row"]) for row in acme.rows()] == [("x", 1), ("w", 4)]
    aside = f"quarantine/provider=acme/run-1/{KEY}"
    assert acme.s3.objects[f"{aside}.row-2.json"][0] == b'{\n  "a": "y",\n  "b": "bad"\n}'
    assert acme.s3.objects[f"{aside}.row-3.json"][0] == b"z"
    note = json.loads(acme.s3.objects[f"{aside}.row-3.json.note.json"][0])["failure"]
    assert (note["unit"], note["line"], note["message"]) == ("row", 3, "has 1 fields, not 2")


def test_under_quarantine_a_damaged_source_is_quarantined_and_its_rows_before_the_damage_are_written() -> None:
    acme = Provider(XML, "quarantine")
    body = b"<all><r><a>1</a></r><r><a>2</a></r><r><a"
    tally = acme.run(acme.put(body))
    assert (tally.objects, tally.rows, tally.quarantined, tally.failures) == (1, 2, 1, [])
    assert acme.ids() == ["1", "2"]
    assert acme.s3.objects[f"quarantine/provider=acme/run-1/{KEY}"][0] == body


@pytest.mark.parametrize("body", [b"", b"a,b\n", b"a\ny\n", gzip.compress(b"a,b\ny,1\n")[:-3]])
def test_under_quarantine_a_damaged_source_without_a_good_row_keeps_the_old_file(body: bytes) -> None:
    acme = Provider(on_bad_record="quarantine")
    acme.run(acme.put(b"a,b\nx,1\n"))
    tally = acme.run(acme.put(body))
    assert (tally.objects, tally.quarantined, tally.failures) == (1, 1, [])
    assert acme.ids() == ["x"]


def test_after_100_bad_rows_the_source_is_quarantined_as_a_whole() -> None:
    acme = Provider(on_bad_record="quarantine")
    tally = acme.run(acme.put(b"a,b\n" + b"x,bad\n" * 500 + b"y,1\n"))
    assert (tally.rows, tally.quarantined) == (1, 500)
    copies = [key for key in acme.s3.objects if key.startswith("quarantine/") and not key.endswith(".note.json")]
    assert len(copies) == 101


def test_many_rows_are_in_few_row_groups() -> None:
    acme = Provider()
    count = 300_000
    acme.run(acme.put(b"a,b\n" + b"".join(b"%032d,1\n" % number for number in range(count))))
    file = parquet.ParquetFile(pa.BufferReader(acme.s3.objects[FILE][0]))
    assert file.metadata.num_rows == count
    assert file.metadata.num_row_groups <= 3
    assert file.read(["_row"])["_row"].to_pylist() == list(range(1, count + 1))


NULLS = {name: pa.nulls(1, field.arrow) for name, field in MODEL.fields.items()}
ROWS = pa.table(NULLS | {"_row": [1], "id": ["x"]})


@pytest.mark.parametrize("size", [2 * ROWS.nbytes, ROWS.nbytes + 1])
def test_rows_are_collected_up_to_the_size_of_a_row_group(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standard, "ROW_GROUP_BYTES", size)
    made = io.BytesIO()
    with standard.Writer(made, MODEL, {"_source": "s", "_run": "r"}) as writer:
        for _ in range(5):
            writer.write(ROWS)
        writer.close()
    metadata = parquet.ParquetFile(made).metadata
    assert [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)] == [2, 2, 1]


def test_a_file_is_closed_after_an_error() -> None:
    with pytest.raises(KeyError), standard.Writer(io.BytesIO(), MODEL, {}) as writer:
        raise KeyError
    assert not writer.parquet.is_open
