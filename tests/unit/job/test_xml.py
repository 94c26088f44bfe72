"""XML becomes exact rows, or errors that name object and row; nothing is fetched."""

from __future__ import annotations

from decimal import Decimal

import pytest

from fanout_job.errors import CorruptObjectError, MappingError
from fanout_job.mapping import Mapping, Xml
from fanout_job.xml_source import MAX_DEPTH, xml_blocks
from tests.unit.job.standardizing import Row, rows, sources

PLAIN = "xml: {record: thing}\nfields: {id: '@id', price: cost/@amount, note: text/b}\n"
ONE = {"id": "1", "price": Decimal("12.50"), "note": "a"}
THING = b'<thing id="1"><cost amount="12.50"/><text>x<b>a</b></text></thing>'
SPACES = "xml: {record: n:thing, namespaces: {n: urn:n, m: urn:m}}\nfields: {id: '@m:id', note: m:text}\n"


@pytest.mark.parametrize(
    ("how", "data", "expected"),
    [
        (PLAIN, b"<all>" + THING * 2 + b"</all>", [ONE, ONE]),
        (PLAIN, b"<all><other><thing/></other></all>".replace(b"<thing/>", THING), [ONE]),
        (PLAIN, THING, [ONE]),
        (PLAIN, b"<all/>", []),
        (PLAIN, b"", []),
        (
            PLAIN,
            b'<a><thing id="1"><text><b> x <!-- y -->&lt;<![CDATA[<z>]]></b></text></thing></a>',
            [{"id": "1", "note": " x <<z>"}],
        ),
        (PLAIN, b'<a><thing id="1"><cost amount=" 1\n"/></thing></a>', [{"id": "1", "price": Decimal("1.00")}]),
        (PLAIN, b'<a><thing id="1"><text><b/></text></thing></a>', [{"id": "1"}]),
        (PLAIN, '<?xml version="1.0" encoding="ISO-8859-1"?><thing id="ü"/>'.encode("latin-1"), [{"id": "ü"}]),
        (PLAIN, '<?xml version="1.0" encoding="UTF-16"?><thing id="ü"/>'.encode("utf-16"), [{"id": "ü"}]),
        (PLAIN, b'<!DOCTYPE thing SYSTEM "http://127.0.0.1:9/x.dtd"><thing id="1"/>', [{"id": "1"}]),
        (
            SPACES,
            b'<x:thing xmlns:x="urn:n" xmlns="urn:m" xmlns:y="urn:m" y:id="1"><text>a</text></x:thing>',
            [{"id": "1", "note": "a"}],
        ),
        (SPACES, b'<thing xmlns:y="urn:m" y:id="1"/>', []),
        (
            "xml: {record: a, namespaces: {m: urn:m}}\nfields: {id: \"m:b[@m:k='x']/@v\"}",
            b'<a xmlns:y="urn:m"><y:b k="x" v="1"/><y:b y:k="x" v="2"/></a>',
            [{"id": "2"}],
        ),
        (
            SPACES.replace("n: urn:n", '"": urn:n').replace("n:thing", "thing"),
            b'<thing xmlns="urn:n" xmlns:y="urn:m" y:id="1"/>',
            [{"id": "1"}],
        ),
        ("xml: {record: a}\nfields: {id: .}", b"<x><a>1</a><a>2</a></x>", [{"id": "1"}, {"id": "2"}]),
        ("xml: {record: a}\nfields: {id: b}\nnulls: []", b"<a><b/></a>", [{"id": ""}]),
        (
            "xml: {record: a}\nfields: {id: '@i', note: b}\nnulls: []",
            b'<a i="1" xmlns:x="http://www.w3.org/2001/XMLSchema-instance"><b x:nil="true"/></a>',
            [{"id": "1"}],
        ),
        (
            "xml: {record: a}\nfields: {id: '@i', note: b}",
            b'<a i="1" xmlns:x="http://www.w3.org/2001/XMLSchema-instance"><b>y</b><b x:nil="true"/></a>',
            [{"id": "1", "note": "y"}],
        ),
        (
            "xml: {record: a}\nfields: {id: b, note: b/c}",
            b'<a xmlns:x="http://www.w3.org/2001/XMLSchema-instance"><b>y</b><b x:nil="true"><c>z</c></b></a>',
            [{"id": "y", "note": "z"}],
        ),
    ],
)
def test_a_document_is_read_exactly(how: str, data: bytes, expected: list[Row]) -> None:
    assert rows(how if expected else f"empty: allowed\n{how}", data) == expected


