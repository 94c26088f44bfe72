"""getResolvedOptions reads a job run's arguments like Glue's own function."""

from __future__ import annotations

import pytest

from laptop_cloud.aws.glue_packages.awsglue.utils import GlueArgumentError, getResolvedOptions

ARGV = ["script.py", "--JOB_NAME", "etl", "--job-bookmark-option", "job-bookmark-enable", "--provider=acme", "--x", "1"]


def test_declared_arguments_and_the_bookmark_option_are_returned() -> None:
    found = getResolvedOptions(ARGV, ["JOB_NAME", "provider"])

    assert (found["JOB_NAME"], found["provider"]) == ("etl", "acme")
    assert found["job_bookmark_option"] == "job-bookmark-enable"
    assert "x" not in found


def test_bookmarks_are_off_unless_they_are_turned_on() -> None:
    assert getResolvedOptions(["script.py"], [])["job_bookmark_option"] == "job-bookmark-disable"


def test_a_missing_argument_is_an_error_that_names_it() -> None:
    with pytest.raises(GlueArgumentError, match="--queue"):
        getResolvedOptions(ARGV, ["provider", "queue"])


def test_an_abbreviated_argument_is_accepted_only_if_abbreviations_are_allowed() -> None:
    with pytest.raises(GlueArgumentError, match="--provider_name"):
        getResolvedOptions(ARGV, ["provider_name"])
    assert getResolvedOptions(ARGV, ["provider_name"], allow_abbrev=True)["provider_name"] == "acme"


@pytest.mark.parametrize("name", ["job-bookmark-option", "job-bookmark-from"])
def test_glue_s_own_arguments_cannot_be_declared(name: str) -> None:
    with pytest.raises(RuntimeError):
        getResolvedOptions(ARGV, [name])


def test_half_a_bookmark_range_is_refused() -> None:
    argv = ["script.py", "--job-bookmark-option", "job-bookmark-pause", "--job-bookmark-from", "jr_1"]
    with pytest.raises(RuntimeError, match="job-bookmark-from"):
        getResolvedOptions(argv, [])
