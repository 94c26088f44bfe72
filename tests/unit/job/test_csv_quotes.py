"""CSV passes in pieces that end at the end of a field, unless its quotes are wrong."""

from __future__ import annotations

import pytest

from fanout_job.csv_quotes import dialect_of, well_quoted
from fanout_job.errors import CorruptObjectError
from fanout_job.mapping_formats import Csv

PLAIN, ESCAPED = Csv(), Csv(escape="\\")
UNQUOTED = Csv(quote=None, escape="\\")
UNCLOSED = "ends within quotes"
AFTER = "has text after a closing quote"


def checked(how: Csv, *pieces: bytes, longest: int = 100) -> list[bytes]:
    return list(well_quoted(iter(pieces), how, longest))


@pytest.mark.parametrize(
    ("how", "pieces", "expected"),
    [
        (Csv(quote=None), [b'a,"b', b'c\n"'], [b'a,"b', b"c\n", b'"']),
        (Csv(quote=None, escape=None), [b"a", b"b"], [b"a", b"b"]),
        (PLAIN, [], []),
        (PLAIN, [b"a,b\nc", b",d\n"], [b"a,b\n", b"c,d\n"]),
        (PLAIN, [b"a,b\rc", b",d\r"], [b"a,b\r", b"c,d\r"]),
        (PLAIN, [b"a,b\n\r"], [b"a,b\n\r"]),
        (PLAIN, [b"a,b\r\n"], [b"a,b\r\n"]),
        (PLAIN, [b'a,"b\n', b'c",d\n'], [b"a,", b'"b\nc",d\n']),
        (PLAIN, [b'a,"b""', b'c"\n'], [b"a,", b'"b""c"\n']),
        (PLAIN, [b'a,b"c\n', b'd"'], [b'a,b"c\n', b'd"']),
        (PLAIN, [b'"a"', b',"b"\n"c"'], [b'"a","b"\n', b'"c"']),
        (PLAIN, [b'"a', b'b"'], [b'"ab"']),
        (PLAIN, [b"a,", b"b"], [b"a,", b"b"]),
        (PLAIN, [b'"\n",x'], [b'"\n",', b"x"]),
        (PLAIN, [b"\xff,b\n"], [b"\xff,b\n"]),
        (Csv(escape='"'), [b'"a""b"\n'], [b'"a""b"\n']),
        (Csv(escape='"'), [b'"a",b'], [b'"a",', b"b"]),
        (PLAIN, [b'"a"\nb,c'], [b'"a"\n', b"b,c"]),
        (Csv(delimiter="|", quote="'"), [b"'a|b'|c\n"], [b"'a|b'|c\n"]),
        (ESCAPED, [b'"a\\"b",c\n', b"d"], [b'"a\\"b",c\n', b"d"]),
        (ESCAPED, [b"a\\", b",b,c\n"], [b"a\\,b,c\n"]),
        (ESCAPED, [b'"a\\', b'"",b\n'], [b'"a\\"",b\n']),
        (UNQUOTED, [b"a\\\nb,", b"c"], [b"a\\\nb,", b"c"]),
        (UNQUOTED, [b'"a\n'], [b'"a\n']),
    ],
)
def test_pieces_end_at_the_end_of_a_field(how: Csv, pieces: list[bytes], expected: list[bytes]) -> None:
    assert checked(how, *pieces) == expected


@pytest.mark.parametrize(
    ("how", "pieces", "message"),
    [
        (PLAIN, [b'"a'], UNCLOSED),
        (PLAIN, [b'a,"b\n'], UNCLOSED),
        (PLAIN, [b'a\n"b"c'], UNCLOSED),
        (PLAIN, [b'"a""'], UNCLOSED),
        (PLAIN, [b'"a"b\n'], AFTER),
        (PLAIN, [b'"a" ,b\n'], AFTER),
        (PLAIN, [b'"a"', b"b\n"], AFTER),
        (PLAIN, [b'"a"\n"b"c\nd\n'], AFTER),
        (ESCAPED, [b'"a\\"\n'], UNCLOSED),
        (ESCAPED, [b'"a\\'], UNCLOSED),
        (ESCAPED, [b"a\\"], UNCLOSED),
        (ESCAPED, [b'"a"\\,b\n'], AFTER),
        (UNQUOTED, [b"a\\"], UNCLOSED),
    ],
)
def test_wrong_quotes_make_a_bad_object(how: Csv, pieces: list[bytes], message: str) -> None:
    with pytest.raises(CorruptObjectError, match=message):
        checked(how, *pieces)


def test_a_field_may_be_as_long_as_the_maximum() -> None:
    for start, content in ((b"", b'"xxxxxxxxx'), (b"a,", b"xxxxxxxxxx")):
        assert b"".join(checked(PLAIN, start + content, b'"\n' if not start else b"\n", longest=10)).endswith(b"\n")
        with pytest.raises(CorruptObjectError, match="has a row of more than 10 bytes"):
            checked(PLAIN, start + content + b"x", b"\n", longest=10)


def test_only_a_dialect_with_quotes_and_without_escapes_has_text_that_needs_no_check() -> None:
    assert dialect_of(Csv(quote=None)) is None
    assert [(found := dialect_of(how)) and found.plain for how in (PLAIN, ESCAPED, UNQUOTED)] == [b'"', b"", b""]
