"""From source objects to files of the standard model: what `glue/standardize.py` and `fanout mapping check` do."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]
from botocore.exceptions import BotoCoreError, ClientError
from pyarrow import parquet

from fanout_job.blocks import Bad, Block
from fanout_job.columns import Convert, conversion, converted
from fanout_job.csv_source import csv_blocks
from fanout_job.errors import (
    BadInputError,
    MappingError,
    ObjectChangedError,
    RecordError,
    RowError,
    StorageError,
    place_of,
)
from fanout_job.formats import PIECE_BYTES, decompressed
from fanout_job.json_source import json_blocks, json_line_blocks
from fanout_job.mapping import Csv, Json, JsonLines, Mapping, Xml
from fanout_job.model import Model
from fanout_job.objects import code_of, s3_client
from fanout_job.run import Run
from fanout_job.task import Source
from fanout_job.xml_source import xml_blocks

Record = dict[str, Any]
"""A row by field of the model, in Python's values: str, int, float, Decimal, bool, date, datetime or None."""

Transform = Callable[[Record], Record | None]
"""The user's own code for what a mapping cannot say."""

ROW_GROUP_BYTES = 2**25
"""Rows gathered in memory before they are written; a row group of the file."""


def convert(this: Run, model: Model, transform: Transform | None) -> None:
    """Turn each object of the run's manifest into one file of the model, by the provider's mapping.

    Raises
    ------
    MappingError, RunFailedError, StorageError
    """
    mapping, version = read_mapping(this)
    this.notes |= {"model": model.name, "mapping": version}
    Standardizer(mapping, model, transform)  # what is wrong with the mapping is told before anything is read
    this.each_object(lambda source: convert_object(source, mapping, model, transform))


