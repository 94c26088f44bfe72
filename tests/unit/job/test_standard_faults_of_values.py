"""Faults of values, JSON and mappings seen in practice: the right rows, or an error that names the fault."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from fanout_job.blocks import MAX_RECORD_BYTES
from fanout_job.errors import CorruptObjectError, MappingError
from fanout_job.json_source import json_blocks
from fanout_job.mapping import Mapping
from fanout_job.mapping_formats import Json
from fanout_job.paths import Source
from fanout_job.standardizer import Standardizer
from tests.unit.job.standardizing import MODEL, column, records, rows, sources
from tests.unit.job.test_standard_faults import orders

# ---- 61: signs


@pytest.mark.fault(61)
@pytest.mark.parametrize("sign", ["\u00a0", "\u202f", "\u2009", "\u2019", "\u066c", "_", "\x1f"])
def test_standard_61_any_sign_may_group_thousands(sign: str) -> None:
    spelled = f"decimal: ',', thousands: {json.dumps(sign)}"
    assert column("price", [f"1{sign}234,50", f"12{sign}34", f"1{sign}{sign}234"], spelled) == [
        Decimal("1234.50"),
        "bad",
        "bad",
    ]


def test_standard_61_a_file_with_no_break_spaces_in_its_numbers_is_read() -> None:
    [row] = orders("no-break-space.csv", "no-break-space.yaml")
    assert row["unit_price"] == Decimal("1234.50")


@pytest.mark.fault(61)
@pytest.mark.parametrize("sign", ["\x01", "\x1f", "\t", " ", "\x7f", "^", "]", "-", "a"])
def test_standard_61_any_ascii_character_may_be_the_delimiter(sign: str) -> None:
    how = f"csv: {{delimiter: {json.dumps(sign)}}}\nfields: {{id: 'A', note: 'B'}}"
    data = f'A{sign}B\n1{sign}"x{sign}y"\n2{sign}z\n'.encode()
    assert rows(how, data) == [{"id": "1", "note": f"x{sign}y"}, {"id": "2", "note": "z"}]


def test_standard_61_a_file_written_by_hive_is_read() -> None:
    [row] = orders("hive.txt", "control-character.yaml", b"id\x01at\x01q\x01p\n1\x012024-01-01\x011\x011\n")
    assert (row["order_id"], row["quantity"]) == ("1", 1)


@pytest.mark.fault(61)
@pytest.mark.parametrize("option", ["delimiter", "quote", "escape"])
@pytest.mark.parametrize("sign", ["§", "“", "é", "\r", "\n", "\0", "", ";;", "😀"])
def test_standard_61_a_sign_that_arrow_cannot_read_is_refused_with_the_mapping(option: str, sign: str) -> None:
    with pytest.raises(MappingError, match=rf"m.yaml, line 2: csv.{option} is not one ASCII character"):
        Mapping.parse(f"csv:\n  {option}: {json.dumps(sign, ensure_ascii=False)}\nfields: {{id: a}}".encode(), "m.yaml")


@pytest.mark.parametrize("options", ["delimiter: '\"'", "delimiter: '\\', escape: '\\'", "quote: ','"])
def test_standard_61_a_delimiter_that_is_also_quote_or_escape_is_rejected(options: str) -> None:
    with pytest.raises(MappingError, match=r"m.yaml, line 1: csv has .* as its delimiter and as its quote or escape"):
        Mapping.parse(f"csv: {{{options}}}\nfields: {{id: a}}".encode(), "m.yaml")


@pytest.mark.parametrize("sign", ["0", "+", "-", "e", "", "..", "\n"])
def test_standard_61_a_sign_that_numbers_contain_is_rejected_as_a_separator(sign: str) -> None:
    with pytest.raises(MappingError, match=r"m.yaml, line 1: thousands is not one character other than a digit"):
        Mapping.parse(f"thousands: {json.dumps(sign)}\ncsv:\nfields: {{id: a}}".encode(), "m.yaml")


@pytest.mark.parametrize("signs", ["thousands: '.'", "decimal: ',', thousands: ','"])
def test_standard_61_one_sign_for_decimals_and_thousands_is_refused(signs: str) -> None:
    mapping = Mapping.parse(f"csv:\nfields:\n  id: a\n  price: {{from: b, {signs}}}".encode(), "m.yaml")
    with pytest.raises(
        MappingError, match=r"m.yaml, line 4: price: '[.,]' is both the decimal and the thousands separator"
    ):
        Standardizer(mapping, MODEL)


@pytest.mark.fault(61)
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-1000000000", "bad"),
        ("1e1000000000", "bad"),
        ("1e999999999999999999999", "bad"),
        ("0e1000000000", "bad"),
        ("1e-77", "bad"),
        ("9" * 39, "bad"),
        ("9" * 4_300, "bad"),
        ("9" * 5_000 + "e-5000", "bad"),
        ("0" * 4_300 + "1.50", Decimal("1.50")),
        ("1.5" + "0" * 4_300, Decimal("1.50")),
        ("150E-2", Decimal("1.50")),
        ("-1.5e+3", Decimal("-1500.00")),
        ("1.505e0", "bad"),
        ("1_5e0", "bad"),
        ("e5", "bad"),
        ("NaNe0", "bad"),
    ],
)
@pytest.mark.parametrize("spelled", ["", "factor: 1"])
def test_standard_61_a_decimal_with_many_digits_or_an_exponent_is_exact_or_bad(
    text: str, value: Any, spelled: str
) -> None:
    if spelled and text == "1.505e0":
        value = Decimal("1.50")  # a product is rounded, half to even
    assert column("price", [text, "2.25"], spelled) == [value, Decimal("2.25")]


# ---- 62: JSON documents

RECORDS = b'"r":[{"id":"1","q":1.5},{"id":"2","q":-2}]'
HOW = "json: {records: r}\nfields: {id: id, price: q}"
TWO = [{"id": "1", "price": Decimal("1.50")}, {"id": "2", "price": Decimal("-2.00")}]
HUGE = b"[" + b",".join([b'{"x":"' + b"y]}" * 300 + b'"}'] * 20_000) + b"]"


@pytest.mark.fault(62)
@pytest.mark.parametrize("beside", [HUGE, b'{"a":{"b":' + HUGE + b"}}", b"[" + b"1," * 9_000_000 + b"1]"])
def test_standard_62_a_huge_value_outside_the_records_is_skipped(beside: bytes) -> None:
    assert len(beside) > MAX_RECORD_BYTES
    for data in (b'{"x":' + beside + b"," + RECORDS + b"}", b"{" + RECORDS + b',"x":' + beside + b"}"):
        assert rows(HOW, data) == TWO
    with pytest.raises(CorruptObjectError, match="is not JSON"):
        rows(HOW, b"{" + RECORDS + b',"x":' + beside[:-1] + b"}")


def test_standard_62_a_text_outside_the_records_that_is_too_long_is_named() -> None:
    with pytest.raises(CorruptObjectError, match=f"has a value of more than {MAX_RECORD_BYTES} characters"):
        rows(HOW, b'{"x":"' + b"y" * (MAX_RECORD_BYTES + 1) + b'",' + RECORDS + b"}")


@pytest.mark.fault(62)
def test_standard_62_a_list_of_records_that_occurs_twice_makes_a_bad_object() -> None:
    with pytest.raises(CorruptObjectError, match="records-twice.json, row 2: has 'r' twice"):
        orders("records-twice.json", "records-twice.yaml")
    with pytest.raises(CorruptObjectError, match="has 'r' twice"):
        rows(HOW, b"{" + RECORDS + b',"\\u0072":[]}')
    with pytest.raises(CorruptObjectError, match="has 'd' twice"):
        rows(HOW.replace("r}", "d/r}"), b'{"d":{' + RECORDS + b'},"d":{}}')


def test_standard_62_a_mapped_name_that_a_parent_has_twice_makes_a_bad_object() -> None:
    with pytest.raises(CorruptObjectError, match="has 'x' twice in 'n'"):
        rows("json: {records: r}\nfields: {id: id, note: ../n/x}", b'{"n":{"x":1,"x":2},' + RECORDS + b"}")


@pytest.mark.fault(62)
@pytest.mark.parametrize(
    ("record", "name"),
    [
        ('{"id":"1","id":"2"}', "id"),
        ('{"id":"1","\\u0069d":"2"}', "id"),
        ('{"id":"1","n":{"x":1,"x":2}}', "x"),
        ('{"id":"1","n":{},"id":"1","n":{}}', "id"),
    ],
)
@pytest.mark.parametrize("kind", ["json", "json_lines"])
def test_standard_62_a_mapped_name_that_an_object_has_twice_makes_a_bad_row(record: str, name: str, kind: str) -> None:
    good = '{"id":"3","o":{"id":"4"}}'
    data = f"[{record},{good}]" if kind == "json" else f"{record}\n{good}"
    found = rows(f"{kind}:\nfields: {{id: id, note: n/x}}", data.encode())
    assert found == [f"sample, row 1: has {name!r} twice in one object", {"id": "3"}]


@pytest.mark.parametrize("more", ["", ", note: note"])
def test_standard_62_a_name_with_a_slash_is_the_same_with_a_backslash_before_it(more: str) -> None:
    found = rows(f"json_lines:\nfields: {{id: \"'a/b'\"{more}}}", b'{"a/b":1,"a\\/b":2}\n{"a\\/b":3}')
    assert found == ["sample, row 1: has 'a/b' twice in one object", {"id": "3"}]


def test_standard_62_a_name_in_several_objects_is_not_a_duplicate() -> None:
    data = b'{"id":"1","l":[{"id":"2"},{"id":"3"}],"t":"\\"id\\" \\"id\\"","o":1,"o":2}'
    assert rows("json_lines:\nfields: {id: id, note: l/1/id}", data) == [{"id": "1", "note": "3"}]


VALUES = [1.5, -0.25, 1e30, 12345678901234567890, True, None, '\u00fc\U0001f600 \\ " ]', [[]], {"a": {}}, 0, -1, 2e-7]


@pytest.mark.fault(62)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
@pytest.mark.parametrize("ascii_only", [False, True])
def test_standard_62_a_value_across_a_chunk_border_is_read_whole(size: int, ascii_only: bool) -> None:
    data = json.dumps({"x": VALUES, "v": 1.5, "d": {"r": VALUES}, "n": 12.25e1}, ensure_ascii=ascii_only).encode()

    def pieces() -> Iterator[bytes]:
        yield from (data[start : start + size] for start in range(0, len(data), size))

    assert records(pieces(), "d/r") == json.loads(data, parse_float=str, parse_int=str)["d"]["r"]


def test_standard_62_a_run_reads_a_number_across_a_chunk_border_whole() -> None:
    start = b'{"pad":"'
    data = start + b"x" * (2**19 - len(start) - 8) + b'","v":1.5,' + RECORDS + b"}"
    assert data[2**19 - 1 : 2**19 + 1] == b".5"
    pieces = iter([data[place : place + 2**19] for place in range(0, len(data), 2**19)])
    [block] = json_blocks(pieces, Json("r"), sources("id", "q"), lambda error, content: None)
    assert block.columns[Source("q")].to_pylist() == ["1.5", "-2"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{1:2,"r":[]}', "is not JSON: a name is missing"),
        (b'{"r":[{"id":"1"}],}', "is not JSON: a name is missing"),
        (b'{"x":[1 2],"r":[]}', "is not JSON: no ',' between two elements"),
        (b'{"x":[1}],"r":[]}', "is not JSON: no ',' between two elements"),
        (b'{"x":1.2.3,"r":[]}', "is not JSON: no ',' between two members"),
        (b'{"r":[{"id":"1"}', "is not JSON: no ',' between two elements"),
        (b'{"x":' + b"[" * 5_000 + b"]" * 5_000 + b',"r":[]}', "is nested too deeply"),
        (b'{"x":' + b'[{"a":' * 5_000, "is nested too deeply"),
    ],
)
def test_standard_62_invalid_json_outside_the_records_makes_a_bad_object(data: bytes, message: str) -> None:
    with pytest.raises(CorruptObjectError, match=message):
        rows(HOW, data)


@pytest.mark.fault(62)
def test_standard_62_surrogate_pairs_in_a_mapping_of_json_are_characters() -> None:
    document = {
        "json_lines": {},
        "fields": {"id": "\U0001f600", "note": {"from": "n", "values": {"\U0001f4a9": "\u007f"}}},
    }
    mapping = Mapping.parse(json.dumps(document, indent="\t").encode(), "m.json")
    assert mapping.fields["id"].source == ("\U0001f600",)
    assert mapping.fields["note"].values == {"\U0001f4a9": "\u007f"}
    with pytest.raises(MappingError, match=r"m.json, line 2: has \\ud83d, half of a surrogate pair"):
        Mapping.parse(b'{"csv": {},\n"fields": {"id": "\\ud83d"}}', "m.json")


# ---- 63: mappings built to hurt

DIGITS = "9" * 4_300


@pytest.mark.fault(63)
@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("price: {from: a, factor: 1e1000000000}", "fields.price.factor is '1e1000000000', not a number of at most 18"),
        ("price: {from: a, factor: 1e-1000000000}", "fields.price.factor is '1e-1000000000', not a number of at most"),
        (f"price: {{from: a, factor: {DIGITS}}}", "fields.price.factor is '999"),
        (f"price: {{from: a, factor: 1e{DIGITS}}}", "fields.price.factor is '1e999"),
        ("price: {from: a, factor: sNaN}", "fields.price.factor is 'sNaN', not a number"),
        ("day: {from: a, format: '%d %d'}", "fields.day.format is not a format of Python's strptime that results in"),
        ("day: {from: a, format: [" + "'%Y-%m-%d', " * 1_000 + "]}", "fields.day.format is not a list of at most 20"),
        (f"day: {{from: a, timezone: {'x' * 100_000}}}", "fields.day.timezone is not a time zone"),
        (f"{'x' * 500}: {{from: a, {'y' * 500}: b}}", "fields.xxx"),
    ],
)
def test_standard_63_a_hostile_mapping_is_refused_with_its_line(line: str, message: str) -> None:
    with pytest.raises(MappingError) as caught:
        Mapping.parse(f"csv:\nfields:\n  id: a\n  {line}".encode(), "m.yaml")
    assert str(caught.value).startswith(f"m.yaml, line 4: {message}")
    assert len(str(caught.value)) < 2_000


@pytest.mark.fault(63)
@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f"count: {{value: {DIGITS}}}", "count's value is not a valid integer"),
        (f"price: {{value: {DIGITS}}}", "price's value is not a valid decimal(12,2)"),
        ("price: {value: 1e-1000000000}", "price's value is not a valid decimal(12,2)"),
        ("ratio: {value: 1e1000000000}", "ratio's value is not a valid float"),
        ("moment: {value: 9999-12-31T23:59:59-05:00}", "moment's value is not a valid timestamp"),
        (f"note: n/{DIGITS}", "note: 'n/999"),
    ],
)
def test_standard_63_a_hostile_value_is_refused_with_its_line(line: str, message: str) -> None:
    mapping = Mapping.parse(f"json:\nfields:\n  id: a\n  {line}".encode(), "m.yaml")
    with pytest.raises(MappingError) as caught:
        Standardizer(mapping, MODEL)
    assert str(caught.value).startswith(f"m.yaml, line 4: {message}")


@pytest.mark.fault(63)
@pytest.mark.parametrize("name", ["m.yaml", "m.json"])
@pytest.mark.parametrize(
    "text",
    [
        b"a: b\n" * 200_000,
        b"{" + b'"a": "b",' * 100_000 + b'"c": 1}',
        b"[" * 2**20,
        b'{"a":' * 50_000,
        b'"' + b"\\u0041" * 40_000,
        b"{a," * 80_000,
        b"\n" * 2**18 + b"x: y",
        DIGITS.encode(),
        b'{"csv": {"skip": ' + DIGITS.encode() + b'}, "fields": {"id": "a"}}',
        b"- " * 100_000,
        b"? " * 100_000,
        b"&a " * 80_000,
    ],
)
def test_standard_63_a_mapping_that_is_large_or_deep_is_refused_with_its_line(text: bytes, name: str) -> None:
    with pytest.raises(MappingError, match=rf"^{name}, line \d+: "):
        Mapping.parse(text, name)


def test_standard_63_a_mapping_with_thousands_of_values_is_read() -> None:
    values = {f"product {number}": f"P{number}" for number in range(8_000)}
    text = json.dumps({"csv": {}, "fields": {"id": {"from": "a", "values": values}}}, indent=0).encode()
    assert Mapping.parse(text, "m.json").fields["id"].values == values


def test_standard_63_an_unknown_time_zone_is_rejected_with_its_line() -> None:
    for zone in ("localtime", "posix/Europe/Berlin", "../Europe/Berlin", "posixrules"):
        with pytest.raises(MappingError, match=r"m.yaml, line 4: .*time zone"):
            Standardizer(
                Mapping.parse(f"csv:\nfields:\n  id: a\n  moment: {{from: b, timezone: {zone}}}".encode(), "m.yaml"),
                MODEL,
            )
