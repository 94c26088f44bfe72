"""Faults of sources and mappings seen in practice: each gives the right rows, or an error that names the fault."""

from __future__ import annotations

import csv
import gzip
import io
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from fanout_job import standard
from fanout_job.csv_source import BLOCK_BYTES
from fanout_job.errors import CorruptObjectError, MappingError, RecordError
from fanout_job.mapping import Mapping
from fanout_job.standardizer import Standardizer
from standardize import MODEL as ORDERS
from tests.unit.job.standardizing import MODEL, column, rows
from tests.unit.job.test_standard_files import KEY, Provider

FAULTS = Path(__file__).parents[2] / "data" / "faults"
XML = "xml: {record: r}\nfields: {id: a}\n"
CSV = "csv:\nfields: {id: a, note: b}\n"


def orders(name: str, mapping: str, data: bytes | None = None) -> list[Any]:
    """Return a file's rows: good rows as rows of the model, bad rows as texts."""
    text = (FAULTS / mapping).read_bytes()
    sample = io.BytesIO(data if data is not None else (FAULTS / name).read_bytes())
    found = standard.check(Mapping.parse(text, mapping), ORDERS, sample, name)
    return [str(row) if isinstance(row, Exception) else row for _, row in found]


# ---- 56: documents without records

S3_ERROR = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
HTML = b"<!DOCTYPE html><html><head><title>503</title></head><body>Service Unavailable</body></html>"
WITHOUT_RECORDS = [
    (XML, b"<x/>", "has no record: it has no element 'r'"),
    (XML, b"", "has no record"),
    (XML, S3_ERROR, "has no record"),
    (XML, HTML, "has no record"),
    (XML, b"<x xmlns='urn:orders:v2'><r><a>1</a></r></x>", "has no record"),
    (XML, b"<x><R><a>1</a></R></x>", "has no record"),
    (CSV, b"", "has no record"),
    (CSV, b"a,b\n", "has no record"),
    (CSV, gzip.compress(b""), "has no record"),
    (CSV.replace("csv:", "csv: {columns: [a, b]}"), b"\n\n", "has no record"),
    ("json:\nfields: {id: a}", b"[]", "has no record"),
    ("json:\nfields: {id: a}", b" ", "has no record"),
    ("json: {records: r}\nfields: {id: a}", b'{"r": []}', "has no record"),
    ("json_lines:\nfields: {id: a}", b"\n", "has no record"),
]


@pytest.mark.fault(56)
@pytest.mark.parametrize(("how", "data", "message"), WITHOUT_RECORDS)
def test_standard_56_a_document_without_a_record_is_bad_unless_the_mapping_allows_it(
    how: str, data: bytes, message: str
) -> None:
    with pytest.raises(CorruptObjectError, match=f"sample: {message}.*set empty: allowed in its mapping"):
        rows(how, data)
    assert rows(f"empty: allowed\n{how}", data) == []


@pytest.mark.fault(56)
def test_standard_56_a_changed_namespace_is_a_bad_object() -> None:
    assert [row["order_id"] for row in orders("orders.xml", "orders-xml.yaml")] == ["1", "2"]
    with pytest.raises(CorruptObjectError, match="namespace-added.xml: has no record: it has no element 'r'"):
        orders("namespace-added.xml", "orders-xml.yaml")


@pytest.mark.fault(56)
@pytest.mark.parametrize("on_bad_record", ["fail", "quarantine"])
@pytest.mark.parametrize("body", [S3_ERROR, HTML, b"", b"<x xmlns='urn:v2'><r><a>1</a></r></x>"])
def test_standard_56_the_rows_of_the_source_are_kept_and_the_object_is_named(body: bytes, on_bad_record: str) -> None:
    acme = Provider(Mapping.parse(XML.encode(), "m.yaml"), on_bad_record)
    acme.run(acme.put(b"<x><r><a>1</a></r></x>"))
    tally = acme.run(acme.put(body))
    assert acme.ids() == ["1"]
    if on_bad_record == "fail":
        assert [failure.type for failure in tally.failures] == ["CorruptObjectError"]
        assert tally.failures[0].object == f"s3://data/{KEY}"
    else:
        assert (tally.quarantined, tally.failures) == (1, [])
        assert acme.s3.objects[f"quarantine/provider=acme/run-2/{KEY}"][0] == body


