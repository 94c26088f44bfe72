"""The golden corpus runs on what the job's own integration tests run on."""

from __future__ import annotations

from tests.integration.job.conftest import aws, clean, spark  # noqa: F401 - fixtures
