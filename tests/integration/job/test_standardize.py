"""The standardize job as its engines start it: it turns sources and a mapping on S3 into one table of the model."""

from __future__ import annotations

import gzip
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pytest
from pyarrow import parquet

from fanout_job.errors import RowError
from standardize import MODEL
from tests.harness.children import run
from tests.integration.job.harness import DATA, MODULES, PROVIDER, SCRIPT, Harness, Outcome
from tests.integration.job.independent import READERS

STANDARDIZE = SCRIPT.parent / "standardize.py"
ORDERS = Path(__file__).parents[2] / "data" / "orders"
FOLDER = MODEL.folder(PROVIDER)


class StandardizingHarness(Harness):
    """One provider's sources, mapping and table."""

    def put_mapping(self, body: bytes, name: str = f"{PROVIDER}.yaml") -> str:
        """Put the provider's mapping; return its version."""
        answer = self.s3.put_object(Bucket=DATA, Key=f"mappings/{name}", Body=body)
        return str(answer.get("VersionId") or answer["ETag"].strip('"'))

    def standardize(self, files: dict[str, bytes], script: Path = STANDARDIZE, **settings: str) -> Outcome:
        return self.run(files, script, **settings)

    def received(self) -> list[dict[str, Any]]:
        """Return no messages: this job sends none."""
        return []

    def tables(self) -> dict[str, pa.Table]:
        """The files of the provider, by key."""
        return {key: parquet.read_table(pa.BufferReader(self.read(key))) for key in self.keys_below(FOLDER)}

    def rows(self) -> list[dict[str, Any]]:
        """The rows of all files without their source columns, sorted by order."""
        found = [row for table in self.tables().values() for row in table.select(list(MODEL.fields)).to_pylist()]
        return sorted(found, key=lambda row: str(row["order_id"]))


@pytest.fixture
def acme(engine: str, clean: None) -> StandardizingHarness:
    """A provider on each engine, with a bucket that keeps versions."""
    boto3.client("s3").put_bucket_versioning(Bucket=DATA, VersioningConfiguration={"Status": "Enabled"})
    return StandardizingHarness(engine, "")


def files() -> Iterator[tuple[str, bytes, bytes]]:
    for name in READERS:
        yield name, (ORDERS / name).read_bytes(), (ORDERS / name).with_suffix(".yaml").read_bytes()


@pytest.mark.fault(36)
@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize(("name", "body", "mapping"), list(files()), ids=list(READERS))
def test_standard_36_every_value_equals_that_of_an_independent_program(
    acme: StandardizingHarness, name: str, body: bytes, mapping: bytes, zipped: bool
) -> None:
    version = acme.put_mapping(mapping)
    outcome = acme.standardize({f"{name}.gz": gzip.compress(body)} if zipped else {name: body})
    assert outcome.error is None
    expected = sorted(READERS[name](ORDERS / name), key=lambda row: str(row["order_id"]))
    assert acme.rows() == expected
    result = outcome.result
    assert (result["objects"], result["rows"], result["messages"]) == (1, len(expected), 0)
    assert (result["status"], result["engine"], result["notes"]["model"]) == ("succeeded", acme.engine, "orders")
    assert result["notes"]["mapping"] == {"key": f"mappings/{PROVIDER}.yaml", "version": version}


