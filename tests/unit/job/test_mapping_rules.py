"""A mapping's rules must fit each other, its format and the model."""

from __future__ import annotations

import pytest

from fanout_job.errors import MappingError
from fanout_job.mapping import Mapping
from tests.unit.job.standardizing import MODEL

CSV, JSON, XML = "csv:", "json:", "xml: {record: a}"


@pytest.mark.parametrize(
    ("how", "rule", "says"),
    [
        (CSV, "decimal: ',', thousands: ','", "note: ',' is both the decimal and the thousands separator"),
        (CSV, "thousands: '.'", "note: '.' is both the decimal and the thousands separator"),
        (CSV, "take: first", "note: 'b' is not a path, so it has neither 'take' nor 'join'"),
        (CSV, "join: ''", "note: 'b' is not a path, so it has neither 'take' nor 'join'"),
        (JSON, "from: 'a//b'", "note: 'a//b' is not a path such as"),
        (JSON, f"from: a/{'1' * 101}", "is not a path: it has a number that is neither a name nor an array index"),
        (XML, "from: 'p:a'", "note: 'p:a' is not a path: xml.namespaces has no prefix 'p'"),
    ],
)
def test_a_rule_that_fits_no_value_is_rejected_with_its_line(how: str, rule: str, says: str) -> None:
    source = "" if rule.startswith("from") else "from: b, "
    mapping = Mapping.parse(f"{how}\nfields:\n  id: a\n  note: {{{source}{rule}}}".encode(), "m.yaml")

    with pytest.raises(MappingError, match=says) as caught:
        mapping.check_fields(MODEL, False)
    assert caught.value.line == 4


@pytest.mark.parametrize(
    ("how", "rule"), [(JSON, "take: first"), (XML, "join: ','"), (CSV, "decimal: ',', thousands: '.'")]
)
def test_a_rule_that_fits_is_accepted(how: str, rule: str) -> None:
    Mapping.parse(f"{how}\nfields: {{id: {{from: a, {rule}}}}}".encode(), "m.yaml").check_fields(MODEL, False)


def test_several_values_are_taken_or_joined_and_not_both() -> None:
    with pytest.raises(MappingError, match="m.yaml, line 2: fields.id has both 'take' and 'join'"):
        Mapping.parse(b"json:\nfields: {id: {from: a, take: last, join: ''}}", "m.yaml")


def test_an_option_of_the_mapping_applies_to_fields_without_it_and_false_is_one() -> None:
    mapping = Mapping.parse(
        b"csv:\ntrim: true\nfields: {id: a, note: {from: b, trim: false, optional: true}}", "m.yaml"
    )

    assert [mapping.rule(name).trim for name in ("id", "note")] == [True, False]
    assert [mapping.rule(name).optional for name in ("id", "note")] == [False, True]
    assert Mapping.parse(b"csv:\nfields: {id: a}", "m.yaml").rule("id").trim is None


def test_only_a_transform_may_fill_a_required_field() -> None:
    mapping = Mapping.parse(b"csv:\nfields: {note: b}", "m.yaml")

    mapping.check_fields(MODEL, True)
    with pytest.raises(MappingError, match="fields lacks id, which the model requires"):
        mapping.check_fields(MODEL, False)
