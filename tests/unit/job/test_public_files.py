"""Files of public test suites (tests/data/SOURCES.md) are read with exact values."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from fanout_job import standard
from fanout_job.mapping import Mapping
from fanout_job.model import Field, Model

PUBLIC = Path(__file__).parents[2] / "data" / "public"


def read(name: str, mapping: str, /, **types: str) -> list[Any]:
    """Return a file's rows as tuples of the fields in `types`, read by a model of these fields; errors as texts."""
    model = Model("public", {field: Field(kind, "") for field, kind in types.items()})
    with (PUBLIC / name).open("rb") as file:
        rows = list(standard.check(Mapping.parse(mapping.encode(), "m.yaml"), model, file, name))
    assert [number for number, _ in rows] == list(range(1, len(rows) + 1))
    return [str(row) if isinstance(row, Exception) else tuple(row[field] for field in types) for _, row in rows]


CARS = "fields: {year: year, make: make, model: model, comment: comment}"
GO = "Go get one now they are going fast"


def test_quoted_csv_with_a_blank_line_before_its_header_and_a_row_that_is_too_short() -> None:
    found = read("cars.csv", f"csv:\n{CARS}", year="integer", make="string", model="string", comment="string")
    assert found == [
        (2012, "Tesla", "S", "No comment"),
        (1997, "Ford", "E350", GO),
        "cars.csv, row 3: has 3 fields, not 5",
    ]


def test_bars_and_single_quotes() -> None:
    how = f"csv: {{delimiter: '|', quote: \"'\"}}\n{CARS}"
    found = read("cars-alternative.csv", how, year="integer", make="string", model="string", comment="string")
    assert found[0][:3] == (2012, "Tesla", "S")
    assert found[1:] == [(1997, "Ford", "E350", GO), (2015, "Chevy", "Volt", None)]


def test_tabs_and_thousands() -> None:
    how = "csv: {delimiter: \"\\t\"}\nthousands: ','\nfields: {make: make, price: price, comment: comment}"
    assert read("cars.tsv", how, make="string", price="decimal(9,2)", comment="string") == [
        ("Tesla", Decimal("80000.65"), None),
        ("Ford", Decimal("35000.00"), GO),
        ("Chevy", Decimal("5000.10"), None),
    ]


def test_british_dates() -> None:
    how = "csv:\nfields: {moment: {from: date, format: '%d/%m/%Y %H:%M', timezone: Europe/London}}"
    assert read("dates.csv", how, moment="timestamp") == [
        (datetime(2015, 8, 26, 17, 0, tzinfo=UTC),),
        (datetime(2014, 10, 27, 18, 30, tzinfo=UTC),),
        (datetime(2016, 1, 28, 20, 0, tzinfo=UTC),),
    ]


def test_semicolons_and_no_line_break_at_the_end() -> None:
    how = "csv: {delimiter: ';'}\nfields: {name: name, age: age, job: job}"
    found = read("people.csv", how, name="string", age="integer", job="string")
    assert found == [("Jorge", 30, "Developer"), ("Bob", 32, "Developer")]


def test_quotes_line_breaks_and_commas_within_quotes() -> None:
    found = read("quotes_and_newlines.csv", "csv:\nfields: {a: a, b: b}", a="integer", b="string")
    assert found == [(1, 'ha \n"ha" \nha'), (3, "4")]
    how = "csv:\nfields: {first: first, city: city, zip: zip}"
    assert read("comma_in_quotes.csv", how, first="string", city="string", zip="string") == [
        ("John", "Anytown, WW", "08123")
    ]
    assert read("utf8.csv", "csv:\nfields: {b: b, c: c}", b="integer", c="string") == [(2, "3"), (5, "ʤ")]


def test_json_lines() -> None:
    found = read("employees.json", "json_lines:\nfields: {n: name, s: salary}", n="string", s="decimal(9,2)")
    assert found == [(n, Decimal(s)) for n, s in (("Michael", 3000), ("Andy", 4500), ("Justin", 3500), ("Berta", 4000))]


def test_a_json_array_and_a_single_json_object() -> None:
    found = read("newlines.json", "json:\nfields: {a: a, b: b, c: c}", a="string", b="integer", c="string")
    assert found == [("1", 2, "3"), ("Once upon \na time", 5, "6"), ("7", 8, "9")]
    how = "json:\nfields: {phone: Contact Phone Number, where: Location Coordinates}"
    [(phone, where)] = read("location_coordinates.json", how, phone="integer", where="string")
    expected = json.loads((PUBLIC / "location_coordinates.json").read_bytes())
    assert (phone, where) == (1234567890, expected["Location Coordinates"])


HOUSES = """
xml: {record: House}
fields:
  {id: "@HOUSEID", number: "@HOUSENUM", code: "@POSTALCODE", okato: "@OKATO", start: "@STARTDATE", counter: "@COUNTER"}
"""


def test_gzipped_xml_of_a_public_register_with_two_byte_order_marks() -> None:
    types = {"id": "string", "number": "string", "code": "integer", "okato": "string", "start": "date"}
    found = read("fias_house.xml.gz", HOUSES, **types, counter="integer")
    text = gzip.decompress((PUBLIC / "fias_house.xml.gz").read_bytes()).decode("utf-8").lstrip("\ufeff")
    houses = ElementTree.fromstring(text).findall("House")  # noqa: S314 - a file of this repository
    assert len(found) == len(houses) == 37
    for row, house in zip(found, houses, strict=True):
        code = house.get("POSTALCODE")
        assert row == (
            house.get("HOUSEID"),
            house.get("HOUSENUM"),
            int(code) if code else None,
            house.get("OKATO"),
            date.fromisoformat(house.get("STARTDATE", "")),
            int(house.get("COUNTER", "")),
        )


@pytest.mark.parametrize(
    ("namespace", "expected"),
    [
        ("abc", [("bk101", "Gambardella, Matthew"), (None, None), (None, None)]),
        ("def", [(None, None), ("bk102", "Ralls, Kim"), (None, None)]),
    ],
)
def test_xml_with_namespaces(namespace: str, expected: list[Any]) -> None:
    how = f"xml: {{record: book, namespaces: {{n: {namespace}}}}}\nfields: {{id: '@n:id', author: 'n:author'}}"
    assert read("books-namespaces.xml", how, id="string", author="string") == expected


def test_xml_with_attributes_and_deep_elements() -> None:
    how = "xml: {record: ROW}\nfields: {lat: '@lat', time: time, rate: extensions/TrackPointExtension/hr}"
    assert read("gps-empty-field.xml", how, lat="decimal(11,8)", time="timestamp", rate="integer") == [
        (Decimal("59.91551800"), datetime(2013, 1, 24, 6, 18, 43, tzinfo=UTC), None),
        (Decimal("52.34534522"), datetime(2013, 1, 25, 6, 18, 43, tzinfo=UTC), 119),
    ]
