"""The environment of the functions as typed models.

A template parameter is declared in template.yaml, with its default, range and help text. Here it has a type; a default
or choices, where they are needed, are compared with the template's by tests/template/test_settings.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from contract.manifest import BookmarkMode
from contract.uris import RESERVED, split_uri
from fanout.errors import SettingsError
from fanout.manifests import keeps_order, why_ignored


class Settings(BaseModel):
    """Settings from environment variables, which are named like the fields, in capitals."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Build the settings from environment variables; an empty one counts as not set.

        Raises
        ------
        SettingsError
            Names every variable that is missing or invalid.
        """
        given = {name.lower(): value for name, value in environment.items() if value != ""}
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            faults = "; ".join(f"{e['loc'][0]!s}: {e['msg']}".upper() for e in error.errors())
            raise SettingsError(f"set these environment variables in template.yaml: {faults}") from None


class ProvidersSettings(Settings):
    """Settings of the built-in config API."""

    providers_table: str


class RunSettings(Settings):
    """Settings of every function that reads or ends a run: ledger, config API, recovery."""

    env: str
    run_ledger_table: str
    config_api_url: str
    config_api_key_secret: str
    report_status: Literal["yes", "no"] = "yes"
    lookback_minutes: int = Field(ge=0)
    glue_worker_type: str = "G.1X"
    discovery: Literal["events", "poll"] = "poll"

    @property
    def lookback(self) -> timedelta:
        """How much older than the newest processed object a late object may be and still be found."""
        return timedelta(minutes=self.lookback_minutes)


class ChangeLogSettings(Settings):
    """Location of the change log, and the rule for which of its objects are data."""

    change_log_dir: str = Field(pattern=r"^s3://[^/]+(/.+)?$")

    ignore_pattern: str = ""

    def why_ignored(self, path: str) -> str | None:
        """The reason why an object is not data, by its key after the provider's prefix; None if it is data."""
        return why_ignored(path, self.ignore_pattern)


class ObjectEventsSettings(ChangeLogSettings):
    """Settings of `object_events`."""

    env: str
    run_ledger_table: str


class ProducerSettings(ChangeLogSettings):
    """Settings of the producer."""

    env: str
    data_bucket: str
    provider_attribute: str


class ClaimSettings(RunSettings, ChangeLogSettings):
    """Settings of *Claim Partition*."""

    job: str
    data_bucket: str
    key_time_format: str = ""
    max_bytes_per_run: int = Field(ge=1)
    lambda_max_bytes: int = Field(ge=0)
    max_workers: int = Field(ge=2)
    bookmark_mode: BookmarkMode = "manifest"

    @field_validator("key_time_format")
    @classmethod
    def _ordered(cls, value: str) -> str:
        if not keeps_order(value):
            raise ValueError("later times must sort after earlier ones, as with %Y/%m/%d/%H/")
        return value

    @field_validator("data_bucket")
    @classmethod
    def _apart(cls, value: str, info: ValidationInfo) -> str:
        bucket, key = split_uri(info.data.get("change_log_dir", "s3://none"))
        if bucket == value and (first := key.partition("/")[0]) in RESERVED:
            raise ValueError(f"its prefix {first}/ cannot contain the change log; rename Job, or change ChangeLogDir")
        return value


class DispatchSettings(RunSettings):
    """Settings of the dispatcher."""

    job: str
    state_machine_arn: str
    max_concurrent_runs: int = Field(ge=1)
    lambda_max_bytes: int = Field(ge=0)
    sweep_minutes: int = Field(default=1440, ge=1)
    max_runs_per_group: int = Field(default=0, ge=0)
    tick_minutes: int = Field(default=15, ge=1)

    @property
    def sweep(self) -> timedelta:
        """Time between two full checks of a provider without pending objects."""
        return timedelta(minutes=self.sweep_minutes)
