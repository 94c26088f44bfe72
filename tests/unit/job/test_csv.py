"""CSV of any dialect becomes exact rows, or errors that name object and row."""

from __future__ import annotations

import csv
import gzip
import io
from types import SimpleNamespace
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanout_job import csv_source
from fanout_job.csv_source import BLOCK_BYTES, MAX_HEADER_BYTES, Bytes, Numbering, header_of
from fanout_job.errors import CorruptObjectError
from fanout_job.mapping_formats import Csv
from tests.unit.job.standardizing import Row, rows

PLAIN = "csv:\nfields: {id: a, note: b}\n"


def mapping(options: str, fields: str = "{id: a, note: b}") -> str:
    return f"csv: {{{options}}}\nfields: {fields}\n"


@pytest.mark.parametrize(
    ("how", "data", "expected"),
    [
        (PLAIN, b"a,b\n1,x\n2,y\n", [{"id": "1", "note": "x"}, {"id": "2", "note": "y"}]),
        (PLAIN, b"a,b\r\n1,x\r\n", [{"id": "1", "note": "x"}]),
        (PLAIN, b"a,b\r1,x\r", [{"id": "1", "note": "x"}]),
        (PLAIN, b"a,b\n1,x", [{"id": "1", "note": "x"}]),
        (PLAIN, b"\xef\xbb\xbfa,b\n1,x\n", [{"id": "1", "note": "x"}]),
        (PLAIN, gzip.compress(b"a,b\n") + gzip.compress(b"1,x\n"), [{"id": "1", "note": "x"}]),
        (PLAIN, b'a,b\n1,"two\nlines, and ""quotes"""\n', [{"id": "1", "note": 'two\nlines, and "quotes"'}]),
        (PLAIN, b'"a","b"\n1,x\n', [{"id": "1", "note": "x"}]),
        (PLAIN, b'"a","b\nc","b"\n1,2,x\n', [{"id": "1", "note": "x"}]),
        (PLAIN, b"b,c,a\nx,?,1\n", [{"id": "1", "note": "x"}]),
        (PLAIN, b"a,b\n\n1,x\n\n", [{"id": "1", "note": "x"}]),
        (PLAIN, b"", []),
        (PLAIN, b"a,b\n", []),
        (PLAIN, b"a,b", []),
        (PLAIN, b"\n\n", []),
        (mapping("encoding: latin-1"), b"a,b\n1,\xfc\n", [{"id": "1", "note": "ü"}]),
        (mapping("encoding: cp1252"), b"a,b\n1,\x80\n", [{"id": "1", "note": "€"}]),
        (mapping("encoding: utf-16"), "a,b\n1,ż\n".encode("utf-16"), [{"id": "1", "note": "ż"}]),
        (
            mapping("encoding: latin-1", "{id: Größe, note: b}"),
            "Größe,b\n1,ü".encode("latin-1"),
            [{"id": "1", "note": "ü"}],
        ),
        (mapping("delimiter: '|'"), b"a|b\n1|x,y\n", [{"id": "1", "note": "x,y"}]),
        (mapping('delimiter: "\\t", quote: null'), b'a\tb\n1\t"x\n', [{"id": "1", "note": '"x'}]),
        (mapping('quote: "\'"'), b"a,b\n1,'x,y'\n", [{"id": "1", "note": "x,y"}]),
        (mapping("escape: '\\'"), b"a,b\n1,x\\,y\n", [{"id": "1", "note": "x,y"}]),
        (mapping("columns: [a, b]"), b"1,x\n", [{"id": "1", "note": "x"}]),
        (mapping("columns: [a, b]"), b"", []),
        (PLAIN, b"a,b\na,b\n", [{"id": "a", "note": "b"}]),
        (mapping("comment: '#'"), b"# only\n# comments\n", []),
        (mapping("escape: '\\'", "{id: 'a,c', note: b}"), b"a\\,c,b\n1,x\n", [{"id": "1", "note": "x"}]),
        (mapping("quote: null", "{id: '\"a', note: b}"), b'"a,b\n1,x\n', [{"id": "1", "note": "x"}]),
        (
            mapping("repeated_header: true", "{id: {value: x}, note: {from: z, optional: true}}"),
            b"a\n1\n",
            [{"id": "x"}],
        ),
        (mapping("skip: 2"), b'report of\n"today\na,b\n1,x\n', [{"id": "1", "note": "x"}]),
    ],
)
def test_a_dialect_is_read_exactly(how: str, data: bytes, expected: list[Row]) -> None:
    assert rows(how if expected else f"empty: allowed\n{how}", data) == expected