def read_mapping(this: Run) -> tuple[Mapping, dict[str, str]]:
    """Return the provider's mapping, and where it lies in which version.

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
        except ClientError as error:
            if code_of(error) in ("NoSuchKey", "404"):
                continue
            raise StorageError(f"cannot be read ({code_of(error)})", uri=f"s3://{bucket}/{key}") from None
        except BotoCoreError as error:
            raise StorageError(f"cannot be read ({code_of(error)})", uri=f"s3://{bucket}/{key}") from None
        mapping = Mapping.parse(text, f"s3://{bucket}/{key}")
        return mapping, {"key": key, "version": found.get("VersionId") or found["ETag"].strip('"')}
    raise MappingError(f"the provider has no mapping: s3://{bucket} has neither {keys[0]} nor {keys[1]}")


def convert_object(source: Source, mapping: Mapping, model: Model, transform: Transform | None) -> None:
    """Write the file of one object, in one upload, whatever was there before.

    Rows before a damage are written, if bad input is put into the quarantine. Otherwise the file stays as it was.

    Raises
    ------
    BadInputError, ObjectChangedError, StorageError
    """
    settings = source.task.settings
    provenance = {"_source": source.object.uri, "_run": settings.run_id}
    damage: BadInputError | None = None
    with tempfile.TemporaryFile() as file, Writer(file, model, provenance) as writer:
        try:
            for rows in Standardizer(mapping, model, transform).rows(source.pieces(), source.bad_row):
                source.number = rows["_row"][-1].as_py()
                source.task.tally.rows += rows.num_rows
                source.task.check_deadline()
                writer.write(rows)
        except BadInputError as error:
            if isinstance(error, RecordError) or settings.on_bad_record == "fail":
                raise
            damage = error
        writer.close()
        upload(source, file, model.output_key(settings.provider, source.object.key))
    if damage is not None:
        raise damage


def upload(source: Source, file: IO[bytes], key: str) -> None:
    """Put a file where the source's rows belong, unless the source has changed meanwhile.

    A run that was given up and is still going must not replace the rows of a newer source by those of an older one.

    Raises
    ------
    ObjectChangedError, StorageError
    """
    obj, s3, bucket = source.object, source.task.s3, source.task.settings.data_bucket
    try:
        now = s3.head_object(Bucket=obj.bucket, Key=obj.key)["ETag"].strip('"')
    except (BotoCoreError, ClientError) as error:
        if code_of(error) not in ("404", "NoSuchKey"):
            raise StorageError(f"cannot be read ({code_of(error)})", uri=obj.uri) from None
        now = None
    if now != obj.etag:
        what = "overwritten" if now else "deleted"
        raise ObjectChangedError(f"was {what} after the run was planned; the next run plans anew", uri=obj.uri)
    file.seek(0)
    try:
        s3.put_object(Bucket=bucket, Key=key, Body=file, ContentType="application/vnd.apache.parquet")
    except (BotoCoreError, ClientError) as error:
        raise StorageError(f"cannot be written ({code_of(error)})", uri=f"s3://{bucket}/{key}") from None


def check(
    mapping: Mapping, model: Model, sample: IO[bytes], name: str, transform: Transform | None = None
) -> Iterator[tuple[int, Record | RecordError]]:
    """Yield each row of a sample, with its number, as it would come out, or what is wrong with it.

    Parameters
    ----------
    mapping, model, transform
    sample : binary file
        As it would lie on S3: plain or gzip.
    name : str
        Of the sample; one that ends in ".gz" has to be gzip.

    Raises
    ------
    MappingError, CorruptObjectError
    """
    wrong: list[tuple[int, RecordError]] = []

    def bad(error: RecordError, content: bytes | None) -> None:
        error.uri = name
        wrong.append((error.line or 0, error))

    pieces = decompressed(iter(lambda: sample.read(PIECE_BYTES), b""), name)
    for rows in Standardizer(mapping, model, transform).rows(pieces, bad):
        numbers = rows["_row"].to_pylist()
        good = zip(numbers, rows.drop_columns(["_row"]).to_pylist(), strict=True)
        last = numbers[-1]
        now = [one for one in wrong if one[0] <= last]
        wrong = [one for one in wrong if one[0] > last]
        yield from sorted([*good, *now], key=lambda one: one[0])
    yield from wrong


@dataclass
class Column:
    """How one field of the model comes about: from a source field, or from a value for all rows."""

    name: str
    kind: pa.DataType
    source: str | None
    convert: Convert
    constant: pa.Scalar | None


class Standardizer:
    """Turns a provider's bytes into rows of the model.

    Raises
    ------
    MappingError
        The mapping does not go with the model.
    """

    def __init__(self, mapping: Mapping, model: Model, transform: Transform | None = None) -> None:
        mapping.check_fields(model)
        self.mapping, self.model, self.transform = mapping, model, transform
        self.columns = [self._column(name) for name in mapping.fields]
        sources = [column.source for column in self.columns if column.source is not None]
        self.wanted = list(dict.fromkeys([*sources, *(mapping.extra.values() if transform else ())]))

    def _column(self, name: str) -> Column:
        kind, rule = self.model.fields[name].arrow, self.mapping.rule(name)
        convert = conversion(kind, rule)
        constant = None
        if rule.value is not None:
            try:
                constant = convert(pa.array([rule.value], pa.string()))[0]
            except (pa.ArrowInvalid, ValueError):
                what = f"{name}'s value is no {self.model.fields[name].type}"
                raise MappingError(what, uri=self.mapping.name, line=rule.line) from None
        return Column(name, kind, rule.source, convert, constant)

    def rows(self, pieces: Iterator[bytes], bad: Bad) -> Iterator[pa.Table]:
        """Yield tables of the model's columns and `_row`, which have a row at least.

        Parameters
        ----------
        pieces
            The object's bytes, unpacked.
        bad : callable
            Gets each row that does not fit.
        """
        for block in self._blocks(pieces, bad):
            rows = self._standard(block, bad)
            if rows.num_rows:
                yield rows

    def _blocks(self, pieces: Iterator[bytes], bad: Bad) -> Iterator[Block]:
        how = self.mapping.format_of
        match how:
            case Csv():
                return csv_blocks(pieces, how, self.wanted, bad)
            case Json():
                return json_blocks(pieces, how.records, self.wanted, bad)
            case JsonLines():
                return json_line_blocks(pieces, self.wanted, bad)
            case Xml():
                return xml_blocks(pieces, how, self.wanted, bad)

    def _standard(self, block: Block, bad: Bad) -> pa.Table:
        count = len(block.numbers)
        made: dict[str, pa.Array] = {}
        wrong: dict[int, RecordError] = {}
        for column in self.columns:
            if column.source is None:
                made[column.name] = pa.repeat(column.constant, count)
                continue
            made[column.name], places = converted(block.columns[column.source], column.kind, column.convert)
            for place in places:
                what = f"{column.name} (from {column.source!r}) is no {self.model.fields[column.name].type}"
                wrong.setdefault(place, RowError(what))
        for name, field in self.model.fields.items():
            if name not in made:
                made[name] = pa.nulls(count, field.arrow)
        if self.transform is not None:
            made, keep = self._transformed(block, made, wrong)
        else:
            keep = None
        self._check_required(made, wrong, keep)
        for place, error in sorted(wrong.items()):
            error.line = block.numbers[place].as_py()
            bad(error, block.row(place))
        table = pa.table({"_row": block.numbers, **made})
        left_out = {*wrong, *(() if keep is None else (n for n in range(count) if n not in keep))}
        return table.filter(pa.array([n not in left_out for n in range(count)])) if left_out else table

    def _check_required(self, made: dict[str, pa.Array], wrong: dict[int, RecordError], keep: set[int] | None) -> None:
        for name, field in self.model.fields.items():
            if field.required and made[name].null_count:
                for place in pc.indices_nonzero(pc.is_null(made[name])).to_pylist():
                    if keep is None or place in keep:
                        wrong.setdefault(place, RowError(f"{name} has no value, and the model requires one"))

    def _transformed(
        self, block: Block, made: dict[str, pa.Array], wrong: dict[int, RecordError]
    ) -> tuple[dict[str, pa.Array], set[int]]:
        """Return the columns as the user's transform leaves them, and the places of the rows it keeps."""
        assert self.transform is not None  # noqa: S101 - the caller has seen to it
        extra = {
            name: block.columns[source].cast(pa.string(), safe=False) for name, source in self.mapping.extra.items()
        }
        records: list[Record] = pa.table({**made, **extra}).to_pylist()
        kept: dict[int, Record] = {}
        for place, record in enumerate(records):
            if place in wrong:
                continue
            try:
                changed = self.transform(record)
                if changed is not None:
                    for name, field in self.model.fields.items():
                        pa.scalar(changed.get(name), field.arrow)
                    kept[place] = changed
            except Exception as error:  # noqa: BLE001 - the user's code may raise anything
                # Its text may hold the row: only its type and place are told.
                wrong[place] = RowError(
                    f"transform, or what it returned, raised {type(error).__name__} at {place_of(error)}"
                )
        rows = [kept.get(place, self.model.empty_record()) for place in range(len(records))]
        return {n: pa.array([r.get(n) for r in rows], f.arrow) for n, f in self.model.fields.items()}, set(kept)


class Writer:
    """Writes rows of the model as one Parquet file, in bounded memory.

    Parameters
    ----------
    file : binary file
    model : Model
    provenance : dict
        `_source` and `_run`, the same for all rows.
    """

    def __init__(self, file: IO[bytes], model: Model, provenance: dict[str, str]) -> None:
        self.schema, self.provenance = model.schema, provenance
        self.waiting: list[pa.Table] = []
        self.size = 0
        self.parquet = parquet.ParquetWriter(file, self.schema, compression="zstd", write_statistics=True)

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *what: Any) -> None:
        self.parquet.close()

    def write(self, rows: pa.Table) -> None:
        """Take rows in."""
        count = rows.num_rows
        columns = {name: pa.repeat(pa.scalar(value), count) for name, value in self.provenance.items()}
        columns |= {name: rows[name] for name in rows.column_names}
        self.waiting.append(pa.table([columns[name] for name in self.schema.names], schema=self.schema))
        self.size += rows.nbytes
        if self.size >= ROW_GROUP_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what has been taken in as a row group."""
        if self.waiting:
            self.parquet.write_table(pa.concat_tables(self.waiting))
            self.waiting, self.size = [], 0

    def close(self) -> None:
        """End the file."""
        self.flush()
        self.parquet.close()
