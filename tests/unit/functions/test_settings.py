"""The environment as typed models."""

from __future__ import annotations

from datetime import timedelta

import pytest

from fanout.errors import SettingsError
from fanout.settings import ClaimSettings, RunSettings
from tests.harness.world import DEFAULTS


def environment(**changes: object) -> dict[str, str]:
    return {name.upper(): str(value) for name, value in {**DEFAULTS, **changes}.items()}


def test_settings_are_read_from_variables_named_like_them() -> None:
    settings = ClaimSettings.from_environment({**environment(), "PATH": "/bin", "UNKNOWN": "1"})

    assert settings.lookback == timedelta(minutes=60)
    assert settings.max_workers == 10


def test_an_empty_variable_counts_as_not_set() -> None:
    assert ClaimSettings.from_environment(environment(key_time_format="")).key_time_format == ""
    with pytest.raises(SettingsError, match="ENV: FIELD REQUIRED"):
        RunSettings.from_environment(environment(env=""))


def test_every_fault_is_named_at_once_and_no_value_is_shown() -> None:
    with pytest.raises(SettingsError) as raised:
        ClaimSettings.from_environment(environment(max_workers="secret-value", lookback_minutes=-1, data_bucket=""))

    text = str(raised.value)
    assert all(name in text for name in ("MAX_WORKERS", "LOOKBACK_MINUTES", "DATA_BUCKET"))
    assert "secret-value".upper() not in text.upper()


def test_a_key_format_in_which_later_times_sort_earlier_is_refused() -> None:
    with pytest.raises(SettingsError, match="KEY_TIME_FORMAT.*SORT AFTER"):
        ClaimSettings.from_environment(environment(key_time_format="%d/%m/%Y/"))


@pytest.mark.parametrize("place", ["changes/log", "s3://", "https://changes/log"])
def test_a_change_log_that_is_not_on_s3_is_refused(place: str) -> None:
    with pytest.raises(SettingsError, match="CHANGE_LOG_DIR"):
        ClaimSettings.from_environment(environment(change_log_dir=place))