@pytest.mark.parametrize(
    ("how", "data", "expected"),
    [
        (PLAIN, b"a,b\n1,x\n2\n3,y,z\n4,w\n", ["row 2: has 1 fields, not 2", "row 3: has 3 fields, not 2"]),
        (PLAIN, b"a,b\n1,\xff\n", ["row 1: note (from 'b') is not a valid string"]),
        (mapping("encoding: cp1252"), b"a,b\n1,\x81\n", ["row 1: note (from 'b') is not a valid string"]),
        (PLAIN, b"a,b\n,x\n", ["row 1: id has no value, and the model requires one"]),
    ],
)
def test_a_bad_row_is_named(how: str, data: bytes, expected: list[str]) -> None:
    assert [row for row in rows(how, data) if isinstance(row, str)] == [f"sample, {text}" for text in expected]


def test_bad_rows_of_every_kind_are_in_the_order_of_the_file() -> None:
    data = b"a,b\n,x\n1,y\n2\n,z\n3,w\n4,v,u\n"
    found = [row if isinstance(row, str) else row["id"] for row in rows(PLAIN, data)]
    assert [text.partition(":")[0] for text in found] == [
        "sample, row 1",
        "1",
        "sample, row 3",
        "sample, row 4",
        "3",
        "sample, row 6",
    ]


@pytest.mark.parametrize(
    ("how", "data", "message"),
    [
        (PLAIN, b"a,c\n1,x\n", "its header has no column 'b'"),
        (PLAIN, b"a,b,b\n1,x,y\n", "its header has the column 'b' twice"),
        (PLAIN, b"a;b\n1;x\n", "its header has no column 'a'"),
        (PLAIN, b"A,b\n1,x\n", "its header has no column 'a'"),
        (PLAIN, b"a,\xff\n1,x\n", "its header is not CSV in utf-8"),
        (PLAIN, b'a,"b\n1,x\n', "its header is not CSV in utf-8"),
        (PLAIN, b'a,b\n1,x\n2,"y\n3,z\n', "ends within quotes"),
        (PLAIN, b'a,b\n1,"' + b"x" * (3 * BLOCK_BYTES) + b'"\n', "has a row of more than"),
        (mapping("encoding: utf-16"), "a,b\n1,x\n".encode("utf-16")[:-1], "is not utf-16 text"),
        (PLAIN, gzip.compress(b"a,b\n1,x\n" * 9)[:-5], "is truncated gzip"),
    ],
)
def test_the_error_of_an_unreadable_object_says_why(how: str, data: bytes, message: str) -> None:
    with pytest.raises(CorruptObjectError, match=message) as caught:
        rows(how, data)
    if message.startswith("its header"):
        assert caught.value.line == 1


def test_a_row_without_quotes_that_is_longer_than_a_block_is_named() -> None:
    data = b"a,b\n1,x\n2," + b"x" * (3 * BLOCK_BYTES) + b"\n"
    with pytest.raises(CorruptObjectError, match="has a row of more than 2097152 bytes") as caught:
        rows(mapping("quote: null"), data)
    assert caught.value.line == 2


