"""Registers the OpenAPI document's own format with schemathesis."""

from __future__ import annotations

from datetime import UTC, datetime

import schemathesis
from hypothesis import strategies as st

from contract.times import format_http_date

schemathesis.openapi.format(
    "http-date",
    st.datetimes(
        datetime(1970, 1, 1),  # noqa: DTZ001 - hypothesis requires naive bounds
        datetime(2026, 1, 1),  # noqa: DTZ001
        timezones=st.just(UTC),
    ).map(format_http_date),
)
