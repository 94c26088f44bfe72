"""Documents of the contract are read back as they were written, and invalid ones are rejected."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.document import ContractError, from_json, plain, to_json
from contract.failure import ExplainedError, Failure
from contract.manifest import Manifest, PlannedObject, Replay, StoredObject
from contract.result import JobResult, in_order

NOW = datetime(2026, 11, 22, 7, 30, tzinfo=UTC)
SCHEMAS = Path(__file__).parents[3] / "docs" / "reference" / "contract"
MANIFEST = Manifest(
    provider="acme",
    run_id="r1",
    generation=4,
    created_at=NOW,
    bucket="data",
    objects=(StoredObject("log/a", 7, "e1", NOW - timedelta(microseconds=1)), StoredObject("log/b", 8, "e2", NOW)),
    backlog=3,
    pending_count=9,
    replay=Replay(NOW - timedelta(hours=1), NOW),
    carried=(StoredObject("log/0", 1, "e0", NOW),),
)
FAILURE = Failure(
    type="RecordError", message="not JSON at column 7", cause="not JSON", advice="Fix it.", object="s3://b/k", line=2
)
RESULT = JobResult(
    run_id="r1",
    provider="acme",
    job="change_log",
    engine="lambda",
    status="failed",
    objects=2,
    bytes=15,
    rows=70,
    messages=69,
    quarantined=0,
    seconds=1.5,
    workers=1,
    notes={"mapping": {"key": "mappings/acme.yaml"}},
    failure=FAILURE,
    failures=(FAILURE, replace(FAILURE, line=None, object=None, unit="row", transient=True)),
    failure_count=31,
)
DOCUMENTS = [
    pytest.param(MANIFEST, id="manifest"),
    pytest.param(RESULT, id="result"),
    pytest.param(FAILURE, id="failure"),
]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_written_document_is_read_back_unchanged(document: Any) -> None:
    assert from_json(type(document), to_json(document)) == document


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_written_document_is_valid_by_its_schema(document: Any, request: pytest.FixtureRequest) -> None:
    name = request.node.callspec.id
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))
    validator = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())

    validator.check_schema(schema)
    validator.validate(json.loads(to_json(document)))
    assert schema["properties"].keys() == plain(document).keys()
    assert not validator.is_valid({**plain(document), next(iter(schema["properties"])): None})


def test_a_manifest_numbers_its_objects_and_names_their_bucket() -> None:
    assert MANIFEST.planned() == [
        PlannedObject("data", "log/a", 7, "e1", 0),
        PlannedObject("data", "log/b", 8, "e2", 1),
    ]
    assert MANIFEST.planned()[1].uri == "s3://data/log/b"
    assert json.loads(MANIFEST.to_json())["replay"] == {"from": "2026-11-22T06:30:00Z", "to": "2026-11-22T07:30:00Z"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": 2}, "version: expected 1"),
        ({"version": None}, "version: expected 1"),
        ({"version": True}, "version: expected 1"),
        ({"provider": 7}, "provider: expected a string"),
        ({"generation": "7"}, "generation: expected an integer"),
        ({"generation": True}, "generation: expected an integer"),
        ({"generation": 7.0}, "generation: expected an integer"),
        ({"created_at": "2026-11-22T07:30:00"}, "created_at: expected a time in ISO 8601 with a time zone"),
        ({"created_at": 7}, "created_at: expected a time in ISO 8601 with a time zone"),
        ({"objects": {}}, "objects: expected an array"),
        ({"objects": [None]}, r"objects\[0\]: expected an object"),
        ({"objects": [plain(MANIFEST.objects[0]), {"key": "k"}]}, r"objects\[1\].size: expected a value"),
        ({"replay": {"from": "2026-11-22T07:30:00Z"}}, "replay.to: expected a value"),
        ({"replay": {"from": "2026-11-22T07:30:00Z", "to": "2026-11-21T07:30:00Z"}}, "replay: expected `from` before"),
    ],
)
def test_the_error_of_an_invalid_document_names_the_field_and_the_expected_type(
    changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ContractError, match=f"^{words}"):
        Manifest.from_json(json.dumps({**plain(MANIFEST), **changes}).encode())


@pytest.mark.parametrize("document", [MANIFEST, RESULT])
def test_a_document_without_a_version_is_refused(document: Any) -> None:
    value = plain(document)
    del value["version"]

    with pytest.raises(ContractError, match="^version: expected a value"):
        from_json(type(document), json.dumps(value).encode())


@pytest.mark.parametrize("text", [b"", b"canary", b"\xff", b"[" * 10_000, b'{"version": NaN}'])
def test_a_document_that_is_no_json_is_rejected_without_showing_its_content(text: bytes) -> None:
    with pytest.raises(ContractError, match="^expected JSON$"):
        JobResult.from_json(text)


@pytest.mark.parametrize("text", [b"null", b"7", b"[]"])
def test_a_document_that_is_no_json_object_is_rejected(text: bytes) -> None:
    with pytest.raises(ContractError, match="^expected an object$"):
        JobResult.from_json(text)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"seconds": float("nan")}, ValueError, "not JSON compliant"),
        ({"notes": {"mapping": b"x"}}, TypeError, "a bytes has no JSON form"),
    ],
)
def test_a_value_that_json_does_not_have_is_not_written(
    changes: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        to_json(replace(RESULT, **changes))


def test_a_number_may_be_written_without_a_fraction() -> None:
    assert JobResult.from_json(json.dumps({**plain(RESULT), "seconds": 2}).encode()) == replace(RESULT, seconds=2.0)


def test_an_unknown_field_is_ignored_and_a_field_with_a_default_may_be_absent() -> None:
    value = plain(MANIFEST)
    for name in ("backlog", "pending_count", "replay", "carried"):
        del value[name]

    read = Manifest.from_json(json.dumps({**value, "more": 1}).encode())

    assert read == replace(MANIFEST, backlog=0, pending_count=0, replay=None, carried=None)
    without = {name: one for name, one in plain(RESULT).items() if name != "notes"}
    assert JobResult.from_json(json.dumps(without).encode()) == replace(RESULT, notes={})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from([MANIFEST, RESULT, FAILURE]), st.data())
def test_any_value_of_a_field_is_read_as_its_type_or_rejected(document: Any, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([one.name for one in fields(document)]))
    text = json.dumps({**plain(document), name: data.draw(JSON)}).encode()

    try:
        read = from_json(type(document), text)
    except ContractError as error:
        refused: ContractError | None = error
    else:
        refused = None
        assert from_json(type(document), to_json(read)) == read
    assert refused is None or str(refused).startswith(name)


class TestFailure:
    def test_in_one_line_it_has_type_place_message_and_the_number_of_further_failures(self) -> None:
        assert FAILURE.in_one_line() == "RecordError: s3://b/k, line 2: not JSON at column 7"
        assert FAILURE.in_one_line(2) == "RecordError: s3://b/k, line 2: not JSON at column 7 (and 1 more)"
        assert FAILURE.in_one_line(1_001) == "RecordError: s3://b/k, line 2: not JSON at column 7 (and 1,000 more)"
        assert replace(FAILURE, message="a\n  b", line=None).in_one_line() == "RecordError: s3://b/k: a b"
        assert len(replace(FAILURE, message="x" * 5_000).in_one_line(3)) == 1_000

    def test_its_kind_is_its_type_with_its_cause_or_else_its_message(self) -> None:
        assert FAILURE.kind == "RecordError: not JSON"
        assert replace(FAILURE, cause="").kind == "RecordError: not JSON at column 7"

    def test_failures_are_sorted_by_object_and_line_and_those_without_an_object_are_last(self) -> None:
        def of(object_: str | None, line: int | None) -> Failure:
            return replace(FAILURE, object=object_, line=line)

        ordered = [of("s3://b/a", line) for line in (None, 1, 10)]
        ordered += [of("s3://b/b", 1), of(None, None), of(None, 1)]

        assert in_order(reversed(ordered)) == ordered


class StockError(ExplainedError):
    """Nothing
    is left.
    """

    advice = "Order more."
    transient = True


class TestExplainedError:
    def test_its_message_is_its_docstring_in_one_line_unless_another_is_given(self) -> None:
        assert str(StockError()) == "Nothing is left."
        assert str(StockError("no screws", uri="s3://b/k", line=2)) == "s3://b/k, line 2: no screws"

    def test_as_a_failure_it_has_its_cause_or_else_its_message_as_cause(self) -> None:
        failure = StockError("no screws", cause="no parts").as_failure()

        assert failure == Failure(
            type="StockError", message="no screws", cause="no parts", advice="Order more.", transient=True
        )
        assert StockError("no screws").as_failure().cause == "no screws"
