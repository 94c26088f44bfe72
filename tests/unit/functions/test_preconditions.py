"""ETags and the two conditional headers that use them (RFC 9110, section 13)."""

from __future__ import annotations

import pytest

from fanout.errors import InvalidRequestError
from registry.preconditions import Precondition

SEEN, OTHER = "0123456789abcdef", "fedcba9876543210"


@pytest.mark.parametrize(
    ("if_match", "if_none_match", "stored", "holds"),
    [
        (None, None, None, True),
        (None, None, SEEN, True),
        (f'"{SEEN}"', None, SEEN, True),
        (f'"{SEEN}"', None, OTHER, False),
        (f'"{SEEN}"', None, None, False),
        (f'"{OTHER}", "{SEEN}"', None, SEEN, True),
        (f'W/"{SEEN}"', None, SEEN, False),  # If-Match compares strongly
        ("*", None, SEEN, True),
        ("*", None, None, False),
        (None, "*", None, True),
        (None, "*", SEEN, False),
        (None, f'"{SEEN}"', SEEN, False),
        (None, f'W/"{SEEN}"', SEEN, False),  # If-None-Match compares weakly
        (None, f'"{SEEN}"', OTHER, True),
        ("*", "*", SEEN, False),
    ],
)
def test_preconditions(if_match: str | None, if_none_match: str | None, stored: str | None, holds: bool) -> None:
    assert Precondition.of(if_match, if_none_match).holds(stored) is holds


@pytest.mark.parametrize("header", ["", "1", SEEN, '"1"', f'"{SEEN}', f'"{SEEN}";"{OTHER}"', '"*"', f'"{SEEN}"\n'])
def test_an_invalid_etag_is_rejected(header: str) -> None:
    with pytest.raises(InvalidRequestError, match="ETag"):
        Precondition.of(header, None)
    with pytest.raises(InvalidRequestError, match="ETag"):
        Precondition.of(None, header)
