"""`fanout doctor`, and the config API's key, which no command shows."""

from __future__ import annotations

import pytest

from tests.harness.waiting import eventually
from tests.integration.cli.conftest import Fanout

CHECKED = (
    *("stack", "clock", "state machine", "schedule", "Glue job", "job script", "run ledger", "change log"),
    *("object events", "queue", "secret", "config API", "providers", "quarantine", "Glue quota"),
    "Lambda quota",
)
"""The checks of `fanout doctor`."""


def _remove_other_folders(fanout: Fanout, provider: str) -> None:
    """Delete the objects of other tests' providers, which are not in the list."""
    prefix = fanout.cloud.outputs["ChangeLogDir"].removeprefix("s3://").partition("/")[2]
    fanout.delete(f"{prefix}/provider=", but=f"{prefix}/provider={provider}/")


@pytest.mark.fault(39, 40)
def test_doctor_names_folders_that_no_run_processes(fanout: Fanout, provider: str) -> None:
    bucket, _, prefix = fanout.cloud.outputs["ChangeLogDir"].removeprefix("s3://").partition("/")
    s3 = fanout.cloud.client("s3")

    def change_log() -> tuple[str, str]:
        (check,) = [one for one in fanout("doctor", "--json").json["checks"] if one["name"] == "change log"]
        return check["outcome"], check["found"]

    keys = [f"{prefix}/provider={name}/1" for name in ("never-listed", "Tenant Ölhafen")]
    s3.put_object(Bucket=bucket, Key=keys[0], Body=b"x")
    unlisted = change_log()
    s3.put_object(Bucket=bucket, Key=keys[1], Body=b"x")
    refused = change_log()
    _remove_other_folders(fanout, provider)

    assert unlisted[0] == "warn"
    assert "not in the list of providers" in unlisted[1]
    assert refused[0] == "fail"
    assert "use 1 to 64 ASCII letters, digits" in refused[1]


def test_all_checks_of_doctor_pass_on_the_laptop_cloud(fanout: Fanout, provider: str) -> None:
    fanout.drop(provider, "one.json.gz", 1)
    _remove_other_folders(fanout, provider)

    def outcomes() -> dict[str, str]:
        """Outcome of each check, once no event of another test's object is on its way."""
        assert fanout("providers", "accept", "--yes").status == 0
        return {check["name"]: check["outcome"] for check in fanout.json("doctor")["checks"]}

    eventually(lambda: outcomes() == dict.fromkeys(CHECKED, "ok"), lambda: str(outcomes()), every=1)
    assert fanout("doctor").status == 0


def test_doctor_names_missing_resources(fanout: Fanout, provider: str) -> None:
    glue, s3 = fanout.cloud.client("glue"), fanout.cloud.client("s3")
    location = glue.get_job(JobName=fanout.cloud.outputs["GlueJobName"])["Job"]["Command"]["ScriptLocation"]
    bucket, _, key = location.removeprefix("s3://").partition("/")
    script = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    s3.delete_object(Bucket=bucket, Key=key)
    try:
        report = fanout("doctor", "--json")
    finally:
        s3.put_object(Bucket=bucket, Key=key, Body=script)

    failed = [check for check in report.json["checks"] if check["outcome"] == "fail"]
    assert report.status == 1
    assert [check["name"] for check in failed] == ["job script"]
    assert "deploy again, which publishes the script" in failed[0]["advice"]


def test_doctor_notices_that_the_bucket_s_notifications_were_removed(fanout: Fanout, provider: str) -> None:
    s3, bucket = fanout.cloud.client("s3"), fanout.cloud.outputs["DataBucketName"]
    stated = s3.get_bucket_notification_configuration(Bucket=bucket)["QueueConfigurations"]
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={})
    try:
        report = fanout("doctor", "--json")
    finally:
        s3.put_bucket_notification_configuration(
            Bucket=bucket, NotificationConfiguration={"QueueConfigurations": stated}
        )

    failed = [check for check in report.json["checks"] if check["outcome"] == "fail"]
    assert report.status == 1
    assert [check["name"] for check in failed] == ["object events"]
    assert fanout.cloud.outputs["ObjectEventsQueueArn"] in failed[0]["advice"]


def test_no_output_contains_the_config_api_s_key(fanout: Fanout, provider: str) -> None:
    secret = fanout.cloud.client("secretsmanager").get_secret_value(
        SecretId=fanout.cloud.outputs["ConfigApiKeySecretArn"]
    )["SecretString"]

    for words in (["doctor"], ["status", "--all"], ["providers", "list"], ["run", provider], ["runs", provider]):
        for shown in (fanout(*words), fanout(*words, "--json")):
            assert secret not in shown.out + shown.error
