"""The environment of the functions as typed models.

A template parameter is declared in template.yaml, with its default, range and help text. Here it has a type; a default
or choices, where they are needed, are compared with the template's by tests/template/test_settings.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from contract.manifest import BookmarkMode
from fanout.errors import SettingsError
from fanout.manifests import is_data, keeps_order


class Settings(BaseModel):
    """Read from variables named like the fields, in capitals."""

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
            faults = "; ".join(f"{e['loc'][0]!s}: {e['msg']}".upper() for e in error.errors(include_input=False))
            raise SettingsError(f"set these environment variables in template.yaml: {faults}") from None


class ProvidersSettings(Settings):
    """What the built-in config API needs."""

    providers_table: str


class RunSettings(Settings):
    """What every function that reads or ends a run needs: ledger, config API, recovery."""

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
        """How far behind the newest processed object late ones are still looked for."""
        return timedelta(minutes=self.lookback_minutes)


class ChangeLogSettings(Settings):
    """Where the change log is, and which of its objects are data."""

    change_log_dir: str = Field(pattern=r"^s3://[^/]+(/.+)?$")

    ignore_pattern: str = ""

    def is_data(self, path: str) -> bool:
        """Whether an object is data, by its key below the provider's prefix."""
        name = path.rpartition("/")[2]
        return is_data(path) and not any(fnmatchcase(name, pattern) for pattern in self.ignore_pattern.split())


class ObjectEventsSettings(ChangeLogSettings):
    """What `object_events` needs."""

    run_ledger_table: str


class ProducerSettings(ChangeLogSettings):
    """What the producer needs."""

    env: str
    data_bucket: str
    provider_attribute: str


class ClaimSettings(RunSettings, ChangeLogSettings):
    """What *Claim Partition* needs."""

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


class DispatchSettings(RunSettings):
    """What the dispatcher needs."""

    state_machine_arn: str
    max_concurrent_runs: int = Field(ge=1)
    lambda_max_bytes: int = Field(ge=0)
    sweep_minutes: int = Field(default=1440, ge=1)
    max_runs_per_group: int = Field(default=0, ge=0)
    tick_minutes: int = Field(default=15, ge=1)

    @property
    def sweep(self) -> timedelta:
        """How long a provider is left alone while no pending objects are known."""
        return timedelta(minutes=self.sweep_minutes)
