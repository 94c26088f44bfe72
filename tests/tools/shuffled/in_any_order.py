"""Tests that pass in any order; `test_shuffle.py` runs them."""

import pytest


@pytest.mark.parametrize("number", range(5))
def test_number(number: int) -> None:
    assert number < 5
