"""`make run JOB=standardize`: converts five formats to one table, and verifies every value in it.

As in `make run`, there are two ticks. Between them, one bad file is repaired, one is replaced and one is added. Then
DuckDB reads the table, whose rows must be the generated orders. For the user's own files, they must be the rows that
`fanout mapping check` shows.
"""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from demo import DemoError
from demo.orders import STYLES, Row, orders
from demo.plan import Files, Plan, with_threshold
from demo.run import Stage
from demo.sample_data import Part

TABLE = "standard"
"""Folder in the work directory for the table's files, which are kept."""
MAPPINGS = Path(__file__).with_name("mappings")


@dataclass(frozen=True)
class StandardPlan(Plan):
    """The demonstration's input and its expected result.

    Attributes
    ----------
    mappings
        Name of a mapping's object -> its bytes.
    expected
        Key of a source in the job's folder -> its rows at the end.
    """

    job: str = "standardize"
    mappings: dict[str, bytes] = field(default_factory=dict)
    expected: dict[str, list[Row]] = field(default_factory=dict)


def generated_plan(rows: int) -> StandardPlan:
    """Generate files of five providers, among them a bad file, a replaced file and a new file.

    Raises
    ------
    DemoError
        There are fewer than ten rows for each provider.
    """
    if rows < 10 * len(STYLES):
        raise DemoError(f"ROWS={rows}: set at least {10 * len(STYLES)}, ten for each of {len(STYLES)} providers.")
    expected: dict[str, list[Row]] = {}

    def part(name: str, file: str, count: int, seed: str) -> Part:
        key = f"provider={name}/{file}{STYLES[name].suffix}"
        expected[key] = orders(STYLES[name], count, seed)
        return Part(key, STYLES[name].write(expected[key]), count)

    names = list(STYLES)
    first = {}
    for number, name in enumerate(names):
        count = rows // (2 * len(names)) * (2 if number < 2 else 1)
        first[name] = [part(name, f"2026-0{month}", max(5, count // 2), f"{name}-{month}") for month in (1, 2)]
    first[names[-1]] = first[names[-1]][:1]  # the provider with the bad file has only that file
    del expected[f"provider={names[-1]}/2026-02{STYLES[names[-1]].suffix}"]
    second = {
        names[1]: [part(names[1], "2026-01", 7, f"{names[1]}-replaced")],
        names[3]: [part(names[3], "2026-03", 11, f"{names[3]}-3")],
    }
    plan = StandardPlan(first, second, corrupt=names[-1], mappings=_mappings(MAPPINGS), expected=expected)
    return with_threshold(plan)


def _mappings(folder: Path) -> dict[str, bytes]:
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix in (".yaml", ".json") and path.is_file())
        return {path.name: path.read_bytes() for path in files}
    except OSError as error:
        raise DemoError(f"{error.filename} cannot be read: {error.strerror}.") from None


def own_plan(files: Path, mappings: Path) -> StandardPlan:
    """Read the user's files, provider=NAME/**, and their mappings, NAME.yaml or NAME.json.

    Raises
    ------
    DemoError
        There are no files, a provider has no mapping, or a mapping is invalid.
    """
    first: dict[str, list[Part]] = {}
    expected: dict[str, list[Row]] = {}
    found = _mappings(mappings)
    there = Files.of(files)
    for name, key, body in ((name, *file) for name, found_files in there.data.items() for file in found_files.items()):
        mapping = next((mappings / f"{name}{kind}" for kind in (".yaml", ".json") if f"{name}{kind}" in found), None)
        if mapping is None:
            raise DemoError(f"{name} has files, but no mapping. Add {mappings / name}.yaml.")
        expected[key] = _good_rows(mapping, files / key)
        first.setdefault(name, []).append(Part(key, body, len(expected[key])))
    ignored = tuple(Part(key, body, 0) for key, body in there.ignored.items())
    used = {name: body for name, body in found.items() if Path(name).stem in first}
    plan = StandardPlan(first, ignored=ignored, refused=tuple(there.refused), mappings=used, expected=expected)
    return with_threshold(plan)


def _good_rows(mapping: Path, sample: Path) -> list[Row]:
    """Return a file's rows as the job writes them: none of a file with a bad row, whose run fails and reports it."""
    from cli.errors import UsageError
    from cli.jobs import StandardJob

    try:
        job = StandardJob.load("standardize")
        rows = list(job.rows(job.mapping(mapping), sample))
    except UsageError as error:
        raise DemoError(str(error)) from error
    good = [row for row in rows if isinstance(row, dict)]
    return good if len(good) == len(rows) else []


class StandardStage(Stage):
    """The demonstration of the standard model on a running cloud."""

    _plan: StandardPlan

    def _register(self) -> None:
        s3, bucket = self._cloud.client("s3"), self._cloud.outputs["DataBucketName"]
        for name, body in self._plan.mappings.items():
            s3.put_object(Bucket=bucket, Key=f"mappings/{name}", Body=body)
        super()._register()

    def _receive(self) -> None:
        """Do nothing: this job sends no messages."""

    def _verify(self) -> tuple[list[str], dict[str, dict[str, int]]]:
        columns, table = self._read_back()
        wanted: Counter[tuple[Any, ...]] = Counter()
        for key, rows in self._plan.expected.items():
            source = f"s3://{self._bucket}/{self._prefix}/{key}"
            provider = key.split("/")[0].removeprefix("provider=")
            wanted.update((provider, source, *(row[name] for name in columns)) for row in rows)
        faults = [f"not in the table: {row}" for row in list((wanted - table).elements())]
        faults += [f"not in any source: {row}" for row in list((table - wanted).elements())]
        return faults, {
            name: {
                "rows": sum(count for row, count in wanted.items() if row[0] == name),
                "table_rows": sum(count for row, count in table.items() if row[0] == name),
            }
            for name in self._plan.providers
        }

    def _read_back(self) -> tuple[list[str], Counter[tuple[Any, ...]]]:
        """Return the model's columns, and the table's rows: provider, source, and a value for each column."""
        import duckdb

        folder, bucket = self._cloud.workdir / TABLE, self._cloud.outputs["DataBucketName"]
        shutil.rmtree(folder, ignore_errors=True)
        for entry in self._cloud.objects(bucket, f"{TABLE}/"):
            path = self._cloud.workdir / entry["Key"]
            path.parent.mkdir(parents=True, exist_ok=True)
            self._cloud.client("s3").download_file(bucket, entry["Key"], str(path))
        if not list(folder.glob("**/*.parquet")):
            return [], Counter()
        with duckdb.connect() as database:
            database.execute("SET TimeZone = 'UTC'")
            files = str(folder / "**" / "*.parquet").replace("'", "''")
            database.execute(f"CREATE VIEW t AS SELECT * FROM read_parquet('{files}', hive_partitioning = true)")  # noqa: S608 - our own folder
            kinds = {name: kind for name, kind, *_ in database.execute("DESCRIBE t").fetchall()}
            columns = [name for name in kinds if not name.startswith("_") and name not in ("model", "provider")]
            # Timestamps without a time zone, in UTC, because DuckDB needs another library for time zones.
            asked = [f'"{n}"::TIMESTAMP' if "TIME ZONE" in kinds[n] else f'"{n}"' for n in columns]
            found = database.execute(f"SELECT provider, _source, {', '.join(asked)} FROM t").fetchall()  # noqa: S608 - the model's columns
        self._screen.say(f"DuckDB reads {len(found)} rows of one table from {folder}")
        return columns, Counter(tuple(_in_utc(value) for value in row) for row in found)


def _in_utc(value: Any) -> Any:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) and value.tzinfo is None else value
