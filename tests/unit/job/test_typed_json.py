"""DynamoDB-typed JSON becomes plain JSON exactly: compared with boto3's own TypeDeserializer on random items."""

from __future__ import annotations

import base64
import json
from decimal import Context, Decimal
from typing import Any

import pytest
from boto3.dynamodb.types import Binary, TypeDeserializer
from hypothesis import example, given
from hypothesis import strategies as st

from fanout_job.changes import plain_item, plain_number
from fanout_job.errors import RecordError
from fanout_job.messages import encode

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
binary = st.binary(max_size=20).map(lambda raw: base64.b64encode(raw).decode())


@st.composite
def numbers(draw: st.DrawFn) -> str:
    """A number as DynamoDB returns it: up to 38 significant digits, 1E-130 to 9.9E+125."""
    digits = draw(st.integers(1, 10**38 - 1))
    exponent = draw(st.integers(-130, 125 - len(str(digits)) + 1))
    sign = draw(st.sampled_from(["", "-"]))
    written = Decimal(f"{sign}{digits}E{exponent if draw(st.booleans()) else 0}")
    return draw(st.sampled_from([f"{written:f}", str(written), "0"]))


def typed_values() -> st.SearchStrategy[dict[str, Any]]:
    scalars = st.one_of(
        text.map(lambda v: {"S": v}),
        numbers().map(lambda v: {"N": v}),
        binary.map(lambda v: {"B": v}),
        st.booleans().map(lambda v: {"BOOL": v}),
        st.just({"NULL": True}),
        st.lists(text, min_size=1, max_size=4, unique=True).map(lambda v: {"SS": v}),
        st.lists(numbers(), min_size=1, max_size=4, unique_by=Decimal).map(lambda v: {"NS": v}),
        st.lists(binary, min_size=1, max_size=4, unique=True).map(lambda v: {"BS": v}),
    )
    return st.recursive(
        scalars,
        lambda inner: st.one_of(
            st.lists(inner, max_size=4).map(lambda v: {"L": v}),
            st.dictionaries(text, inner, max_size=4).map(lambda v: {"M": v}),
        ),
        max_leaves=12,
    )


items = st.dictionaries(text, typed_values(), max_size=6)


def decoded(value: Any) -> Any:
    """Undo the base64 of JSON, which TypeDeserializer does not expect."""
    match value:
        case {"B": str(encoded)}:
            return {"B": base64.b64decode(encoded)}
        case {"BS": list(encoded)}:
            return {"BS": [base64.b64decode(e) for e in encoded]}
        case {"L": list(elements)}:
            return {"L": [decoded(e) for e in elements]}
        case {"M": dict(members)}:
            return {"M": {name: decoded(member) for name, member in members.items()}}
    return value


class Boto3Deserializer(TypeDeserializer):
    """boto3's deserializer, except that trailing zeros ("1" and 40 zeros) do not count as digits."""

    def _deserialize_n(self, value: str) -> Decimal:
        return super()._deserialize_n(str(Decimal(value).normalize(Context(prec=60))))


def comparable(value: Any) -> Any:
    """Convert boto3's values to their JSON form."""
    if isinstance(value, Binary):
        return base64.b64encode(value.value).decode()
    if isinstance(value, set):
        return {"a set of": {comparable(element) for element in value}}
    if isinstance(value, list):
        return [comparable(element) for element in value]
    if isinstance(value, dict):
        return {name: comparable(element) for name, element in value.items()}
    return value


def as_sets(typed: Any, plain: Any) -> Any:
    """Mark the arrays that were sets, because their order has no meaning."""
    match typed:
        case {"SS": _} | {"NS": _} | {"BS": _}:
            return {"a set of": set(plain)}
        case {"L": list(elements)}:
            return [as_sets(t, p) for t, p in zip(elements, plain, strict=True)]
        case {"M": dict(members)}:
            return {name: as_sets(member, plain[name]) for name, member in members.items()}
    return plain


@given(items)
@example({"": {"S": ""}, "Name": {"S": "a"}, "name": {"S": "b"}, "n": {"N": "1E+2"}})
@example({"a": {"N": "12345678901234567890123456789012345678"}})
@example({"a": {"N": "-0"}, "b": {"N": "1E-130"}, "c": {"NS": ["9.9999999999999999999999999999999999999E+125"]}})
def test_plain_items_equal_what_boto3_reads(item: dict[str, Any]) -> None:
    theirs = Boto3Deserializer().deserialize({"M": {name: decoded(value) for name, value in item.items()}})
    # Through the message's JSON and back, with every number kept as a Decimal.
    ours = json.loads(encode(plain_item(item)), parse_int=Decimal, parse_float=Decimal)
    assert as_sets({"M": item}, ours) == comparable(theirs)


@given(numbers())
def test_a_number_keeps_every_digit(number: str) -> None:
    written = encode({"n": plain_number(number)}).decode()
    assert Decimal(written[5:-1]) == Decimal(number)
    assert isinstance(plain_number(number), int | Decimal)


@pytest.mark.parametrize(
    "number",
    [
        "",
        " 1",
        "1 ",
        "1_000",
        "NaN",
        "Infinity",
        "-",
        "+",
        ".",
        "1e",
        "0x10",
        "١",
        "²",
        "1" * 3 + "\n",
        1,
        1.5,
        None,
        True,
        [],
    ],
)
def test_a_text_that_is_no_number_is_a_typed_error(number: Any) -> None:
    with pytest.raises(RecordError, match="number"):
        plain_number(number)


@pytest.mark.parametrize(
    ("number", "written"), [("+5", "5"), (".5", "0.5"), ("007", "7"), ("1.0", "1.0"), ("1e5", "1E+5")]
)
def test_numbers_in_other_forms_keep_their_value(number: str, written: str) -> None:
    assert encode(plain_number(number)).decode() == written


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"S": "a", "N": "1"},
        {"X": "a"},
        {"S": None},
        {"B": 5},
        {"BOOL": "true"},
        {"NULL": "true"},
        {"NULL": False},
        {"X": True},
        {"L": {}},
        {"M": []},
        {"SS": "abc"},
        {"SS": [1]},
        {"SS": ["a", 1]},
        {"NS": ["a"]},
        {"NS": [1]},
        {"BS": [None]},
        {"s": "a"},
        "S",
        None,
        ["S"],
        5,
    ],
)
def test_values_dynamodb_does_not_write_are_typed_errors_at_any_depth(value: Any) -> None:
    for item in ({"a": value}, {"a": {"L": [value]}}, {"a": {"M": {"b": value}}}):
        with pytest.raises(RecordError):
            plain_item(item)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("7", 7),
        ("9" * 18, 10**18 - 1),
        ("9" * 19, Decimal(10**19 - 1)),
        ("0" * 200, Decimal(0)),
        ("0E-200", Decimal("0E-200")),
        ("0e+200", Decimal("0E+200")),
    ],
)
def test_a_short_integer_is_an_int_and_each_other_number_a_decimal(text: str, number: int | Decimal) -> None:
    found = plain_number(text)

    assert (type(found), str(found)) == (type(number), str(number))


def test_a_number_has_at_most_200_characters() -> None:
    with pytest.raises(RecordError, match="an N that is not a number"):
        plain_number("0" * 201)
