"""An object in another format is named as what it is, and hints are given only where they fit."""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import json
import lzma
import random
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import replace

import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from pyarrow import orc, parquet

from contract.failure import Failure
from contract.manifest import PlannedObject
from fanout_job.changes import parse_change
from fanout_job.delivery import Delivery
from fanout_job.errors import RecordError
from fanout_job.formats import decompressed
from fanout_job.task import guarded
from tests.unit.job.records import SETTINGS, line, stream
from tests.unit.job.test_hostile_lines import MemoryS3

ONE = line(stream())
TWO = b"\n".join([ONE, ONE, b""])


def archived() -> Iterator[tuple[str, bytes, str]]:
    table = pa.table({"a": list(range(50))})
    files: dict[str, io.BytesIO] = {name: io.BytesIO() for name in ("parquet", "orc", "zip", "tar")}
    parquet.write_table(table, files["parquet"])
    orc.write_table(table, files["orc"])
    with zipfile.ZipFile(files["zip"], "w") as archive:
        archive.writestr("a.json", TWO)
    with tarfile.open(fileobj=files["tar"], mode="w") as tar:
        tar.addfile(tarfile.TarInfo("a.json"))
    yield "Parquet", files["parquet"].getvalue(), "is Parquet, which the job does not read"
    yield "ORC", files["orc"].getvalue(), "is ORC, which"
    yield "zip", files["zip"].getvalue(), "is a zip archive, which"
    yield "tar", files["tar"].getvalue(), "is a tar archive, which"
    yield "Avro", b"Obj\x01\x04\x16avro.schema" + b"\0" * 40, "is Avro, which"
    yield "bzip2", bz2.compress(TWO), "is bzip2, which"
    yield "xz", lzma.compress(TWO), "is xz, which"
    for codec, name in (("zstd", "zstd"), ("lz4", "LZ4")):
        yield codec, pa.compress(TWO, codec, asbytes=True), f"is {name}, which"
    skippable = b"\x50\x2a\x4d\x18" + (4).to_bytes(4, "little") + b"more"
    yield "skippable zstd", skippable + pa.compress(TWO, "zstd", asbytes=True), "is zstd, which"
    yield "framed Snappy", b"\xff\x06\0\0sNaPpY" + b"x" * 40, "is Snappy, which"
    raw = pa.compress(TWO, "snappy", asbytes=True)
    yield "raw Snappy", raw, "is Snappy, which"
    yield "Hadoop Snappy", len(TWO).to_bytes(4) + len(raw).to_bytes(4) + raw, "is Snappy, which"
    for size in (30, 128, 4_224, 5_000):  # with literals whose lengths have zero, one and two bytes
        body = b'{"a":"' + base64.b64encode(random.Random(0).randbytes(size))[: size - 9] + b'"}\n'
        yield f"Snappy of {size}", pa.compress(body, "snappy", asbytes=True), "is Snappy, which"
    yield "Snappy blanks", pa.compress(b"{" + b" " * 60 + b'"a": 1}\n', "snappy", asbytes=True), "is Snappy, which"
    yield "gzip", gzip.compress(TWO), "is gzip within gzip; compress once"


TEXTS = {
    "UTF-16 with its BOM": (TWO.decode().encode("utf-16"), "is UTF-16; write UTF-8"),
    "UTF-16": (TWO.decode().encode("utf-16-be"), "is UTF-16; write UTF-8"),
    "UTF-16 with its lower bytes first": (TWO.decode().encode("utf-16-le"), "is UTF-16; write UTF-8"),
    "UTF-32 without a BOM": (TWO.decode().encode("utf-32-be"), "is UTF-32; write UTF-8"),
    "UTF-32 with its lower bytes first": (TWO.decode().encode("utf-32-le"), "is UTF-32; write UTF-8"),
    "UTF-32": (TWO.decode().encode("utf-32"), "is UTF-32; write UTF-8"),
    "pretty-printed": (json.dumps(stream(), indent=2).encode(), "is JSON with line breaks within its records"),
    "an array": (b"[" + ONE + b",\n" + ONE + b"]", "is a JSON array"),
    "an array of lines": (b"[\n" + ONE + b"\n]", "is a JSON array"),
    "an array in one line": (b"[" + ONE + b"]", "is a JSON array"),
    "CSV": (b"pk,sk,price\na,1,2\n", "is CSV, not JSON lines"),
    "XML": (b"<?xml version='1.0'?>\n<a/>", "is XML or HTML"),
    "Ion": (b"$ion_1_0 {Item:{a:1}}\n", "is Amazon Ion"),
    "carriage returns": (ONE + b"\r" + ONE + b"\r", "separated by carriage returns instead of line feeds"),
    "a literal line feed": (ONE + rb"\n" + ONE, "separated by a backslash and an n instead of a line feed"),
    "concatenated numbers": (b"1" + ONE, "Firehose needs AppendDelimiterToRecord"),
    "concatenated with blanks": (ONE + b"  " + ONE, "Firehose needs AppendDelimiterToRecord"),
    "concatenated": (ONE + ONE, "Firehose needs AppendDelimiterToRecord"),
}


