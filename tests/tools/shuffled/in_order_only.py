"""Tests that pass only in the order of this file; `test_shuffle.py` runs them."""

import pytest

order = []


@pytest.mark.parametrize("number", range(5))
def test_number(number: int) -> None:
    order.append(number)


def test_last() -> None:
    assert len(order) == 5, order
