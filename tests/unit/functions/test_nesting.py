"""How deeply JSON may be nested does not depend on the version of Python."""

from __future__ import annotations

import pytest

from contract.nesting import MAX_DEPTH, is_too_deep
from fanout.errors import ConfigApiAnswerError
from fanout.providers import read_entries


@pytest.mark.parametrize(
    ("text", "too_deep"),
    [
        ("[" * MAX_DEPTH + "]" * MAX_DEPTH, False),
        ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), True),
        (("[" * MAX_DEPTH + "]" * MAX_DEPTH) * 2, False),
        ("[" * MAX_DEPTH + "]" * MAX_DEPTH + "[" * (MAX_DEPTH + 1), True),
        ('{"a":' * MAX_DEPTH + "1" + "}" * MAX_DEPTH, False),
        ('{"a":' * (MAX_DEPTH + 1) + "1", True),
        ("[" + "{}," * 1_000 + "{}]", False),
        ('["' + "[" * 1_000 + '\\"' + "{" * 1_000 + '"]', False),
        ('["\\\\", ' + "[" * MAX_DEPTH, True),
    ],
)
def test_only_nested_levels_count(text: str, too_deep: bool) -> None:
    assert is_too_deep(text) is too_deep


def test_a_list_of_providers_that_is_nested_5000_deep_is_refused() -> None:
    with pytest.raises(ConfigApiAnswerError):
        read_entries(b'{"acme": {"frequency": 15, "x": ' + b"[" * 5_000 + b"]" * 5_000 + b"}}")
    assert read_entries(b'{"acme": {"frequency": 15, "x": [[[]]]}}') == {"acme": {"frequency": 15, "x": [[[]]]}}