BOMB = b'<!DOCTYPE a [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]><a>&b;</a>'
FETCH = b'<!DOCTYPE a SYSTEM "http://127.0.0.1:9/a.dtd"><a>&b;</a>'
HOSTILE = {
    "quoted": {
        "columns that are missing": (b"id,created\n1,2026-01-01\n", "row 1: its header has no column 'name'"),
        "another encoding": (b"id,na\xefme\n", "row 1: its header is not CSV in utf-8"),
        "quotes that are never closed": (b'id,created,name,description,qty,price,gift,due\n1,"', "ends within quotes"),
        "damaged gzip": (gzip.compress(b"id")[:-2], "row 1: is truncated gzip"),
        "nothing at all": (b"", "row 1: has no record; if the provider may send such objects, set empty: allowed"),
    },
    "array": {
        "an array that is cut off": (b'{"result": {"orders": [{"number": 1,', "row 1: is not JSON"),
        "no such array": (b'{"result": {}}', "row 1: has no 'orders'"),
        "deep nesting": (b'{"result": {"orders": ' + b"[" * 10_000, "row 1: is nested too deeply"),
    },
    "lines": {"a line that is no JSON": (b'{"o": "1"', "row 1: is not JSON: Expecting ',' delimiter")},
    "namespaces": {
        "an entity bomb": (BOMB, "row 1: declares or uses entities, which are not allowed"),
        "an external entity": (FETCH, "row 1: declares or uses entities, which are not allowed"),
        "deep nesting": (b"<a>" * 10_000, "row 1: is nested too deeply"),
        "no end": (b"<Orders>", "row 1: is not XML: no element found"),
        "another document": (b"<Error><Code>AccessDenied</Code></Error>", "row 1: has no record: it has no element"),
        "an unknown encoding": (b"<?xml version='1.0' encoding='x'?><a/>", "row 1: declares the encoding 'x', which"),
    },
}


@pytest.mark.fault(36)
@pytest.mark.parametrize(("name", "case"), [(name, case) for name, cases in HOSTILE.items() for case in cases])
def test_standard_36_an_unreadable_source_is_a_typed_error_that_names_the_object(
    acme: StandardizingHarness, name: str, case: str
) -> None:
    body, message = HOSTILE[name][case]
    acme.put_mapping((ORDERS / f"{name}.yaml").read_bytes())
    outcome = acme.standardize({"bad": body})
    assert outcome.result["status"] == "failed"
    assert outcome.result["failure"]["type"] in ("CorruptObjectError", "RowError")
    assert outcome.result["failure"]["object"] == f"s3://{DATA}/change_log/provider={PROVIDER}/bad"
    assert message in str(outcome.error)
    assert acme.tables() == {}


@pytest.mark.fault(37)
def test_standard_37_a_repeated_run_writes_the_same_files_and_no_row_twice(acme: StandardizingHarness) -> None:
    acme.put_mapping((ORDERS / "quoted.yaml").read_bytes())
    body = (ORDERS / "quoted.csv").read_bytes()
    sources = {f"2026/11/{n:02}/part.csv": body.replace(b"A-", b"A%02d-" % n) for n in range(12)}
    assert acme.standardize(sources).error is None
    first = acme.tables()
    assert len(first) == 12
    for table in first.values():
        assert table.schema == MODEL.schema
        [source] = set(table["_source"].to_pylist())
        number = re.fullmatch(rf"s3://{DATA}/change_log/provider={PROVIDER}/2026/11/(\d\d)/part.csv", source)
        assert number is not None
        assert table["order_id"].to_pylist() == [f"A{number[1]}-{n}" for n in (1, 2, 3)]
        assert table["_row"].to_pylist() == [1, 2, 3]
        assert set(table["_run"].to_pylist()) == {"run-1"}
    rows = acme.rows()
    assert acme.run_manifest(f"s3://{DATA}/runs/provider={PROVIDER}/run-1/manifest.json", STANDARDIZE).error is None
    assert acme.rows() == rows
    assert acme.tables().keys() == first.keys()


@pytest.mark.fault(37)
def test_standard_37_a_replaced_source_replaces_only_its_own_rows_and_an_empty_one_removes_them(
    acme: StandardizingHarness,
) -> None:
    acme.put_mapping(b"empty: allowed\n" + (ORDERS / "quoted.yaml").read_bytes())
    body = (ORDERS / "quoted.csv").read_bytes()
    acme.standardize({"a.csv": body, "b.csv": body.replace(b"A-", b"Z-")})
    assert acme.standardize({"a.csv": body.replace(b"A-", b"B-")}).error is None
    replaced = ["B-1", "B-2", "B-3", "Z-1", "Z-2", "Z-3"]
    assert [row["order_id"] for row in acme.rows()] == replaced
    # The bucket still has the version that the first run planned, but it is no longer the current one.
    again = acme.run_manifest(f"s3://{DATA}/runs/provider={PROVIDER}/run-1/manifest.json", STANDARDIZE)
    assert again.result["failure"]["type"] == "ObjectChangedError"
    assert [row["order_id"] for row in acme.rows()] == replaced
    assert acme.standardize({"a.csv": b""}).error is None
    assert [row["order_id"] for row in acme.rows()] == ["Z-1", "Z-2", "Z-3"]


