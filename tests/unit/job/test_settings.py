"""Arguments and environment become settings, or one error that names every missing or wrong value."""

from __future__ import annotations

from typing import Any

import pytest

from contract.uris import result_uri
from fanout_job.errors import SettingsError
from fanout_job.settings import Settings, plain_arguments
from fanout_job.targets import target_of

ARGUMENTS = {
    "provider": "acme",
    "run_id": "run-1",
    "manifest": "s3://data/runs/provider=acme/x/manifest.json",
    "run_dir": "s3://data/runs/provider=acme/x/",
    "env": "dev",
    "data_bucket": "data",
}
EVENT = {name: ARGUMENTS[name] for name in ("provider", "run_id", "manifest", "run_dir")}
ENVIRONMENT = {name.upper(): value for name, value in ARGUMENTS.items() if name not in EVENT}


def argv(**changed: str | None) -> list[str]:
    values = {name: value for name, value in {**ARGUMENTS, **changed}.items() if value is not None}
    return ["change_log.py", *(part for name, value in values.items() for part in (f"--{name}", value))]


def test_glue_arguments_and_a_lambda_event_with_environment_give_the_same_settings() -> None:
    assert Settings.from_arguments(argv()) == Settings.from_event(EVENT, ENVIRONMENT) == Settings(**ARGUMENTS)


def test_arguments_that_glue_adds_are_ignored() -> None:
    extra = ["--job-bookmark-option", "job-bookmark-disable", "--TempDir", "s3://x/", "--JOB_RUN_ID", "jr_1"]
    assert Settings.from_arguments(argv(JOB_NAME="etl-dev-change_log") + extra).JOB_NAME == "etl-dev-change_log"


def test_an_event_cannot_override_the_environment() -> None:
    settings = Settings.from_event({**EVENT, "data_bucket": "elsewhere"}, ENVIRONMENT)
    assert settings.data_bucket == ARGUMENTS["data_bucket"]


@pytest.mark.parametrize("missing", list(ARGUMENTS))
def test_the_error_of_a_missing_argument_uses_the_callers_name_for_it(missing: str) -> None:
    with pytest.raises(SettingsError, match=f"--{missing}"):
        Settings.from_arguments(argv(**{missing: None}))
    with pytest.raises(SettingsError, match=f"event.{missing}" if missing in EVENT else rf"\${missing.upper()}"):
        Settings.from_event(
            {name: value for name, value in EVENT.items() if name != missing},
            {name: value for name, value in ENVIRONMENT.items() if name != missing.upper()},
        )


def test_all_missing_arguments_are_named_at_once() -> None:
    with pytest.raises(SettingsError, match=r"--run_id, --data_bucket"):
        Settings.from_arguments(argv(run_id=None, data_bucket=None))


def test_bookmark_mode_glue_needs_the_change_log_dir() -> None:
    with pytest.raises(SettingsError, match="--change_log_dir"):
        Settings.from_arguments(argv(bookmark_mode="glue", manifest="none"))


def test_bookmark_mode_glue_needs_no_manifest() -> None:
    settings = Settings.from_arguments(argv(bookmark_mode="glue", manifest="none", change_log_dir="s3://data/log/"))
    assert (settings.manifest, settings.bookmark_mode) == ("none", "glue")


def test_name_and_value_of_an_argument_may_be_joined_by_an_equals_sign() -> None:
    joined = ["change_log.py", *(f"--{name}={value}" for name, value in ARGUMENTS.items())]
    assert Settings.from_arguments(joined) == Settings(**ARGUMENTS)


def test_arguments_are_read_without_awsglue_too() -> None:
    given = ["change_log.py", "--provider", "acme", "--env=a=b", "--TempDir", "s3://x/", "--job=", "--run_id"]

    found = plain_arguments(given, ["provider", "env", "job", "run_id", "manifest"])

    assert found == {"provider": "acme", "env": "a=b", "job": "", "run_id": ""}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("message_order", "date"),
        ("on_bad_record", "ignore"),
        ("bookmark_mode", "none"),
        ("log_level", "loud"),
        ("max_message_bytes", "1k"),
        ("run_dir", "s3://data/runs/provider=acme/x"),
        ("run_dir", "runs/provider=acme/x/"),
        ("manifest", "runs/manifest.json"),
        ("manifest", "s3://data/"),
    ],
)
def test_a_wrong_value_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"--{name}"):
        Settings.from_arguments(argv(**{name: value}))


@pytest.mark.parametrize(
    ("address", "order", "service"),
    [
        ("https://sqs.eu-west-1.amazonaws.com/123456789012/q", "none", "sqs"),
        ("http://127.0.0.1:5000/123456789012/q.fifo", "key", "sqs"),
        ("arn:aws:sns:eu-west-1:123456789012:changes", "none", "sns"),
        ("arn:aws:sns:eu-west-1:123456789012:changes.fifo", "key", "sns"),
        ("arn:aws-cn:events:cn-north-1:123456789012:event-bus/changes", "none", "events"),
    ],
)
def test_the_kind_of_target_follows_from_its_address(address: str, order: str, service: str) -> None:
    assert target_of(Settings(**ARGUMENTS | {"queue_url": address, "message_order": order})).service == service


@pytest.mark.parametrize(
    ("address", "order"),
    [
        ("", "none"),
        ("changes", "none"),
        ("arn:aws:sqs:eu-west-1:123456789012:q", "none"),
        ("https://sqs.eu-west-1.amazonaws.com/1/q", "key"),
        ("https://sqs.eu-west-1.amazonaws.com/1/q.fifo", "none"),
        ("arn:aws:events:eu-west-1:123456789012:event-bus/changes", "key"),
    ],
)
def test_an_address_of_another_form_is_a_settings_error(address: str, order: str) -> None:
    with pytest.raises(SettingsError, match="--queue_url|--message_order"):
        target_of(Settings(**ARGUMENTS | {"queue_url": address, "message_order": order}))


@pytest.mark.parametrize(("given", "limit"), [("", 2**20), ("262144", 262_144), ("9999999", 2**20)])
def test_a_queue_may_have_a_lower_limit_than_its_service(given: str, limit: int) -> None:
    assert (
        target_of(
            Settings(**ARGUMENTS | {"queue_url": "https://sqs.eu-west-1.amazonaws.com/1/q", "max_message_bytes": given})
        ).limit
        == limit
    )


@pytest.mark.parametrize("manifest", ["s3://data/runs/provider=acme/x/manifest.json", "none"])
def test_the_result_is_written_where_the_claim_reads_it(manifest: str) -> None:
    values: dict[str, Any] = ARGUMENTS | {"manifest": manifest}
    assert result_uri(Settings(**values).run_dir) == "s3://data/runs/provider=acme/x/result.json"
