"""The differences between the laptop cloud's Spark driver and Spark."""

from __future__ import annotations

import importlib.util

import pytest
from pyspark.errors import PySparkImportError
from pyspark.sql.pandas import functions, utils

from laptop_cloud.aws.driver_process import arrow_without_pandas


@pytest.fixture
def no_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment without pandas."""

    def missing() -> None:
        raise PySparkImportError(errorClass="PACKAGE_NOT_INSTALLED", messageParameters={})

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(functions, "require_minimum_pandas_version", missing)


def test_map_in_arrow_runs_without_pandas(no_pandas: None) -> None:
    arrow_without_pandas()

    assert functions.require_minimum_pandas_version() is None


def test_with_pandas_spark_checks_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(functions, "require_minimum_pandas_version", utils.require_minimum_pandas_version)
    arrow_without_pandas()

    assert functions.require_minimum_pandas_version is utils.require_minimum_pandas_version
