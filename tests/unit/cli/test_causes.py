"""Failures are grouped by their cause."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from cli.commands.status import UNKNOWN, group
from contract.failure import Failure
from fanout.failures import caught, orphaned
from fanout.health import Condition, Decision, Health
from fanout.providers import parse_entries

FAULTS = parse_entries({"a": {}, "b": {}}, datetime(2026, 11, 22, tzinfo=UTC))[1]


def failing(provider: str, failure: Failure | None, condition: Condition = Condition.FAILING) -> Health:
    return Health(provider, condition, Decision.DUE, failure=failure, run_id=f"{provider}-1")


def bad(provider: str, line: int, message: str, cause: str = "") -> Failure:
    uri = f"s3://bucket/provider={provider}/x.gz"
    return Failure(type="RecordError", message=message, cause=cause, object=uri, line=line, advice="Correct it.")


def test_the_same_fault_in_different_objects_and_lines_is_one_cause() -> None:
    causes = group(
        [
            failing("beta", bad("b", 12, "not JSON: unexpected end at column 7", "not JSON: unexpected end")),
            failing("acme", bad("a", 7, "not JSON: unexpected end at column 9", "not JSON: unexpected end")),
            failing("dora", bad("d", 7, "has no Keys")),
            failing("corp", caught({"Id": "jr_0", "JobRunState": "TIMEOUT"})),
            failing("emil", caught({"Id": "jr_1", "JobRunState": "TIMEOUT"})),
        ]
    )

    assert [(cause.cause, cause.providers) for cause in causes] == [
        ("GlueJobRunError: the job run ended TIMEOUT", ("corp", "emil")),
        ("RecordError: not JSON: unexpected end", ("beta", "acme")),
        ("RecordError: has no Keys", ("dora",)),
    ]
    assert (causes[1].run_id, causes[1].advice, causes[1].example.line) == ("beta-1", "Correct it.", 12)


def test_only_failing_providers_are_grouped() -> None:
    assert group([failing("a", None, Condition.WAITING), failing("b", None, Condition.LATE)]) == []
    assert group([failing("a", None)])[0].cause == UNKNOWN.kind


def test_a_provider_that_is_called_like_a_word_of_the_message_changes_nothing() -> None:
    message = "is zstd, which Glue's Python does not support; write gzip or plain JSON lines"
    found = group([failing("zstd", bad("zstd", 1, message)), failing("is", bad("is", 1, message))])

    assert [(cause.cause, cause.providers) for cause in found] == [(f"RecordError: {message}", ("zstd", "is"))]


def test_the_same_fault_of_different_providers_and_runs_is_one_cause() -> None:
    def lost(provider: str) -> Failure:
        error = {"errorType": "LeaseLostError", "errorMessage": f"{provider}: run r1 no longer holds the lease"}
        return caught({"Error": "LeaseLostError", "Cause": json.dumps(error)})

    assert [cause.providers for cause in group([failing("a", lost("a")), failing("b", lost("b"))])] == [("a", "b")]
    invalid = [failing(name, fault.as_failure(), Condition.INVALID) for name, fault in FAULTS.items()]
    assert [(cause.cause, cause.providers) for cause in group(invalid)] == [
        ("InvalidProviderError: frequency: is missing", ("a", "b"))
    ]
    assert len(group([failing("a", orphaned("its lease expired")), failing("b", orphaned("its lease expired"))])) == 1
