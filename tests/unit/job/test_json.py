"""JSON in any arrangement becomes exact rows, or errors that name object and row."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.nesting import MAX_DEPTH
from fanout_job.blocks import MAX_RECORD_BYTES
from fanout_job.errors import CorruptObjectError
from fanout_job.json_source import INDENTED_CHARACTERS, json_blocks
from fanout_job.mapping_formats import Json
from tests.unit.job.standardizing import Row, document, records, rows, sources

LINES = "json_lines:\nfields: {id: id, price: p, note: n/x/0}\n"
DOCUMENT = LINES.replace("json_lines:", "json:")
INNER = LINES.replace("json_lines:", "json: {records: d/r}")
NO_NAME = "Expecting property name enclosed in double quotes"
ONE = {"id": "1", "price": Decimal("12.50"), "note": "a"}
RECORD = b'{"id": 1, "p": 12.50, "n": {"x": ["a", "b"]}, "more": [{}, null]}'


@pytest.mark.parametrize(
    ("how", "data", "expected"),
    [
        (LINES, RECORD + b"\n\n" + RECORD, [ONE, ONE]),
        (LINES, b"", []),
        (DOCUMENT, b"[" + RECORD + b" ,\n" + RECORD + b"]\n", [ONE, ONE]),
        (DOCUMENT, b"[]", []),
        (DOCUMENT, b"", []),
        (DOCUMENT, RECORD, [ONE]),
        (INNER, b'{"a": [1, {"r": []}], "d": {"x": "]", "r": [' + RECORD + b'], "y": 1}, "z": [2]}', [ONE]),
        (INNER, b'{"d": {"r": ' + RECORD + b"}}", [ONE]),
        (LINES, b'{"id": "a", "n": {"x": ["\\u017c\\ud83d\\ude00"]}}', [{"id": "a", "note": "ż😀"}]),
        (LINES, b'{"id": true, "p": "1", "n": null}', [{"id": "true", "price": Decimal("1.00")}]),
        (LINES, b'{"id": 12345678901234567890.10}', [{"id": "12345678901234567890.10"}]),
        (LINES, b'{"id": 1, "n": {"x": []}}', [{"id": "1"}]),
        (LINES, b'{"id": 1, "n": 5}', [{"id": "1"}]),
        (LINES, b'{"id": ""}', [{"id": ""}]),
        (LINES, b'{"id": 1, "x": ' + b"[" * 199 + b"]" * 199 + b"}", [{"id": "1"}]),
        (LINES, b'{"id": 1, "x": "' + b"[" * 5_000 + b'\\"["}', [{"id": "1"}]),
        (LINES.replace("json_lines:", "json_lines:\nnulls: ['']"), b'{"id": 1, "p": ""}', [{"id": "1"}]),
    ],
)
def test_an_arrangement_is_read_exactly(how: str, data: bytes, expected: list[Row]) -> None:
    assert rows(how if expected else f"empty: allowed\n{how}", data) == expected


@pytest.mark.parametrize(
    ("how", "data", "message"),
    [
        (LINES, b'{"id": 1}\n\n{"id": 2', "row 2: is not JSON: Expecting ',' delimiter at character 9"),
        (LINES, b'{"id": 1} {"id": 2}', "row 1: is not JSON: Extra data at character 11"),
        (LINES, b'{"id": NaN}', "row 1: is not JSON: NaN or Infinity"),
        (LINES, b'{"id": "\xff"}', "row 1: is not UTF-8 text"),
        (LINES, b'{"id": "\\ud800"}', "row 1: id (from 'id') is not a valid string"),
        (LINES, b'[{"id": 1}]', "row 1: is JSON, but not an object"),
        (LINES, b'{"id": {"a": 1}}', "row 1: 'id' is an object, not a single value"),
        (DOCUMENT, b'[{"id": [1]}]', "row 1: 'id' is an array, not a single value"),
        (DOCUMENT, b"[1]", "row 1: is JSON, but not an object"),
        (DOCUMENT, b"[null]", "row 1: is JSON, but not an object"),
        (DOCUMENT, b"1", "row 1: is JSON, but not an object"),
        (LINES, b"[" * 100_000, "row 1: is nested too deeply"),
        (LINES, b'{"id": 1, "x": ' + b"[" * 5_000 + b"]" * 5_000 + b"}", "row 1: is nested too deeply"),
        (LINES, b'{"id": 1, "x": ' + b"[" * 200 + b"]" * 200 + b"}", "row 1: is nested too deeply"),
        (
            LINES,
            b'{"id": 1,\r}',
            f"row 1: is not JSON: {NO_NAME} at character 11",
        ),
        (LINES, b'{"id": [1,]}', "row 1: is not JSON: Expecting value at character 11"),
        (LINES, b'{"id": [1, ]}', "row 1: is not JSON: Expecting value at character 12"),
    ],
)
def test_a_bad_record_is_named(how: str, data: bytes, message: str) -> None:
    assert rows(how, data)[-1] == f"sample, {message}"


@pytest.mark.parametrize(("more", "indent"), [(0, 2), (1, None)])
def test_the_text_of_a_bad_record_is_indented_unless_it_is_long(more: int, indent: int | None) -> None:
    empty = len(json.dumps({"id": [""]}))
    record = {"id": ["x" * (INDENTED_CHARACTERS - empty + more)]}
    found: list[bytes | None] = []
    data = json.dumps(record).encode()
    list(json_blocks(iter([data]), Json(), sources("id"), lambda error, text: found.append(text)))
    assert found == [json.dumps(record, indent=indent).encode()]


def test_a_line_over_the_limit_is_a_bad_row_and_the_next_row_is_read() -> None:
    data = b'{"id": "' + b"x" * MAX_RECORD_BYTES + b'"}\n{"id": 2}'
    assert rows(LINES, data) == [f"sample, row 1: is longer than {MAX_RECORD_BYTES} bytes", {"id": "2"}]


@pytest.mark.parametrize(
    ("how", "data", "message"),
    [
        (DOCUMENT, b'[{"id": 1}', "is not JSON: no ',' between two elements"),
        (DOCUMENT, b'[{"id": 1} {"id": 2}]', "is not JSON: no ',' between two elements"),
        (DOCUMENT, b'[{"id": 1},]', "is not JSON"),
        (DOCUMENT, b'[{"id": 1}, {"id":', "is not JSON"),
        (DOCUMENT, b'[{"id": Infinity}]', "NaN or Infinity"),
        (DOCUMENT, b'[{"id": NaN}' + b" " * (MAX_RECORD_BYTES + 2**21), "NaN or Infinity"),
        (DOCUMENT, b'{"id": 1}\n{"id": 2}', "has more after its end; if it has one record per line, use json_lines"),
        (DOCUMENT, b'[{"id": "\xff"}]', "is not UTF-8 text"),
        (DOCUMENT, b"[" * 100_000, "is nested too deeply"),
        (DOCUMENT, b"[" * (MAX_DEPTH + 2), "is nested too deeply"),
        (DOCUMENT, b'[{"id": 1, "x": ' + b"[" * 5_000 + b"]" * 5_000 + b"}]", "is nested too deeply"),
        (DOCUMENT, b'["' + b"x" * (MAX_RECORD_BYTES + 2**21) + b'"]', "has a value of more than"),
        (INNER, b'{"d": {"s": []}}', "has no 'r'"),
        (INNER, b'{"d": {"r": []}', "between two members"),
        (INNER, b'[{"id": 1}]', "'{' is missing"),
        (INNER, b'{"x": ' + b"[" * (MAX_DEPTH + 1), "is nested too deeply"),
    ],
)
def test_the_error_of_an_incomplete_document_says_why(how: str, data: bytes, message: str) -> None:
    with pytest.raises(CorruptObjectError, match=message):
        rows(how, data)


@pytest.mark.parametrize("inner", [b"1", b'"' + b"x" * 100_000 + b'"'])
def test_a_value_beside_the_records_has_at_most_200_levels(inner: bytes) -> None:
    def document(levels: int) -> bytes:
        return b'{"x": ' + b"[" * levels + inner + b"]" * levels + b', "d": {"r": [' + RECORD + b"]}}"

    assert rows(INNER, document(MAX_DEPTH)) == [ONE]
    with pytest.raises(CorruptObjectError, match="is nested too deeply"):
        rows(INNER, document(MAX_DEPTH + 1))


@pytest.mark.parametrize(
    ("pieces", "unread"),
    [
        ([b'[ {"id":"a', b'bcdefg"},', b'{"id":1}', b"]"], [b'{"id":1}', b"]"]),
        ([b"[", b'"a"', b',"b"]'], [b',"b"]']),
        ([b"[1,", b"2]"], [b"2]"]),
    ],
)
def test_a_document_is_read_no_further_than_a_record_needs(pieces: list[bytes], unread: list[bytes]) -> None:
    reading = iter(pieces)
    next(document(reading).records((), False))
    assert list(reading) == unread


@pytest.mark.parametrize("quote", [b'"', b""])
def test_a_value_has_at_most_a_limited_number_of_characters(quote: bytes) -> None:
    def array(size: int) -> Iterator[bytes]:
        return iter([b"[", quote + b"1" * (size - 2 * len(quote)) + quote, b"]"])

    assert len(records(array(MAX_RECORD_BYTES), "")) == 1
    with pytest.raises(CorruptObjectError, match="has a value of more than"):
        records(array(MAX_RECORD_BYTES + 1), "")


def test_a_value_without_an_end_is_read_up_to_the_limit() -> None:
    pieces = iter([b'["', *[b"x" * 2**16] * 1_000])
    with pytest.raises(CorruptObjectError, match="has a value of more than"):
        records(pieces, "")
    assert len(list(pieces)) == 1_000 - MAX_RECORD_BYTES // 2**16


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def as_text(value: Any) -> Any:
    """The value as Python's own parser reads it, with numbers as texts."""
    return json.loads(json.dumps(value), parse_int=str)


@given(st.lists(values, max_size=5), st.integers(1, 7), st.booleans(), st.sampled_from([None, 1]))
def test_records_do_not_depend_on_where_chunks_end(
    values: list[Any], size: int, ascii_only: bool, indent: int | None
) -> None:
    data = json.dumps({"x": values, "d": {"r": values}, "y": 1}, ensure_ascii=ascii_only, indent=indent).encode()
    pieces: Iterator[bytes] = iter([data[start : start + size] for start in range(0, len(data), size)])
    assert records(pieces, "d/r") == as_text(values)
