"""Failures are grouped by cause."""

from __future__ import annotations

import pytest

from cli.commands.status import UNKNOWN, general, group
from fanout.health import Condition, Decision, Health


def failing(provider: str, why: str | None, condition: Condition = Condition.FAILING) -> Health:
    return Health(provider, condition, Decision.DUE, why=why, run_id=f"{provider}-1")


def test_the_same_fault_in_different_objects_and_lines_is_one_cause() -> None:
    causes = group(
        [
            failing("beta", "RecordError: s3://bucket/provider=b/x.gz, line 12: not a change record"),
            failing("acme", "RecordError: s3://bucket/provider=a/y.gz, line 7: not a change record"),
            failing("corp", "SendError: the target did not take a message"),
        ]
    )

    assert [(cause.cause, cause.providers) for cause in causes] == [
        ("RecordError: s3://…, line n: not a change record", ("beta", "acme")),
        ("SendError: the target did not take a message", ("corp",)),
    ]
    assert causes[0].run_id == "beta-1"


def test_only_failing_providers_are_grouped() -> None:
    assert group([failing("a", None, Condition.WAITING), failing("b", None, Condition.LATE)]) == []
    assert group([failing("a", None)])[0].cause == UNKNOWN


@pytest.mark.parametrize(
    ("why", "cause"),
    [
        ("job run jr_0a1b ended FAILED: boom", "job run jr_… ended FAILED: boom"),
        ("run a-20261122T073000Z no longer holds the lease", "run … no longer holds the lease"),
        ("acme: 3 of 4 objects", "PROVIDER: n of n objects"),
        ("a changed acme.eu", "a changed acme.eu"),
        ("s3://b/k, line 2: is no gzip", "s3://…, line n: is no gzip"),
    ],
)
def test_the_details_of_one_run_are_not_part_of_the_cause(why: str, cause: str) -> None:
    assert general(why, "acme") == cause
