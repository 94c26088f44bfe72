"""Each value of a mapping has the type that its place asks for, or the error says what it should be."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest
import yaml

from fanout_job import mapping_text
from fanout_job.errors import MappingError
from fanout_job.mapping import Mapping


def parsed(options: str = "", rule: str = "from: a") -> Mapping:
    return Mapping.parse(f"csv: {{{options}}}\nfields:\n  id: {{{rule}}}\n".encode(), "m.yaml")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("skip: true", "csv.skip is 'true', not a whole number"),
        ("skip: '\u0663'", "csv.skip is '\u0663', not a whole number"),
        ("skip: 1234567890", "csv.skip is '1234567890', not a whole number"),
        (f"skip: {'x' * 60}", f"csv.skip is '{'x' * 60}', not a whole number"),
        (f"skip: {'x' * 61}", f"csv.skip is '{'x' * 60}'… of 61 characters, not a whole number"),
        ("loose_names: 1", "csv.loose_names is '1', not true or false"),
        ("quote: !!null [a]", "csv.quote is not a single value"),
    ],
)
def test_a_value_of_another_type_is_an_error(options: str, message: str) -> None:
    with pytest.raises(MappingError) as caught:
        parsed(options)
    assert str(caught.value) == f"m.yaml, line 1: {message}"


@pytest.mark.parametrize("node", ["5", "!!null [a]"])
def test_a_value_where_a_map_is_expected_is_an_error(node: str) -> None:
    with pytest.raises(MappingError, match="m.yaml, line 1: csv is not a map of names to values"):
        Mapping.parse(f"csv: {node}\nfields: {{id: a}}\n".encode(), "m.yaml")


def test_a_whole_number_has_at_most_nine_digits() -> None:
    how = parsed("skip: 123456789").csv
    assert how is not None
    assert how.skip == 123456789


@pytest.mark.parametrize("name", ["line", "name"])
def test_the_line_and_the_name_of_a_rule_cannot_be_given(name: str) -> None:
    with pytest.raises(MappingError, match=f"fields.id has no '{name}'; it may have"):
        parsed(rule=f"from: a, {name}: 3")


@pytest.mark.parametrize(
    ("text", "factor"),
    [
        ("0.000000000000000001", Decimal("0.000000000000000001")),
        ("999999999999999999", Decimal(999999999999999999)),
        ("1E+3", Decimal(1000)),
        *((wrong, None) for wrong in ("NaN", "sNaN", "Infinity", "-Infinity", "1E+18", "1E-19", "x")),
        *((wrong, None) for wrong in ("0.1234567890123456789", "1.123456789012345678", "123456789012345678.5")),
    ],
)
def test_a_factor_has_at_most_18_digits(text: str, factor: Decimal | None) -> None:
    if factor is None:
        with pytest.raises(
            MappingError, match=rf"fields.id.factor is '{re.escape(text)}', not a number of at most 18 digits"
        ):
            parsed(rule=f"from: a, factor: {text}")
    else:
        assert parsed(rule=f"from: a, factor: {text}").fields["id"].factor == factor


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (r'from: "a\ud800"', "has half of a surrogate pair, which is not a character"),
        (r'"from\udfff": a', "fields.id has a name that is not a text"),
        ("[from]: a", "fields.id has a name that is not a text"),
    ],
)
def test_half_of_a_surrogate_pair_is_no_text_without_the_c_loader_either(
    rule: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapping_text, "LOADER", yaml.SafeLoader)
    with pytest.raises(MappingError, match=message):
        parsed(rule=rule)
