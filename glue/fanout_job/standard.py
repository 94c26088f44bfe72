"""Converts source objects to files of the standard model, for `glue/standardize.py` and `fanout mapping check`."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from typing import IO, Any

import pyarrow as pa  # type: ignore[import-untyped]
from botocore.exceptions import BotoCoreError, ClientError
from pyarrow import parquet

from fanout_job.archives import unpacked
from fanout_job.errors import (
    BadInputError,
    CheckFailedError,
    CorruptObjectError,
    MappingError,
    ObjectChangedError,
    RecordError,
    RowError,
    StorageError,
)
from fanout_job.formats import PIECE_BYTES
from fanout_job.mapping import Mapping
from fanout_job.model import Model
from fanout_job.objects import code_of, s3_client
from fanout_job.run import Run
from fanout_job.standardizer import Record, Standardizer, Transform
from fanout_job.task import Source

ROW_GROUP_BYTES = 2**25
"""Minimum size of a row group: rows collected in memory before they are written."""
UPLOADS = 3
"""Attempts to upload a file that another run, or an upload of this run with a lost response, wrote meanwhile."""
WRITTEN_MEANWHILE = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "404", "NoSuchKey"})
"""S3's error codes for a conditional put of an object that has changed."""


def convert(this: Run, model: Model, transform: Transform | None) -> None:
    """Convert each object of the run's manifest to one file of the model, by the provider's mapping.

    Raises
    ------
    MappingError, RunFailedError, StorageError
    """
    mapping, version = read_mapping(this)
    this.notes |= {"model": model.name, "mapping": version}
    Standardizer(mapping, model, transform)  # checks the mapping before any object is read
    this.each_object(lambda source: convert_object(source, mapping, model, transform))


def read_mapping(this: Run) -> tuple[Mapping, dict[str, str]]:
    """Return the provider's mapping, and its key and version.

    Raises
    ------
    MappingError, StorageError
    """
    s3, bucket = s3_client(), this.settings.data_bucket
    keys = [f"mappings/{this.settings.provider}.{kind}" for kind in ("yaml", "json")]
    for key in keys:
        try:
            found = s3.get_object(Bucket=bucket, Key=key)
            text = found["Body"].read()
        except (BotoCoreError, ClientError) as error:
            if code_of(error) in ("NoSuchKey", "404"):
                continue
            raise StorageError(f"cannot be read ({code_of(error)})", uri=f"s3://{bucket}/{key}") from None
        mapping = Mapping.parse(text, f"s3://{bucket}/{key}")
        return mapping, {"key": key, "version": found.get("VersionId") or found["ETag"].strip('"')}
    raise MappingError(f"the provider has no mapping: s3://{bucket} has neither {keys[0]} nor {keys[1]}")


def convert_object(source: Source, mapping: Mapping, model: Model, transform: Transform | None) -> None:
    """Write the file of one object in one upload, which replaces an earlier file.

    If an object is corrupt and OnBadRecord=quarantine, the rows before the damage are written. Without such rows, or
    with OnBadRecord=fail, the earlier file remains.

    Raises
    ------
    BadInputError, ObjectChangedError, StorageError
    """
    settings = source.task.settings
    provenance = {"_source": source.object.uri, "_run": settings.run_id}
    damage: BadInputError | None = None
    with tempfile.TemporaryFile() as file, Writer(file, model, provenance) as writer:
        try:
            for rows in Standardizer(mapping, model, transform, settings.provider).rows(
                source.pieces(unpacked), source.bad_row
            ):
                source.number = rows["_row"][-1].as_py()
                source.task.tally.rows += rows.num_rows
                source.task.check_deadline()
                writer.write(rows)
        except BadInputError as error:
            error.unit = RowError.unit
            if isinstance(error, RecordError) or settings.on_bad_record == "fail":
                raise
            damage = error
        writer.close()
        if damage is not None and not writer.rows:
            raise damage  # keeps the rows of an earlier version
        upload(source, file, model.output_key(settings.provider, source.object.key))
    if damage is not None:
        raise damage


