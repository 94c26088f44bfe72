"""template.yaml: each file of a run is written by one role, and no job's change log is in a prefix of other files."""

from __future__ import annotations

import pytest

from contract.uris import RESERVED
from laptop_cloud.errors import LaptopCloudError
from tests.harness.permissions import grants
from tests.template.reading import template_with, written
from tools.iam import EVERYTHING

JOB_ROLES = {"ChangeLogJobRole", "LambdaRunFunctionRole"}
WRITERS = {
    "runs/provider=a/20261122T073000Z_r/manifest.json": {"ClaimFunctionRole"},
    "runs/provider=a/20261122T073000Z_r/result.json": JOB_ROLES,
    "runs/provider=a/20261122T073000Z_r/record.json": {"DispatchFunctionRole", "UpdateStatusFunctionRole"},
    "runs/provider=a/20261122T073000Z_r/other.json": set(),
    "runs/manifest.json": set(),
    "claim-check/provider=a/1.json": JOB_ROLES,
    "quarantine/provider=a/1.json": JOB_ROLES,
    "change_log/provider=a/1.json.gz": {"ProducerFunctionRole"},
    "library/change_log.py": {"LibraryFunctionRole"},
    "mappings/a.yaml": set(),
}


@pytest.mark.fault(54)
@pytest.mark.parametrize("key", WRITERS)
@pytest.mark.parametrize("job", ["change_log", "standardize", "rows_per_day"])
def test_each_file_of_a_run_is_written_by_one_role(key: str, job: str) -> None:
    granted = grants(template_with(**{**EVERYTHING, "Job": job}))
    arn = f"arn:aws:s3:::DataBucket/{key.replace('change_log/', f'{job}/', 1)}"

    for action in (
        "s3:PutObject",
        "s3:DeleteObject",
        "s3:DeleteObjectVersion",
        "s3:PutObjectTagging",
        "s3:PutObjectAcl",
    ):
        allowed = {role for role, found in granted.items() if any(one.covers(action, arn) for one in found)}
        assert allowed == (WRITERS[key] if action == "s3:PutObject" else set()), action


@pytest.mark.parametrize(("job", "folder"), [("standardize", "standard"), ("rows_per_day", "output")])
def test_only_the_job_writes_its_output(job: str, folder: str) -> None:
    for key in (f"{folder}/provider=a/1", "standard/1", "output/1"):
        granted = grants(template_with(**{**EVERYTHING, "Job": job}))
        arn = f"arn:aws:s3:::DataBucket/{key}"
        allowed = {role for role, found in granted.items() if any(one.covers("s3:PutObject", arn) for one in found)}
        assert allowed == (JOB_ROLES if key.startswith(folder) else set())


@pytest.mark.parametrize("job", sorted(RESERVED - {"claim-check"}))
def test_a_job_named_like_another_prefix_of_the_bucket_is_refused(job: str) -> None:
    with pytest.raises(LaptopCloudError, match="must not be the name of another prefix"):
        template_with(Job=job)


def test_the_rule_for_names_of_jobs_has_every_prefix_of_the_bucket() -> None:
    (assertion,) = written()["Rules"]["JobHasItsOwnPrefix"]["Assertions"]
    (contains,) = assertion["Assert"]["Fn::Not"]

    assert contains == {"Fn::Contains": [sorted(RESERVED - {"claim-check"}), {"Ref": "Job"}]}
    granted = grants(template_with(**EVERYTHING)) | grants(template_with(**{**EVERYTHING, "Job": "standardize"}))
    resources = {r for found in granted.values() for one in found for r in one.resources if ":DataBucket/" in r}
    prefixes = {resource.partition(":DataBucket/")[2].partition("/")[0] for resource in resources}
    assert prefixes - {"change_log", "standardize"} <= RESERVED