def test_another_error_of_arrow_is_a_bad_object(monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(*_: Any) -> Any:
        raise pa.ArrowInvalid("out of sync")

    monkeypatch.setattr(csv_source, "opened", opened)
    with pytest.raises(CorruptObjectError, match="row 1: is not CSV that can be read"):
        rows(PLAIN, b"a,b\n1,x\n")


@pytest.mark.parametrize("first", [MAX_HEADER_BYTES, MAX_HEADER_BYTES - 1])
def test_no_more_is_read_before_the_header_than_its_maximum_size(first: int) -> None:
    pieces = iter([b"a,b\n" + b"x" * (first - 4), *([] if first == MAX_HEADER_BYTES else [b"y"]), b"z"])

    names, rest = header_of(pieces, Csv())

    assert names == ["a", "b"]
    assert next(pieces) == b"z"
    assert sum(map(len, rest)) == MAX_HEADER_BYTES - 4


def test_rejected_rows_are_reported_with_the_good_rows_after_them() -> None:
    reported: list[str] = []
    numbering = Numbering(lambda error, text: reported.append(f"{error.line} {text}"))
    for number in (3, 4, 7):
        numbering.reject(SimpleNamespace(number=number, actual_columns=1, expected_columns=2, text=f"row {number}"))

    assert numbering.numbers(2).to_pylist() == [1, 2]
    assert reported == []
    assert numbering.numbers(2).to_pylist() == [5, 6]
    assert reported == ["3 b'row 3'", "4 b'row 4'"]
    numbering.finish()
    assert (reported[2:], numbering.next) == (["7 b'row 7'"], 8)


def test_rows_keep_their_numbers_across_blocks_and_bad_rows() -> None:
    count = 100_000
    lines = [f"{n},{'x' * 100}" if n % 1_000 else f"{n}" for n in range(1, count + 1)]
    found = rows(PLAIN, ("a,b\n" + "\n".join(lines)).encode())
    assert len(found) == count
    for number, row in enumerate(found, 1):
        if number % 1_000:
            assert isinstance(row, dict)
            assert row["id"] == str(number)
        else:
            assert row == f"sample, row {number}: has 1 fields, not 2"


def test_a_row_may_be_as_long_as_a_block() -> None:
    long = "x" * (BLOCK_BYTES - 100)
    assert rows(PLAIN, f"a,b\n1,y\n2,{long}\n3,z\n".encode()) == [
        {"id": "1", "note": "y"},
        {"id": "2", "note": long},
        {"id": "3", "note": "z"},
    ]


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)


@given(
    st.lists(st.tuples(texts.filter(bool), texts), min_size=1, max_size=8),
    st.sampled_from([",", ";", "|", "\t"]),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["utf-8", "utf-16", "utf-8-sig"]),
)
def test_everything_that_pythons_csv_writes_is_read_back(
    table: list[tuple[str, str]], delimiter: str, ending: str, encoding: str
) -> None:
    written = io.StringIO()
    writer: Any = csv.writer(written, delimiter=delimiter, lineterminator=ending, quoting=csv.QUOTE_ALL)
    writer.writerows([("a", "b"), *table])
    how = mapping(f'delimiter: "{delimiter}", encoding: {encoding}'.replace("\t", "\\t"))
    expected = [{"id": one, "note": other} if other else {"id": one} for one, other in table]
    assert rows(how, written.getvalue().encode(encoding)) == expected


@pytest.mark.parametrize(
    ("pieces", "size", "blocks"),
    [
        ([b"abc", b"d"], 3, [b"abc", b"d"]),
        ([b"a", b"", b"bcd"], 3, [b"abc", b"d"]),
        ([b"a\r", b"\nb"], 2, [b"a", b"\r\n", b"b"]),
        ([b"ab\r\nc"], 3, [b"ab", b"\r\nc"]),
        ([b"\r\n"], 1, [b"\r", b"\n"]),
        ([b"ab\r"], 3, [b"ab\r"]),
        ([b"a\r"], 3, [b"a\r"]),
    ],
)
def test_a_block_is_full_and_ends_with_a_carriage_return_only_at_the_end(
    pieces: list[bytes], size: int, blocks: list[bytes]
) -> None:
    file, found, buffer = Bytes(iter(pieces)), [], bytearray(size)
    while count := file.readinto(buffer):
        found.append(bytes(buffer[:count]))
    assert found == blocks