@pytest.mark.fault(56)
def test_standard_56_a_document_with_only_bad_rows_has_records() -> None:
    assert rows(CSV, b"a,b\n,x\n") == ["sample, row 1: id has no value, and the model requires one"]
    assert rows(CSV, b"a,b\n1\n") == ["sample, row 1: has 1 fields, not 2"]
    assert rows(CSV, b"a,b\n1,x\n", transform=lambda record: None) == []


def test_standard_56_empty_is_allowed_or_bad() -> None:
    with pytest.raises(MappingError, match=r"m.yaml, line 1: empty is not 'allowed' or 'bad'"):
        Mapping.parse(b"empty: yes\ncsv:\nfields: {id: a}", "m.yaml")


# ---- 57: encodings of XML

JAPANESE, CHINESE, KOREAN = "日本", "中国", "한국"
ENCODED = [
    ("Shift_JIS", "shift_jis", JAPANESE),
    ("EUC-JP", "euc_jp", JAPANESE),
    ("ISO-2022-JP", "iso2022_jp", JAPANESE),
    ("GB2312", "gb2312", CHINESE),
    ("gbk", "gbk", CHINESE),
    ("GB18030", "gb18030", "中国𠀀"),
    ("Big5", "big5", "中國"),
    ("EUC-KR", "euc_kr", KOREAN),
    ("UTF-7", "utf-7", JAPANESE),
    ("windows-1252", "cp1252", "€5"),
    ("ISO-8859-15", "iso8859-15", "€5"),
    ("KOI8-R", "koi8-r", "заказ"),
    ("utf-8", "utf-8", JAPANESE),
    ("UTF-16", "utf-16", JAPANESE),
    ("UTF-16", "utf-16-le", JAPANESE),
    ("UTF-16", "utf-16-be", JAPANESE),
    ("UTF-32", "utf-32", JAPANESE),
]


@pytest.mark.fault(57)
@pytest.mark.parametrize(("declared", "codec", "text"), ENCODED)
def test_standard_57_xml_of_any_encoding_is_read(declared: str, codec: str, text: str) -> None:
    document = f"<?xml version='1.0' encoding='{declared}'?><x>{f'<r><a>{text}</a></r>' * 3}</x>"
    data = document.encode(codec)
    if codec == "utf-7":  # its declaration must be readable as ASCII
        data = data.replace(b"+ADw-", b"<").replace(b"+AD4-", b">")
    assert rows(XML, data) == [{"id": text}] * 3


def test_standard_57_a_file_in_shift_jis_is_read() -> None:
    [row] = orders("shift-jis.xml", "shift-jis.yaml")
    assert row["order_id"] == JAPANESE


@pytest.mark.fault(57)
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"<?xml version='1.0' encoding='klingon'?><x/>", "declares the encoding 'klingon', which Python does not"),
        (b"<?xml version='1.0' encoding='base64'?><x/>", "declares the encoding 'base64', which Python does not"),
        (b"<?xml version='1.0' encoding='idna'?><x/>", "declares the encoding 'idna', which Python does not know"),
        (b"<?xml version='1.0' encoding='\xff'?><x/>", "declares the encoding '\ufffd', which Python does not know"),
        (b"<?xml version='1.0' encoding=''?><x/>", "declares the encoding '', which Python does not know"),
        (b"<?xml version='1.0' encoding='Shift_JIS'?><x><r><a>\x93</a></r></x>", "is not Shift_JIS text"),
        (b"<?xml version='1.0' encoding='Big5'?><x><r><a>\xff\xff</a></r></x>", "is not Big5 text"),
        (b"<?xml version='1.0' encoding='us-ascii'?><x><r><a>\xe9</a></r></x>", "is not us-ascii text"),
        (b"<?xml version='1.0' encoding='utf-16'?><x><r><a>1</a></r></x>", "is not"),
        (b"\x4c\x6f\xa7\x94\x93\x40\xa5\x85\x99", "is not XML"),
    ],
)
def test_standard_57_xml_in_no_encoding_or_another_than_it_declares_is_a_bad_object(data: bytes, message: str) -> None:
    with pytest.raises(CorruptObjectError, match=f"sample.*: {message}"):
        rows(XML, data)