def test_a_duplicate_field_makes_a_bad_row_and_the_next_row_is_good() -> None:
    twice = THING.replace(b"<b>a</b>", b"<b>a</b><b>c</b>")
    assert rows(PLAIN, b"<all>" + twice + THING + b"</all>") == ["sample, row 1: has 'text/b' more than once", ONE]


BOMB = b'<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]><a>&b;</a>'


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (BOMB, "entities, which are not allowed"),
        (b'<!DOCTYPE a [<!ENTITY a SYSTEM "file:///etc/passwd">]><a>&a;</a>', "entities, which are not allowed"),
        (b'<!DOCTYPE a [<!ENTITY % a SYSTEM "http://127.0.0.1:9/a"> %a;]><a/>', "entities, which are not allowed"),
        (b'<!DOCTYPE a SYSTEM "http://127.0.0.1:9/a"><a>&b;</a>', "entities, which are not allowed"),
        (b"<a>&b;</a>", "is not XML: undefined entity"),
        (b"<a>" * (MAX_DEPTH + 1), "is nested too deeply"),
        (THING[:-3], "is not XML: unclosed token in line 1"),
        (b"<a>" + THING, "is not XML: no element found in line 1"),
        (THING * 2, "is not XML: junk after document element in line 1"),
        (b"<a>\xff</a>", "is not XML: not well-formed .invalid token. in line 1"),
        (b'<thing id="' + b"x" * 2**25 + b'"/>', "has a tag of more than"),
        (b"<thing><text><b>" + b"x" * 2**25 + b"</b></text></thing>", "has a record of more than"),
    ],
)
def test_the_error_of_a_forbidden_or_unreadable_document_says_why(data: bytes, message: str) -> None:
    with pytest.raises(CorruptObjectError, match=message):
        rows(PLAIN, data)


def test_a_prefix_without_a_namespace_in_the_mapping_is_named() -> None:
    with pytest.raises(
        MappingError, match=r"m.yaml, line 2: note: 'q:text' is not a path: xml.namespaces has no prefix 'q'"
    ):
        rows(PLAIN.replace("text/b", "q:text"), b"<a/>")


@pytest.mark.parametrize(
    ("path", "inner", "note"),
    [("c", "<c>y</c><c>z</c>", "null"), ("c/d", "<c><d>y</d><d>z</d></c>", '"x"')],
)
def test_the_text_of_a_bad_row_has_its_fields(path: str, inner: str, note: str) -> None:
    found: list[bytes | None] = []
    data = f"<thing id='1'><b>x</b>{inner}</thing>".encode()
    list(xml_blocks(iter([data]), Xml("thing"), sources("@id", path, "b"), lambda _, text: found.append(text)))
    assert found == [f'{{\n  "@id": "1",\n  "{path}": null,\n  "b": {note}\n}}'.encode()]


@pytest.mark.parametrize("size", [1, 7, 64, 4_096])
def test_the_records_before_damage_are_read_for_any_chunk_size(size: int) -> None:
    data = b"<all>" + THING * 20 + b"<thing"
    pieces = iter([data[start : start + size] for start in range(0, len(data), size)])
    found = []
    with pytest.raises(CorruptObjectError, match="is not XML: unclosed token in line 1") as caught:
        found.extend(block for block in xml_blocks(pieces, Xml("thing"), sources("@id"), lambda error, content: None))
    assert sum(len(block.numbers) for block in found) == 20
    assert caught.value.line == 21


def test_a_mapping_of_xml_needs_the_name_of_its_record_element() -> None:
    with pytest.raises(MappingError, match="m.yaml, line 1: xml lacks 'record'"):
        Mapping.parse(b"xml: {}\nfields: {id: a}", "m.yaml")