@pytest.mark.fault(37)
def test_standard_37_a_deleted_source_leaves_its_rows(acme: StandardizingHarness) -> None:
    acme.put_mapping((ORDERS / "quoted.yaml").read_bytes())
    body = (ORDERS / "quoted.csv").read_bytes()
    acme.standardize({"a.csv": body})
    acme.s3.delete_object(Bucket=DATA, Key=f"change_log/provider={PROVIDER}/a.csv")
    assert acme.standardize({"b.csv": body.replace(b"A-", b"B-")}).error is None
    assert [row["order_id"] for row in acme.rows()] == ["A-1", "A-2", "A-3", "B-1", "B-2", "B-3"]
    again = acme.run_manifest(f"s3://{DATA}/runs/provider={PROVIDER}/run-1/manifest.json", STANDARDIZE)
    assert again.result["failure"]["type"] == "ObjectChangedError"
    assert [row["order_id"] for row in acme.rows()] == ["A-1", "A-2", "A-3", "B-1", "B-2", "B-3"]


KILLED = """
import os, sys
import standardize
from fanout_job import standard

class Context:
    def get_remaining_time_in_millis(self):
        return 600_000

upload, done = standard.upload, []

def upload_one(*what):
    if done:
        os._exit(9)
    upload(*what)
    done.append(what)

standard.upload = upload_one
run = {"provider": "acme", "run_id": "run-2", "manifest": sys.argv[1], "run_dir": sys.argv[2]}
standardize.handler(run, Context())
"""


@pytest.mark.fault(37)
def test_standard_37_a_killed_run_leaves_complete_files_and_the_next_run_writes_the_rest(aws: str, clean: None) -> None:
    acme = StandardizingHarness("lambda", "")
    acme.put_mapping((ORDERS / "quoted.yaml").read_bytes())
    body = (ORDERS / "quoted.csv").read_bytes()
    acme.standardize({"a.csv": body.replace(b"A-", b"O-"), "b.csv": body.replace(b"A-", b"P-")})
    manifest = acme.plan([acme.put("a.csv", body), acme.put("b.csv", body.replace(b"A-", b"B-"))])
    environment = {**os.environ, "PYTHONPATH": MODULES, "ENV": "test", "DATA_BUCKET": DATA}
    argv = [sys.executable, "-c", KILLED, manifest, manifest.removesuffix("manifest.json")]
    assert run(argv, env=environment).returncode == 9
    assert acme.result("run-2") == {}
    assert [row["order_id"] for row in acme.rows()] == ["A-1", "A-2", "A-3", "P-1", "P-2", "P-3"]
    assert acme.run_manifest(manifest, STANDARDIZE).error is None
    assert [row["order_id"] for row in acme.rows()] == ["A-1", "A-2", "A-3", "B-1", "B-2", "B-3"]


@pytest.mark.fault(36)
def test_standard_36_a_bad_row_fails_the_run_and_is_named_and_other_sources_are_written(
    acme: StandardizingHarness,
) -> None:
    acme.put_mapping((ORDERS / "quoted.yaml").read_bytes())
    good = (ORDERS / "quoted.csv").read_bytes()
    outcome = acme.standardize({"a.csv": good.replace(b"12,0.5", b"twelve,0.5"), "b.csv": good})
    assert outcome.result["status"] == "failed"
    uri = f"s3://{DATA}/change_log/provider={PROVIDER}/a.csv"
    assert outcome.result["failure"] == {
        "type": "RowError",
        "message": "quantity (from 'qty') is not a valid integer",
        "cause": "quantity (from 'qty') is not a valid integer",
        "advice": RowError.advice,
        "object": uri,
        "line": 2,
        "unit": "row",
        "transient": False,
    }
    assert list(acme.tables()) == [MODEL.output_key(PROVIDER, f"change_log/provider={PROVIDER}/b.csv")]


