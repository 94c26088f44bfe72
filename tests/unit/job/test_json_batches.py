"""Which records are read together, column by column, and which ones are read one by one."""

from __future__ import annotations

import pytest

from contract.nesting import MAX_DEPTH
from fanout_job.json_batch import MOST_RECORDS, Batch, lines_of, scanned
from fanout_job.json_records import Decoder
from fanout_job.json_source import Records
from fanout_job.mapping_formats import JsonLines
from fanout_job.paths import Source
from tests.unit.job.standardizing import sources

LONGEST = 5_000
DECODER = Decoder(())


def nested(levels: int, sign: str = "[") -> str:
    """An object with that many levels of objects, or of arrays within it."""
    opened, closed = ('{"a":', "}") if sign == "{" else ("[", "]")
    return '{"a":' + opened * (levels - 1) + "1" + closed * (levels - 1) + "}"


def texts(batch: Batch | None) -> list[str] | None:
    """The text of each object."""
    if batch is None:
        return None
    assert len(batch.values) == len(batch.starts)
    return [batch.text[start:end] for start, end in zip(batch.starts, batch.ends, strict=True)]


def read(text: str, start: int = 0) -> Batch:
    """Return the objects from the first one at `start`."""
    batch = scanned(DECODER, text, start, LONGEST)
    assert batch is not None
    return batch


@pytest.mark.parametrize(
    ("text", "start", "objects"),
    [
        ('{"a":1},{"b":2}]', 0, ['{"a":1}', '{"b":2}']),
        ('[ {"a":1} ,\r\n\t{"b":2} ]', 2, ['{"a":1}', '{"b":2}']),
        ('{"a":1}{"b":2}', 0, ['{"a":1}']),
        ('{"a":1},[{"b":2}]', 0, ['{"a":1}']),
        ('{"a":1},{"b":', 0, ['{"a":1}']),
        ('{"a":1},{"b":NaN}', 0, ['{"a":1}']),
        ('{"a":1},{"b":' + "[" * 100_000, 0, ['{"a":1}']),
        ('{"a":', 0, None),
        ('{"a"', 0, None),
        ("", 0, None),
        ('{"a":"' + "x" * (LONGEST - 8) + '"},{}', 0, ['{"a":"' + "x" * (LONGEST - 8) + '"}', "{}"]),
        ('{},{"a":"' + "x" * (LONGEST - 7) + '"},{}', 0, ["{}"]),
        ('[[{"a":"' + "x" * (LONGEST - 7) + '"}', 2, None),
        (",".join(["{}"] * (MOST_RECORDS + 1)), 0, ["{}"] * MOST_RECORDS),
        (f"{nested(MAX_DEPTH)},{{}}", 0, [nested(MAX_DEPTH), "{}"]),
        (f"[{{}},{nested(MAX_DEPTH + 1)},{{}}", 1, ["{}"]),
        (f"[{nested(MAX_DEPTH + 1)},{{}}", 1, None),
        (nested(MAX_DEPTH + 1, "{"), 0, None),
        ('{"a":[[[],[]],[[],[]]]},' * 60 + "{}", 0, ['{"a":[[[],[]],[[],[]]]}'] * 60 + ["{}"]),
    ],
)
def test_the_objects_between_commas_are_decoded_together(text: str, start: int, objects: list[str] | None) -> None:
    assert texts(scanned(DECODER, text, start, LONGEST)) == objects


@pytest.mark.parametrize(
    ("lines", "objects"),
    [
        ([b'{"a":1}', b'{"b":"\xc3\xbc"}'], ['{"a":1}', '{"b":"\u00fc"}']),
        ([b"", b'{"a":1} \t\r', b"", b'{"b":2}', b"{}"], ['{"a":1}', '{"b":2}', "{}"]),
        ([b"", b""], None),
        ([], None),
        ([b"{}", None], None),
        ([b"{}", b"[]"], None),
        ([b"{}", b"1"], None),
        ([b"{}", b"{}1"], None),
        ([b"{}", b"{} \x0b"], None),
        ([b"{}", b" "], None),
        ([b"{}", b'{"a":'], None),
        ([b"{}", b'{"a":NaN}'], None),
        ([b"{}", b'{"a":"\xff"}'], None),
        ([b"{}", b'{"a":' + b"[" * 100_000], None),
        ([nested(MAX_DEPTH).encode()], [nested(MAX_DEPTH)]),
        ([b"{}", nested(MAX_DEPTH + 1).encode()], None),
        ([nested(MAX_DEPTH + 1).encode(), b"{}"], None),
    ],
)
def test_lines_are_decoded_together_if_each_one_is_an_object(
    lines: list[bytes | None], objects: list[str] | None
) -> None:
    assert texts(lines_of(DECODER, lines)) == objects


