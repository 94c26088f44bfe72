"""Which mapping a standardize run reads, and that a Lambda run stops between the rows of an object."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from contract.manifest import Manifest, PlannedObject, StoredObject
from fanout_job import standard
from fanout_job.errors import DeadlineError, MappingError, StorageError
from fanout_job.run import Run
from fanout_job.task import Task, guarded
from tests.unit.job.records import SETTINGS
from tests.unit.job.standardizing import MODEL
from tests.unit.job.test_standard_files import CSV, MemoryS3

NOW = datetime(2026, 11, 22, tzinfo=UTC)
YAML, JSON = "mappings/acme.yaml", "mappings/acme.json"
BODIES = {YAML: b"csv:\nfields: {id: yaml}", JSON: b'{"csv": {}, "fields": {"id": "json"}}'}


class Mappings:
    """S3 with mappings; a key without an object has an error."""

    def __init__(self, *keys: str, **errors: str) -> None:
        self.bodies = {key: BODIES[key] for key in keys}
        self.version: str | None = None
        self.errors = {YAML: errors.get("yaml", "NoSuchKey"), JSON: errors.get("json", "NoSuchKey")}

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803 - boto3's names
        if Key not in self.bodies:
            raise ClientError({"Error": {"Code": self.errors[Key]}}, "GetObject")
        return {"Body": io.BytesIO(self.bodies[Key]), "ETag": f'"etag of {Key}"', "VersionId": self.version}


def read(s3: Mappings, monkeypatch: pytest.MonkeyPatch) -> tuple[str, dict[str, str]]:
    """The column from which the mapping takes `id`, and the mapping's version."""
    monkeypatch.setattr(standard, "s3_client", lambda: s3)
    mapping, version = standard.read_mapping(SimpleNamespace(settings=SETTINGS))  # type: ignore[arg-type]
    (column,) = mapping.fields["id"].source  # type: ignore[misc]
    return str(column), version


@pytest.mark.parametrize(("there", "taken"), [((YAML, JSON), YAML), ((YAML,), YAML), ((JSON,), JSON)])
def test_the_yaml_mapping_is_read_before_the_json_mapping(
    there: tuple[str, ...], taken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    column, version = read(Mappings(*there), monkeypatch)

    assert column == taken.rpartition(".")[2]
    assert version == {"key": taken, "version": f"etag of {taken}"}


def test_the_version_of_a_mapping_in_a_versioned_bucket_is_its_version_id(monkeypatch: pytest.MonkeyPatch) -> None:
    s3 = Mappings(YAML)
    s3.version = "v7"
    assert read(s3, monkeypatch)[1] == {"key": YAML, "version": "v7"}


def converting(mapping: bytes, monkeypatch: pytest.MonkeyPatch) -> tuple[Run, MemoryS3]:
    """A run with one object."""
    s3, key = MemoryS3(), "in/a.csv"
    s3.put_object("data", key, b"a\nx\n")
    s3.put_object("data", YAML, mapping)
    planned = StoredObject(key, 4, s3.objects[key][1], NOW)
    manifest = Manifest(
        provider="acme", run_id="run-1", generation=1, created_at=NOW, bucket="data", objects=(planned,)
    )
    s3.put_object("data", "m.json", manifest.to_json())
    for module in ("run", "standard", "task"):
        monkeypatch.setattr(f"fanout_job.{module}.s3_client", lambda: s3)
    return Run(SETTINGS, "lambda"), s3


def test_a_run_writes_the_file_of_each_object_and_notes_its_model_and_mapping(monkeypatch: pytest.MonkeyPatch) -> None:
    run, s3 = converting(b"csv:\nfields: {id: a}", monkeypatch)
    standard.convert(run, MODEL, None)
    assert run.notes == {"model": "things", "mapping": {"key": YAML, "version": "2"}}
    assert (run.tally.objects, run.tally.rows) == (1, 1)
    assert MODEL.output_key("acme", "in/a.csv") in s3.objects


def test_a_mapping_that_does_not_fit_the_model_is_an_error_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    run, _ = converting(b"csv:\nfields: {note: a}", monkeypatch)
    with pytest.raises(MappingError, match="fields lacks id, which the model requires"):
        standard.convert(run, MODEL, None)


def test_without_a_mapping_the_error_names_both_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MappingError, match=rf"s3://data has neither {YAML} nor {JSON}"):
        read(Mappings(), monkeypatch)


@pytest.mark.parametrize("code", ["AccessDenied", "SlowDown", "KMS.DisabledException"])
def test_a_mapping_that_cannot_be_read_is_not_taken_for_a_missing_one(
    code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StorageError, match=rf"cannot be read \({code}\)") as caught:
        read(Mappings(JSON, yaml=code), monkeypatch)
    assert caught.value.uri == f"s3://data/{YAML}"


def test_a_run_whose_time_is_up_stops_before_it_writes_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """The object is small, so that its only piece was read in time."""
    s3, key = MemoryS3(), "in/a.csv"
    s3.put_object("data", key, b"a,b\nx,1\n")
    task = Task(SETTINGS)
    task.s3 = s3
    checks: list[int] = []

    def check() -> None:
        checks.append(len(checks))
        if len(checks) > 1:
            raise DeadlineError

    monkeypatch.setattr(task, "check_deadline", check)

    def work(source: Any) -> list[None]:
        standard.convert_object(source, CSV, MODEL, None)
        return [None]

    with guarded(task):
        list(task.each([PlannedObject("data", key, 8, s3.objects[key][1], 0)], work))
    assert [failure.type for failure in task.tally.failures] == ["DeadlineError"]
    assert set(s3.objects) == {key}, "there is no output file"