@pytest.mark.fault(36)
def test_standard_36_under_quarantine_the_good_rows_are_written_and_the_bad_one_is_copied(
    acme: StandardizingHarness,
) -> None:
    acme.put_mapping((ORDERS / "quoted.yaml").read_bytes())
    body = (ORDERS / "quoted.csv").read_bytes().replace(b"12,0.5", b"twelve,0.5")
    outcome = acme.standardize({"a.csv": body}, on_bad_record="quarantine")
    assert outcome.error is None
    assert (outcome.result["rows"], outcome.result["quarantined"]) == (2, 1)
    assert [row["order_id"] for row in acme.rows()] == ["A-1", "A-3"]
    below = f"quarantine/provider={PROVIDER}/run-1/change_log/provider={PROVIDER}/a.csv.row-2.json"
    assert acme.keys_below("quarantine/") == [below, f"{below}.note.json"]


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        (None, "the provider has no mapping: s3://data has neither mappings/acme.yaml nor mappings/acme.json"),
        (b"csv:\nfields:\n  id: a", "s3://data/mappings/acme.yaml, line 3: 'id' is not a field of the model orders"),
        (b"csv: [", "s3://data/mappings/acme.yaml, line 1: is not YAML"),
    ],
)
def test_without_a_valid_mapping_no_source_is_read(
    acme: StandardizingHarness, mapping: bytes | None, message: str
) -> None:
    if mapping is not None:
        acme.put_mapping(mapping)
    outcome = acme.standardize({"a.csv": b"a\n1\n"})
    assert outcome.result["failure"]["type"] == "MappingError"
    assert str(outcome.error).startswith(message)
    assert acme.tables() == {}


def test_a_mapping_may_be_json(acme: StandardizingHarness) -> None:
    acme.put_mapping(
        b'{"csv": {}, "fields": {"order_id": "a", "ordered_at": {"value": "2026-01-01"}, "quantity": {"value": "1"},'
        b' "unit_price": {"value": "1"}, "currency": {"value": "EUR"}}}',
        f"{PROVIDER}.json",
    )
    outcome = acme.standardize({"a.csv": b"a\nx\n"})
    assert outcome.result["notes"]["mapping"]["key"] == f"mappings/{PROVIDER}.json"
    assert [row["order_id"] for row in acme.rows()] == ["x"]


def test_a_transform_of_the_script_is_called_for_each_row(acme: StandardizingHarness, tmp_path: Path) -> None:
    source = STANDARDIZE.read_text(encoding="utf-8")
    start = "transform: Transform | None = None\n"
    assert start in source
    own = 'def transform(record):\n    return record | {"customer": record["order_id"].lower()}\n'
    script = tmp_path / "standardize.py"
    script.write_text(source.replace(start, own), encoding="utf-8")
    acme.put_mapping((ORDERS / "quoted.yaml").read_bytes())
    outcome = acme.standardize({"a.csv": (ORDERS / "quoted.csv").read_bytes()}, script)
    assert outcome.error is None
    assert [row["customer"] for row in acme.rows()] == ["a-1", "a-2", "a-3"]


@pytest.mark.spark
def test_spark_reads_the_table_as_it_was_written(spark: Any, clean: None, tmp_path: Path) -> None:
    acme = StandardizingHarness("lambda", "")
    for name, body, mapping in files():
        acme.put_mapping(mapping)
        assert acme.standardize({name: body}).error is None
    for key in acme.keys_below(FOLDER):
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).write_bytes(acme.read(key))
    spark.conf.set("spark.sql.session.timeZone", "UTC")
    frame = spark.read.parquet(str(tmp_path / "standard"))
    assert {(row["model"], row["provider"]) for row in frame.collect()} == {("orders", PROVIDER)}
    read = frame.select(*MODEL.fields).toArrow() if hasattr(frame, "toArrow") else None
    rows = read.to_pylist() if read else [row.asDict() for row in frame.select(*MODEL.fields).collect()]
    expected = [row for name, reader in READERS.items() for row in reader(ORDERS / name)]

    def plain(row: dict[str, Any]) -> dict[str, Any]:
        moment = row["ordered_at"]
        return row | {"ordered_at": moment.timestamp()}

    assert sorted(map(plain, rows), key=str) == sorted(map(plain, expected), key=str)