@pytest.mark.parametrize(
    ("text", "sure"),
    [
        ('{"a":1,"b":2},{"a":3}', True),
        ('{"a":1,"a":2}', False),
        ('{"a":1},{"b":{"a":1,"a":2}}', False),
        ('{"a":{"b":{"c":1}}},{"a":2}', True),
        ('{"a":[{"b":1},[{"b":2}],3]}', True),
        ('{"a": "b c\\t" , "d": "\\n"}', True),
        ('{"a" :1}', False),
        ('{"a"\t:1}', False),
        ('{"a"\r:1}', False),
        ('{"a"\n:1}', False),
        ('{"a" :1,"b":2,"b":"\\":"}', False),
        ('{"a":"\\":"}', False),
        ('{"a":1},[{"a" :1,"b":2}]', True),
    ],
)
def test_objects_without_any_name_twice_are_recognized_by_their_number_of_names(text: str, sure: bool) -> None:
    assert read(text).has_no_name_twice() == sure


def columns(text: str, start: int, *wanted: Source) -> list[list[str | None]] | None:
    """Return the column of each field, or None if the records are read one by one."""
    reader = Records(JsonLines(), wanted, lambda *bad: pytest.fail(str(bad)))
    found = reader.columns.of(read(text, start))
    return None if found is None else [found[place] for place in range(len(wanted))]


@pytest.mark.parametrize(
    ("paths", "text", "expected"),
    [
        ("a", '{"a":1},{"a":"x"}', [["1", "x"]]),
        ("a b", '{"a":"x","b":true},{"b":false},{"a":null}', [["x", None, None], ["true", "false", None]]),
        ("a", '{"a":"x"},{"a":true},{}', [["x", "true", None]]),
        ("n/x n/m/y a", '{"n":{"x":1,"m":{"y":2}},"a":3},{}', [["1", None], ["2", None], ["3", None]]),
        ("n/x a", '{"n":null,"a":3},{"n":{},"a":4}', [[None, None], ["3", "4"]]),
        ("n/x", '{"n":"x"}', None),
        ("n/x", '{"n":[{"x":1}]}', None),
        ("n/m/x a", '{"n":{"m":1}}', None),
        ("n n/x", '{"n":null}', None),
        ("a", '{"a":{}}', None),
        ("a", '{"a":true},{"a":[]}', None),
        (".", "{}", None),
        ("a *", '{"a":1}', None),
        ("a b[k='x']", '{"a":1}', None),
        ("a 'b/c'", '{"a":1}', None),
        ("a", '{"a":1,"a":2}', None),
        ("a", '{"a":1,"o":{"a":2}}', [["1"]]),
        ("a", '{"a":1,"o":1,"o":2},{}', [["1", None]]),
        ("a", '{"a":1,"o":1,"o":{"a":2}}', None),
        ("a", '{"a" :1,"o":[{"a":2}]}', None),
        ("n/x", '{"n" :{"x":1,"x":2}}', None),
        ("n/x x", '{"n" :{"x":1},"x":2},{"x":3},{"n":{}}', [["1", None, None], ["2", "3", None]]),
        ("a b", '{"a" :1,"b":2},{"a":null}', [["1", None], ["2", None]]),
        ("a", '{"a":"\\":"}', [['":']]),
        ("a", '{"a" :"\\u0041"}', [["A"]]),
        ("a", '{"a" :1,"\\u0061":2}', None),
        ("a", '{"a" :"\\u0041","\\u0061":2}', None),
        ("a", '{"a" :1,"o":{"\\u0061" :2}}', None),
        ("a", '{"a" :1},[{"a":2,"\\u0061":3}]', [["1"]]),
    ],
)
def test_the_single_values_of_records_are_read_as_columns(
    paths: str, text: str, expected: list[list[str | None]] | None
) -> None:
    wanted = sources(*paths.split())
    assert columns(text, 0, *wanted) == columns(f'{{"a" :1,"\\u0061":2}},{text}', 20, *wanted) == expected


def test_several_fields_may_be_the_same_member() -> None:
    assert columns('{"a":1}', 0, Source("a"), Source("a", take="last")) == [["1"], ["1"]]