def failures(body: bytes, on_bad_record: str = "fail") -> tuple[list[Failure], dict[str, bytes]]:
    s3 = MemoryS3()
    s3.objects["a.json"] = body
    task = Delivery(replace(SETTINGS, on_bad_record=on_bad_record), lambda change: change.data)
    task.s3 = task.maker.s3 = s3
    with guarded(task):
        assert list(task.messages([PlannedObject("data", "a.json", len(body), "e", 0)])) == []
    return task.tally.failures, s3.objects


@pytest.mark.fault(47)
@pytest.mark.parametrize(
    ("name", "body", "message"), list(archived()), ids=lambda value: value if len(value) < 15 else ""
)
def test_a_binary_format_is_named(name: str, body: bytes, message: str) -> None:
    inner = "" if name == "gzip" else "is gzip of an object that "
    if name != "gzip":
        [failure] = failures(body)[0]
        assert (failure.type, failure.line) == ("CorruptObjectError", 1)
        assert failure.message.startswith(message)
    [failure] = failures(gzip.compress(body))[0]
    assert failure.message.startswith(inner + message)


@pytest.mark.fault(47)
@pytest.mark.parametrize(
    "body",
    [
        *(
            before + ONE
            for before in (
                *(b"\0\0", b"\1\0", b"\4\0", b"\1\4", b"\x1e\xa0", b"\x1e\x21"),
                *(b"\4\xf0\0", b"\x80\x01\xf0\xff", b"h\xf0\x1f", b"\4\xf4\xff\xff"),
                b"\x80\x80\x80\x80\x80\x01\xf0\xff",
            )
        ),
        *(b"\1", b"\1\4", b"\x80\x01"),
        b"h|" + ONE + b"\0",
        b"\x1e\x74" + b"x" * 40,
    ],
)
def test_bytes_that_no_block_of_snappy_begins_with_are_a_bad_record(body: bytes) -> None:
    [failure] = failures(body)[0]
    assert (failure.type, failure.line) == ("RecordError", 1)
    assert "Snappy" not in failure.message


@pytest.mark.fault(47)
@pytest.mark.parametrize("name", TEXTS)
def test_a_text_format_is_named(name: str) -> None:
    body, message = TEXTS[name]
    for stored in (body, gzip.compress(body)):
        [failure] = failures(stored)[0]
        assert message in failure.message
        assert failure.line == 1


@pytest.mark.fault(47)
def test_an_object_in_a_foreign_format_is_quarantined_once() -> None:
    body = json.dumps([stream()], indent=2).encode()
    found, stored = failures(body, "quarantine")

    assert found == []
    assert sorted(stored) == [
        "a.json",
        "quarantine/provider=acme/run-1/a.json",
        "quarantine/provider=acme/run-1/a.json.note.json",
    ]


@pytest.mark.parametrize(
    "body",
    [
        *(ONE + after for after in (b",", b"}", b" null", b"  }{", b"  x}{")),
        *(b'{"a": 1', b'{"a":{}{"b":1}}', b"{,}", b"\0\1\0\1"),
    ],
)
def test_no_hint_is_given_where_none_fits(body: bytes) -> None:
    [failure] = failures(body)[0]

    assert failure.message.startswith("not JSON: ")
    assert failure.message.partition(" at column ")[2].strip("0123456789") == ""


@pytest.mark.parametrize("text", [ONE + ONE, (ONE + ONE).decode()])
def test_text_gets_the_same_hint_as_bytes(text: bytes | str) -> None:
    with pytest.raises(RecordError, match="; Firehose needs AppendDelimiterToRecord"):
        parse_change(text, "x")


@pytest.mark.parametrize(
    "text", [b"ORC;b\n1;2\n", b"PAR1,b\n1,2\n", b"BZh,b\n", b"SEQ,b\n", b"a" * 258 + b"ustar", b"PK,sk\n"]
)
def test_text_that_begins_like_a_signature_is_text(text: bytes) -> None:
    assert b"".join(decompressed(iter([text]), "a.csv")) == text


def test_gzip_of_text_is_read() -> None:
    assert b"".join(decompressed(iter([gzip.compress(TWO)]), "a.gz")) == TWO