@pytest.mark.fault(57)
def test_standard_57_the_other_objects_are_written() -> None:
    acme = Provider(Mapping.parse(XML.encode(), "m.yaml"), "quarantine")
    good = acme.put(b"<x><r><a>1</a></r></x>", f"{KEY}1")
    bad = acme.put(b"<?xml version='1.0' encoding='x-unknown'?><x><r><a>2</a></r></x>", f"{KEY}2")
    last = acme.put("<?xml version='1.0' encoding='EUC-JP'?><x><r><a>日</a></r></x>".encode("euc_jp"), f"{KEY}3")
    tally = acme.run(good, bad, last)
    assert (tally.objects, tally.rows, tally.quarantined, tally.failures) == (3, 2, 1, [])
    assert acme.rows(MODEL.output_key("acme", f"{KEY}3"))[0]["id"] == "日"


# ---- 58: escapes and quotes

QUOTED = [{"order_id": str(number), "customer": text} for number, text in enumerate(('x "y" z', "p,q", "r"), 1)]


@pytest.mark.fault(58)
def test_standard_58_a_quote_that_is_its_own_escape_is_a_doubled_quote() -> None:
    found = orders("escape-is-quote.csv", "escape-is-quote.yaml")
    assert [{name: row[name] for name in ("order_id", "customer")} for row in found] == QUOTED
    how = 'csv: {quote: "\'", escape: "\'"}\nfields: {id: a, note: b}'
    assert rows(how, b"a,b\n1,'it''s'\n2,x\n") == [{"id": "1", "note": "it's"}, {"id": "2", "note": "x"}]


ESCAPED = "csv: {escape: '\\'}\nfields: {id: a, note: b}"
UNCLOSED = [
    b'a,b\n1,x\n2,"y\n3,z\n4,w\n',
    b'a,b\n1,x\n2,"y\n3,z\n4,"w\n5,v\n',
    b'a,b\n1,x\n2,"y\n3,"z"\n',
    b'a,b\n1,"x" \n2,y\n',
    b'a,b\n1,5" disk\n2,"y\n3,z\n',
    b'a,b\n"1,x\n2,y\n',
    b'a,b\n1,"',
    b'a,b\r\n1,"x\r\n2,"y"\r\n',
]


@pytest.mark.fault(58)
@pytest.mark.parametrize("escape", ["", "escape: '\"'", "escape: '\\'", "escape: '^'"])
@pytest.mark.parametrize("data", UNCLOSED)
def test_standard_58_a_quote_that_is_missing_makes_a_bad_object_with_any_escape(data: bytes, escape: str) -> None:
    with pytest.raises(CorruptObjectError, match="ends within quotes|has text after a closing quote"):
        rows(f"csv: {{{escape}}}\nfields: {{id: a, note: b}}", data)


def test_standard_58_a_quote_that_is_missing_in_a_file_with_an_escape() -> None:
    with pytest.raises(CorruptObjectError, match="unclosed-quote.csv, row 1: ends within quotes"):
        orders("unclosed-quote.csv", "unclosed-quote.yaml")


@pytest.mark.fault(58)
def test_standard_58_a_quote_that_is_missing_far_from_the_end_makes_a_bad_object() -> None:
    lines = [f'{number},"text {number}"' for number in range(300_000)]
    lines[100] = '100,"text 100'
    with pytest.raises(CorruptObjectError, match="has text after a closing quote"):
        rows(CSV, ("a,b\n" + "\n".join(lines) + "\n").encode())


@pytest.mark.fault(58)
@pytest.mark.parametrize(
    ("how", "data", "expected"),
    [
        (CSV, b'a,b\n1,5" disk\n2,6" disk\n3,7"\n', ['5" disk', '6" disk', '7"']),
        (CSV, b'a,b\n1,""\n2,""""\n3,"x"""\n', [None, '"', 'x"']),
        (
            "csv: {escape: '\\'}\nfields: {id: a, note: b}",
            b'a,b\n1,"x\\"y"\n2,\\"\n3,"a""b\\\\"\n',
            ['x"y', '"', 'a"b\\'],
        ),
        (
            "csv: {escape: '\\', quote: null}\nfields: {id: a, note: b}",
            b'a,b\n1,"\\,\n2,x\\\ny\n3,z',
            ['",', "x\ny", "z"],
        ),
    ],
)
def test_standard_58_correct_quotes_and_escapes_are_read(how: str, data: bytes, expected: list[str]) -> None:
    assert [row.get("note") for row in rows(how, data) if isinstance(row, dict)] == expected


# ---- 59: block borders


