"""The environment of the functions as typed models. `template.yaml` is the only place that sets these variables."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from fanout.errors import SettingsError
from fanout.ledger import Backoff
from fanout.manifests import keeps_order


class Settings(BaseModel):
    """Read from variables named like the fields, in capitals."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Build the settings from environment variables; an empty one counts as not set.

        Raises
        ------
        SettingsError
            Names every variable that is missing or unusable.
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
    page_size: int = Field(default=10_000, ge=1)


class RunSettings(Settings):
    """What every function that reads or ends a run needs: ledger, config API, recovery."""

    env: str
    run_ledger_table: str
    config_api_url: str
    config_api_key_secret: str
    report_status: Literal["yes", "no"] = "yes"
    backoff_minutes: int = Field(default=15, ge=1)
    backoff_cap_minutes: int = Field(ge=1)
    overlap_minutes: int = Field(ge=0)
    small_run_memory_mb: int = Field(default=1769, ge=128)
    glue_worker_type: str = "G.1X"

    @property
    def overlap(self) -> timedelta:
        """How far behind the newest processed object late ones are still looked for."""
        return timedelta(minutes=self.overlap_minutes)

    @property
    def backoff(self) -> Backoff:
        """How long a provider that keeps failing is left alone."""
        return Backoff(base=timedelta(minutes=self.backoff_minutes), cap=timedelta(minutes=self.backoff_cap_minutes))


class ClaimSettings(RunSettings):
    """What *Claim Partition* needs."""

    change_log_dir: str = Field(pattern=r"^s3://[^/]+(/.+)?$")
    data_bucket: str
    lease_minutes: int = Field(ge=1)
    key_time_format: str = ""
    key_time_slack_minutes: int = Field(default=1440, ge=0)
    max_recent: int = Field(default=24, ge=1, description="manifests that a bookmark names before they are merged")
    max_objects_per_run: int = Field(ge=1)
    max_bytes_per_run: int = Field(ge=1)
    small_run_max_bytes: int = Field(ge=0)
    min_workers: int = Field(ge=2)
    max_workers: int = Field(ge=2)
    bookmark_mode: Literal["manifest", "glue"] = "manifest"
    frame_etl: Literal["yes", "no"] = "no"

    @field_validator("key_time_format")
    @classmethod
    def _ordered(cls, value: str) -> str:
        if not keeps_order(value):
            raise ValueError("later times must sort after earlier ones, as with %Y/%m/%d/%H/")
        return value

    @property
    def lease(self) -> timedelta:
        """How long a claim holds unless the run ends before."""
        return timedelta(minutes=self.lease_minutes)


class DispatchSettings(RunSettings):
    """What the dispatcher needs."""

    state_machine_arn: str
    max_concurrent_runs: int = Field(ge=1)
    max_runs_per_group: int = Field(default=0, ge=0, description="0: no cap per group")
    max_starts_per_second: int = Field(default=150, ge=1, description="refill of the token bucket of starts")
    start_burst: int = Field(default=1000, ge=1, description="starts that a tick may make at once, before that rate")
