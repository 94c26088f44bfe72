"""Each check of a mapping's values accepts exactly the values that it describes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fanout_job import mapping_checks as checks
from fanout_job.mapping_checks import MAX_FORMATS, MAX_PLACE_DIGITS
from fanout_job.paths import parsed_path


def xml_path(text: str) -> None:
    checks.xml_path(parsed_path(text), {"o": "urn:o"})


def json_path(text: str) -> None:
    checks.json_path(parsed_path(text))


VALID: list[tuple[Callable[[Any], None], list[Any]]] = [
    (checks.one_of("first", "last"), ["first", "last"]),
    (checks.csv_sign, [";", "\t", " ", "a", "\x7f"]),
    (checks.number_sign, [",", " ", "'", "\u00a0", "_"]),
    (checks.encoding, ["utf-8", "latin-1", "cp1252", "utf-16"]),
    (checks.formats, [(), ("excel", "epoch", "%Y-%m-%d"), ("epoch",) * MAX_FORMATS]),
    (checks.time_zone, ["UTC", "Europe/Berlin"]),
    (checks.record_path, ["", "data", "data/*/lines"]),
    (checks.header_path, ["first", "/meta/columns/*/name"]),
    (checks.element_path, ["line", "order/line", "o:line"]),
    (json_path, ["a/b", "1" * MAX_PLACE_DIGITS, "x" * (MAX_PLACE_DIGITS + 1)]),
    (xml_path, ["a/@b", "o:a/@o:b", "a[o:b='x']/c", "a[@o:b='x']/@c", "."]),
    (checks.units, [(), ("\u20ac", "EUR", "per cent")]),
    (checks.negatives, [(), ("parentheses",), ("trailing", "parentheses")]),
    (checks.line_start, ["#", "//", " "]),
    (checks.line_starts, [(), ("Total", "(C)")]),
]
INVALID: list[tuple[Callable[[Any], None], str, list[Any]]] = [
    (checks.one_of("first", "last"), "^'first' or 'last'$", ["", "middle"]),
    (checks.csv_sign, "^one ASCII character", ["", ";;", "\u20ac", "\r", "\n", "\0"]),
    (checks.number_sign, "^one character other than", ["", "..", "1", "e", "+", "-", "\n", "\0"]),
    (checks.encoding, "^a text encoding that Python knows$", ["klingon", "base64", "idna"]),
    (checks.formats, "^a list of at most 20 formats$", [("epoch",) * (MAX_FORMATS + 1)]),
    (checks.formats, "^a format of Python's strptime", [("epoch", "%Q"), ("Epoch",)]),
    (checks.time_zone, "^a time zone that this machine knows$", ["localtime", "Mars", "../UTC", "Europe"]),
    (checks.record_path, "^a path to the records", ["/data", "../data", "a/key()", "a[b='c']", "a/b[c='d']"]),
    (checks.header_path, "^'first' or a path from the document", ["meta/columns", "last"]),
    (checks.element_path, "^the name of an element", ["/a", "../a", "a/key()", ".", "a/*", "a[b='c']", "a/@b"]),
    (json_path, "^a path: it has a number", ["a/" + "1" * (MAX_PLACE_DIGITS + 1)]),
    (xml_path, r"^a path in XML, which has neither \* nor key\(\)$", ["a/*/b", "a/key()"]),
    (xml_path, "^a path in XML: an attribute may only be its last step$", ["@a/b", "a/@b/c"]),
    (xml_path, "^a path: xml.namespaces has no prefix 'p'$", ["p:a", "a/@p:b", "a[p:b='x']", "a[@p:b='x']"]),
    (
        checks.units,
        "^a list of texts without digits, signs",
        [("",), (" ",), ("\u20ac", "m2"), ("+",), ("-",), ("p.a",), (",",), ("(c",), (")",)],
    ),
    (checks.negatives, "^'parentheses' or 'trailing'$", [("brackets",), ("trailing", "")]),
    (checks.line_start, "^a text without line breaks and NUL$", ["", "a\n", "\rb", "\0"]),
    (checks.line_starts, "^a text without line breaks and NUL$", [("a", "")]),
]


@pytest.mark.parametrize(("check", "value"), [(check, value) for check, values in VALID for value in values])
def test_a_valid_value_is_accepted(check: Callable[[Any], None], value: Any) -> None:
    check(value)


@pytest.mark.parametrize(
    ("check", "says", "value"), [(check, says, value) for check, says, values in INVALID for value in values]
)
def test_the_error_of_an_invalid_value_describes_the_valid_ones(
    check: Callable[[Any], None], says: str, value: Any
) -> None:
    with pytest.raises(ValueError, match=says):
        check(value)