def with_field_at(border: int, field: bytes) -> tuple[bytes, list[list[str]]]:
    """Return a CSV whose quoted field, in some row, begins its second byte right after `border` bytes of rows."""
    body, number = bytearray(), 0
    while len(body) < border - 400:
        number += 1
        body += b"%d,2024-01-01,x,1,1.00,EUR\r\n" % number
    start = b'%d,2024-01-01,"' % (number + 1)
    body += start + b"A" * (border - 1 - len(body) - len(start)) + field + b'",1,1.00,EUR\r\n'
    for more in range(2, 5):
        body += b"%d,2024-01-01,y,1,1.00,EUR\r\n" % (number + more)
    data = b"id,at,name,q,p,cur\r\n" + bytes(body)
    return data, list(csv.reader(io.StringIO(data.decode(), newline="")))[1:]


@pytest.mark.fault(59)
@pytest.mark.parametrize("field", [b"\r\nsecond line", b"\r\r\n", "😀".encode(), b'""quoted""'])
@pytest.mark.parametrize("shift", [-1, 0, 1])
def test_standard_59_a_field_split_at_a_block_border_is_read_exactly(field: bytes, shift: int) -> None:
    data, expected = with_field_at(BLOCK_BYTES + shift, field)
    mapping = Mapping.parse((FAULTS / "crlf-on-block-border.yaml").read_bytes(), "m.yaml")
    tables = list(Standardizer(mapping, ORDERS).rows(iter([data]), refused))
    ids = [text for table in tables for text in table["order_id"].to_pylist()]
    customers = [text for table in tables for text in table["customer"].to_pylist()]
    assert ids == [row[0] for row in expected]
    assert [n for n, row in enumerate(expected) if row[2] != customers[n]] == []


def refused(error: RecordError, content: bytes | None) -> None:
    raise error


@pytest.mark.fault(59)
def test_standard_59_a_single_carriage_return_ends_a_row_even_at_a_block_border() -> None:
    lines = [f"{number},{'x' * 11}" for number in range(100_000, 400_000)]
    data = ("a,b\r" + "\r".join(lines)).encode()
    assert len(data) > 2 * BLOCK_BYTES
    assert [row["id"] for row in rows(CSV, data) if isinstance(row, dict)] == [line[:6] for line in lines]


# ---- 60: times

FORMAT = "format: '{}', timezone: Europe/Berlin"
HTTP = "%a, %d %b %Y %H:%M:%S %Z"


@pytest.mark.fault(60)
@pytest.mark.parametrize(
    ("form", "text", "value"),
    [
        (HTTP, "Mon, 01 Jul 2024 12:00:00 GMT", datetime(2024, 7, 1, 12, tzinfo=UTC)),
        (HTTP, "Mon, 01 Jul 2024 12:00:00 UTC", datetime(2024, 7, 1, 12, tzinfo=UTC)),
        (HTTP, "Mon, 01 Jul 2024 12:00:00 CEST", "bad"),
        (HTTP, "Mon, 01 Jul 2024 12:00:00 EST", "bad"),
        (HTTP, "Tue, 01 Jul 2024 12:00:00 GMT", "bad"),
        ("%A %d.%m.%Y", "monday 1.7.2024", datetime(2024, 6, 30, 22, tzinfo=UTC)),
        ("%A %d.%m.%Y", "sunday 1.7.2024", "bad"),
        ("%Y%m%d", "20240301", datetime(2024, 2, 29, 23, tzinfo=UTC)),
        ("%Y%m%d", "202431", "bad"),
        ("%Y%m%d", "2024311", "bad"),
        ("%d%m%Y", "1112024", "bad"),
        ("%Y-%m-%d %H%M", "2024-3-1 130", "bad"),
        ("%Y-%m-%d %H%M", "2024-3-1 0130", datetime(2024, 3, 1, 0, 30, tzinfo=UTC)),
        ("%Y%m%d%H%M%S%f", "20240301120000123", datetime(2024, 3, 1, 11, 0, 0, 123_000, UTC)),
        ("%Y-%j", "2024-366", datetime(2024, 12, 30, 23, tzinfo=UTC)),
        ("%Y-%j", "2023-366", "bad"),
        ("%d.%m.%Y", "01.01.0000", "bad"),
        ("%d.%m.%Y", "01.01.10000", "bad"),
        ("%d.%m.%Y", "٠١.٠١.٢٠٢٤", "bad"),
        ("%Y-%m-%d %H:%M", "2024-10-27 02:30", "bad"),
        ("%Y-%m-%d %H:%M", "2024-03-31 02:30", "bad"),
        ("%Y-%m-%d %H:%M%z", "2024-10-27 02:30+02:00", datetime(2024, 10, 27, 0, 30, tzinfo=UTC)),
        ("%Y-%m-%d %H:%M%z", "2024-10-27 02:30+0100", datetime(2024, 10, 27, 1, 30, tzinfo=UTC)),
        ("%Y-%m-%d %H:%M%z", "2024-10-27 02:30Z", datetime(2024, 10, 27, 2, 30, tzinfo=UTC)),
        ("%Y-%m-%d %H:%M%z", "9999-12-31 23:59-05:00", "bad"),
        ("%Y-%m-%d %H:%M%z", "0001-01-01 00:00+05:00", "bad"),
        ("%Y-%m-%d %H:%M:%S", "2016-12-31 23:59:60", "bad"),
        ("%Y-%m-%d %I:%M %p", "2024-03-01 12:05 am", datetime(2024, 2, 29, 23, 5, tzinfo=UTC)),
        ("%Y-%m-%d %I:%M %p", "2024-03-01 13:05 PM", "bad"),
    ],
)
def test_standard_60_a_time_is_the_right_instant_or_makes_a_bad_row(form: str, text: str, value: Any) -> None:
    quoted = text.replace('"', '""')
    assert column("moment", [quoted], FORMAT.format(form)) == [value]


