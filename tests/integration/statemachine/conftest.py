"""Lets pytest show what differs in an act's result."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("tests.integration.statemachine.acts")