def upload(source: Source, file: IO[bytes], key: str) -> None:
    """Upload the output file of a source, unless the source has changed meanwhile.

    A run that lost its lease but still runs must not replace the rows of a newer source with those of an older one. So
    the upload requires that no other run has written the file since the last check of the source.

    Raises
    ------
    ObjectChangedError, StorageError
    """
    obj, s3, bucket = source.object, source.task.s3, source.task.settings.data_bucket
    for _ in range(UPLOADS):
        before = etag_of(s3, bucket, key)
        now = etag_of(s3, obj.bucket, obj.key)
        if now != obj.etag:
            what = "overwritten" if now else "deleted"
            raise ObjectChangedError(f"was {what} after the run was planned", uri=obj.uri)
        file.seek(0)
        as_seen = {"IfMatch": before} if before else {"IfNoneMatch": "*"}
        try:
            s3.put_object(Bucket=bucket, Key=key, Body=file, ContentType="application/vnd.apache.parquet", **as_seen)
        except (BotoCoreError, ClientError) as error:
            if code_of(error) in WRITTEN_MEANWHILE:
                continue
            raise StorageError(f"cannot be written ({code_of(error)})", uri=f"s3://{bucket}/{key}") from None
        return
    raise ObjectChangedError("is being written by another run", uri=f"s3://{bucket}/{key}")


def etag_of(s3: Any, bucket: str, key: str) -> str | None:
    """Return the ETag of an object without quotes; None if the object does not exist.

    Raises
    ------
    StorageError
    """
    try:
        return str(s3.head_object(Bucket=bucket, Key=key)["ETag"]).strip('"')
    except (BotoCoreError, ClientError) as error:
        if code_of(error) in ("404", "NoSuchKey"):
            return None
        raise StorageError(f"cannot be read ({code_of(error)})", uri=f"s3://{bucket}/{key}") from None


def check(
    mapping: Mapping, model: Model, sample: IO[bytes], name: str, transform: Transform | None = None, provider: str = ""
) -> Iterator[tuple[int, Record | RecordError]]:
    """Yield each row of a sample: its number, and the converted row or its error, with the texts of a bad value.

    Parameters
    ----------
    mapping, model, transform
    sample : binary file
        With the same bytes as on S3, compressed or not.
    name : str
        Name of the sample in errors. If it ends in ".gz", the sample must be gzip.
    provider : str
        The provider's name, for `transform`.

    Raises
    ------
    MappingError, CorruptObjectError
    """
    wrong: list[tuple[int, RecordError]] = []

    def bad(error: RecordError, content: bytes | None) -> None:
        error.uri = name
        if isinstance(error, RowError) and error.sources:
            texts = json.loads(content or b"{}")
            error.values = {source: texts.get(source) for source in error.sources}
        wrong.append((error.line or 0, error))

    pieces = unpacked(iter(lambda: sample.read(PIECE_BYTES), b""), name)
    try:
        for rows in Standardizer(mapping, model, transform, provider).rows(pieces, bad):
            numbers = rows["_row"].to_pylist()
            good = zip(numbers, rows.drop_columns(["_row"]).to_pylist(), strict=True)
            now = [one for one in wrong if one[0] <= numbers[-1]]
            wrong = [one for one in wrong if one[0] > numbers[-1]]
            yield from sorted([*good, *now], key=lambda one: one[0])
    except (CorruptObjectError, CheckFailedError) as error:
        error.uri, error.unit = name, RowError.unit
        raise
    yield from sorted(wrong, key=lambda one: one[0])


class Writer:
    """Writes rows of the model as one Parquet file, in bounded memory.

    Parameters
    ----------
    file : binary file
    model : Model
    provenance : dict
        Values of `_source` and `_run`, the same for all rows.
    """

    def __init__(self, file: IO[bytes], model: Model, provenance: dict[str, str]) -> None:
        self.schema, self.provenance = model.schema, provenance
        self.waiting: list[pa.Table] = []
        self.size = self.rows = 0
        self.parquet = parquet.ParquetWriter(file, self.schema, compression="zstd")

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *what: Any) -> None:
        self.parquet.close()

    def write(self, rows: pa.Table) -> None:
        """Add rows."""
        count = rows.num_rows
        columns = {name: pa.repeat(pa.scalar(value), count) for name, value in self.provenance.items()}
        columns |= {name: rows[name] for name in rows.column_names}
        self.waiting.append(pa.table([columns[name] for name in self.schema.names], schema=self.schema))
        self.size += rows.nbytes
        self.rows += count
        if self.size >= ROW_GROUP_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write the added rows as a row group."""
        if self.waiting:
            self.parquet.write_table(pa.concat_tables(self.waiting))
            self.waiting, self.size = [], 0

    def close(self) -> None:
        """Complete the file."""
        self.flush()
        self.parquet.close()