@pytest.mark.fault(60)
@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("day", "0000-01-01", "bad"),
        ("day", "10000-01-01", "bad"),
        ("day", "0001-01-01", date(1, 1, 1)),
        ("day", "9999-12-31", date(9999, 12, 31)),
        ("moment", "9999-12-31T23:59:59-05:00", "bad"),
        ("moment", "9999-12-31T23:59:59.999999Z", datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC)),
        ("moment", "0000-12-31T23:59:59Z", "bad"),
        ("moment", "0001-01-01T00:00:00+05:00", "bad"),
        ("moment", "0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
    ],
)
def test_standard_60_years_from_1_to_9999_are_read_and_others_make_bad_rows(field: str, text: str, value: Any) -> None:
    assert column(field, [text]) == [value]


def test_standard_60_a_date_with_an_offset_is_the_date_that_is_written() -> None:
    assert column("day", ["2024-03-01 00:30+02:00"], "format: '%Y-%m-%d %H:%M%z'") == [date(2024, 3, 1)]


@pytest.mark.parametrize(("name", "row"), [("year-0", "delivery_date"), ("year-10000", "ordered_at")])
def test_standard_60_a_year_out_of_range_makes_a_bad_row_even_with_a_transform(name: str, row: str) -> None:
    [found] = orders(f"{name}.csv", f"{name}.yaml")
    assert found.startswith(f"{name}.csv, row 1: {row} (from ")
    mapping = Mapping.parse((FAULTS / f"{name}.yaml").read_bytes(), "m.yaml")
    with (FAULTS / f"{name}.csv").open("rb") as sample:
        [(_, error)] = standard.check(mapping, ORDERS, sample, "a.csv", lambda record: record)
    assert str(error).startswith(f"a.csv, row 1: {row} (from ")


def test_standard_60_a_file_with_zone_names_is_read() -> None:
    [row] = orders("time-zone-name.csv", "time-zone-name.yaml")
    assert row["ordered_at"] == datetime(2024, 7, 1, 12, tzinfo=UTC)


FORMATS = "%d %d|%H:%M|%d.%m.|%Y-%m-%d %I:%M|%Y-%m-%d %H:%M %p|%Y-%W|%Y %U %w|%c|%x|%s|%G-%V-%u|%Y-%m-%d %:z|%|%Q|%-d"
MORE_FORMATS = "%Y-%m-%d %M|%Y-%y-%m-%d|%Y-%m-%b-%d|%Y-%j-%d|%Y-%m-%d %z%H|%Y-%m-%d %z %Z|%Y-%m-%d %H:%M:%S.%f%d"


@pytest.mark.fault(60)
@pytest.mark.parametrize("form", [*FORMATS.split("|"), *MORE_FORMATS.split("|"), "%Y%m%d" + "x" * 100])
def test_standard_60_a_format_that_gives_no_unambiguous_instant_is_refused_with_its_line(form: str) -> None:
    with pytest.raises(MappingError, match=r"m.yaml, line 3: fields.moment.format is not a format of Python"):
        Mapping.parse(f"csv:\nfields:\n  moment: {{from: a, format: '{form}'}}".encode(), "m.yaml")
