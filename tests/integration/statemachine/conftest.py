"""Lets pytest explain what differs in an act's end."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("tests.integration.statemachine.acts")
