"""CSV with comments, footers, repeated headers, surplus delimiters and differing names becomes exact rows."""

from __future__ import annotations

import pytest

from fanout_job.csv_lines import without_lines
from fanout_job.csv_quotes import well_quoted
from fanout_job.errors import CorruptObjectError, MappingError
from fanout_job.mapping import Mapping
from fanout_job.mapping_formats import Csv
from tests.unit.job.standardizing import Row, rows

FIELDS = "fields: {id: a, note: b}\n"
ONE, TWO = {"id": "1", "note": "x"}, {"id": "2", "note": "y"}


@pytest.mark.parametrize(
    ("options", "data", "expected"),
    [
        ("comment: '#'", "# made by\na,b\n1,x\n# in the middle, really\n2,y\n#end", [ONE, TWO]),
        ("comment: '#'", 'a,b\n1,"x\n# not a comment"\n2,y\n', [{"id": "1", "note": "x\n# not a comment"}, TWO]),
        ("comment: '#'", "a,b\r\n1,x\r\n# c\r\n2,y\r\n", [ONE, TWO]),
        ("comment: '#', quote: null", 'a,b\n1,x\n# "\n2,y\n', [ONE, TWO]),
        ("comment: //", "a,b\n1,x\n// c\n2,y\n", [ONE, TWO]),
        ("comment: '#'", 'a,b\n"#1",x\n', [{"id": "#1", "note": "x"}]),
        ("footer: Total", "a,b\n1,x\n2,y\nTotal,2\nend of file\n", [ONE, TWO]),
        ("footer: ['___', '(C)']", "a,b\n1,x\n2,y\n(C) 2024, x, y, z\n1,x\n", [ONE, TWO]),
        ("footer: Total", 'a,b\n1,"x\nTotal"\n', [{"id": "1", "note": "x\nTotal"}]),
        ("comment: '#', footer: Total", "a,b\n1,x\n# c\n2,y\nTotal,2\n# c\n1,x\n", [ONE, TWO]),
        ("repeated_header: true", "a,b\n1,x\na,b\n2,y\n", [ONE, TWO]),
        ("repeated_header: true", "a,b\na,x\n", [{"id": "a", "note": "x"}]),
        ("trailing_delimiter: true", "a,b\n1,x,\n2,y,\n", [ONE, TWO]),
        ("trailing_delimiter: true", "a,b,\n1,x,\n2,y,\n", [ONE, TWO]),
        (
            "trailing_delimiter: true",
            "a,b\n1,x,\n2,y,z\n3,x\n",
            [ONE, "sample, row 2: has text after its last delimiter", "sample, row 3: has 2 fields, not 3"],
        ),
        ("loose_names: true", " A ,B\n1,x\n", [ONE]),
        ("columns: [a, b], skip: 1, comment: '#'", "title\n# c\n1,x\n", [ONE]),
    ],
)
def test_a_shape_of_csv_is_read(options: str, data: str, expected: list[Row]) -> None:
    assert rows(f"csv: {{{options}}}\n{FIELDS}", data.encode()) == expected


def test_names_that_differ_only_in_case_and_blanks_are_the_same_or_twice() -> None:
    how = "csv: {loose_names: true}\nfields: {id: Order  number}"
    assert rows(how, "ORDER\u00a0Number \n1\n".encode()) == [{"id": "1"}]
    with pytest.raises(CorruptObjectError, match="its header has the column 'Order  number' twice"):
        rows(how, b"order number,ORDER NUMBER\n1,2\n")


def test_many_lines_after_the_footer_make_a_bad_object() -> None:
    how = f"csv: {{footer: Total}}\n{FIELDS}"
    with pytest.raises(CorruptObjectError, match="has more than 100 lines after the beginning of its footer"):
        rows(how, b"a,b\n1,x\nTotalEnergies,y\n" + b"2,y\n" * 101)


def test_a_footer_may_have_100_lines_after_its_first() -> None:
    how = f"csv: {{footer: Total}}\n{FIELDS}"
    assert rows(how, b"a,b\n1,x\nTotal,y\n" + b"2,y\n" * 100) == [ONE]


@pytest.mark.parametrize(
    ("pieces", "kept"),
    [
        (["# c\n1,x\n"], "1,x\n"),
        (["1,x\n# c,", "d\n2,y\n"], "1,x\n2,y\n"),
        (["1,x\n# c,", "d,", "e\n2,y\n"], "1,x\n2,y\n"),
        (["1,", "#x\n2,y\n"], "1,#x\n2,y\n"),
        (["1,", "#x\n# c\n2,y\n"], "1,#x\n2,y\n"),
        (["1,", "x\n# c\n2,y\n"], "1,x\n2,y\n"),
        (["1,x\n", "# c\n2,y\n"], "1,x\n2,y\n"),
        (["1,x\n", "Total\n2,", "y\n", "# c\n"], "1,x\n"),
    ],
)
def test_lines_are_removed_at_whichever_field_a_piece_ends(pieces: list[str], kept: str) -> None:
    how = Csv(comment="#", footer=("Total",))
    assert b"".join(without_lines(map(str.encode, pieces), how)) == kept.encode()


@pytest.mark.parametrize("place", range(1, 20))
def test_lines_are_removed_without_quotes_wherever_a_piece_ends(place: int) -> None:
    how = Csv(quote=None, comment="//", footer=("Total",))
    data = b"1,x\n// c\n2,y\nTotal,2\n3,z\n"
    pieces = well_quoted(iter([data[:place], data[place:]]), how, 100)
    assert b"".join(without_lines(pieces, how)) == b"1,x\n2,y\n"


def test_comments_are_removed_from_every_part_of_a_large_object() -> None:
    data = b"a,b\n" + b"".join(b'%d,"x\n# %d"\n# comment, %d\n' % (n, n, n) for n in range(60_000))
    found = rows(f"csv: {{comment: '#'}}\n{FIELDS}", data)
    assert found == [{"id": str(n), "note": f"x\n# {n}"} for n in range(60_000)]


def test_options_that_do_not_fit_are_rejected() -> None:
    with pytest.raises(MappingError, match="m.yaml, line 1: csv.comment is not a text without line breaks"):
        Mapping.parse(f"csv: {{comment: ''}}\n{FIELDS}".encode(), "m.yaml")
