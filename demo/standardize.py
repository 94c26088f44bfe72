"""`make run JOB=standardize`: five formats become one table, and the proof that each value in it is the source's.

The acts are those of `make run`: two ticks, and in between a bad file is repaired, one is replaced and one is added.
Then DuckDB reads the table, and its rows are compared with the orders that were made up before they were written in any
format. Of files of the user's own the truth is what `fanout mapping check` would show of each.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from demo.orders import STYLES, Row, orders
from demo.plan import Plan, with_threshold
from demo.run import Stage
from demo.sample_data import Part
from laptop_cloud.errors import DemoError

TABLE = "standard"
"""Folder below the work directory for the table's files, which stay there to be looked at."""


@dataclass(frozen=True)
class StandardPlan(Plan):
    """What the demonstration puts in, and what has to come out.

    Attributes
    ----------
    mappings
        Name of a mapping's object -> its bytes.
    truth
        Key of a source below the job's folder -> its rows, as they are at the end.
    """

    job: str = "standardize"
    mappings: dict[str, bytes] = field(default_factory=dict)
    truth: dict[str, list[Row]] = field(default_factory=dict)


def made_up_plan(rows: int) -> StandardPlan:
    """Five providers, one bad file, a replaced one and a new one.

    Raises
    ------
    DemoError
        Fewer rows than ten for each provider.
    """
    if rows < 10 * len(STYLES):
        raise DemoError(f"ROWS={rows}: give at least {10 * len(STYLES)}, ten for each of {len(STYLES)} providers.")
    truth: dict[str, list[Row]] = {}

    def part(name: str, file: str, count: int, seed: str) -> Part:
        key = f"provider={name}/{file}{STYLES[name].suffix}"
        truth[key] = orders(STYLES[name], count, seed)
        return Part(key, STYLES[name].write(truth[key]), count)

    names = list(STYLES)
    first = {}
    for place, name in enumerate(names):
        count = rows // (2 * len(names)) * (2 if place < 2 else 1)
        first[name] = [part(name, f"2026-0{month}", max(5, count // 2), f"{name}-{month}") for month in (1, 2)]
    first[names[-1]] = first[names[-1]][:1]  # the provider of the bad file has one
    del truth[f"provider={names[-1]}/2026-02{STYLES[names[-1]].suffix}"]
    second = {
        names[1]: [part(names[1], "2026-01", 7, f"{names[1]}-replaced")],
        names[3]: [part(names[3], "2026-03", 11, f"{names[3]}-3")],
    }
    mappings = {f"{name}.yaml": style.mapping.encode() for name, style in STYLES.items()}
    made = StandardPlan(first, second, corrupt=names[-1], mappings=mappings, truth=truth)
    return with_threshold(made)


def own_plan(files: Path, mappings: Path) -> StandardPlan:
    """The user's files below provider=NAME/, and their mappings NAME.yaml or NAME.json.

    Raises
    ------
    DemoError
        There are none, a provider has no mapping, or a mapping is no good.
    """
    first: dict[str, list[Part]] = {}
    truth: dict[str, list[Row]] = {}
    found = {path.name: path.read_bytes() for path in sorted(mappings.glob("*")) if path.suffix in (".yaml", ".json")}
    for path in sorted(path for path in files.glob("provider=*/**/*") if path.is_file()):
        key, name = path.relative_to(files).as_posix(), path.relative_to(files).parts[0].removeprefix("provider=")
        mapping = next((mappings / f"{name}{kind}" for kind in (".yaml", ".json") if f"{name}{kind}" in found), None)
        if mapping is None:
            raise DemoError(f"{name} has files, but there is no {mappings / name}.yaml.")
        truth[key] = list(_good_rows(mapping, path))
        first.setdefault(name, []).append(Part(key, path.read_bytes(), len(truth[key])))
    if not first:
        raise DemoError(f"There is no provider=NAME/ with a file in it below {files}.")
    return with_threshold(StandardPlan(first, mappings=found, truth=truth))


def _good_rows(mapping: Path, sample: Path) -> list[Row]:
    """A file's rows as the job would write them; those that would fail are told by its run."""
    from cli.errors import UsageError
    from cli.jobs import StandardJob

    try:
        job = StandardJob.load("standardize")
        return [row for _, row in job.rows(job.mapping(mapping), sample) if isinstance(row, dict)]
    except UsageError as error:
        raise DemoError(str(error)) from error


class StandardStage(Stage):
    """The demonstration of the standard model, once the cloud is up."""

    _plan: StandardPlan

    def _register(self) -> None:
        s3, bucket = self._cloud.client("s3"), self._cloud.outputs["DataBucketName"]
        for name, body in self._plan.mappings.items():
            s3.put_object(Bucket=bucket, Key=f"mappings/{name}", Body=body)
        super()._register()

    def _receive(self) -> None:
        """Nothing is sent."""

    def _report(self) -> dict[str, Any]:
        columns, table = self._read_back()
        wanted: Counter[tuple[Any, ...]] = Counter()
        for key, rows in self._plan.truth.items():
            source = f"s3://{self._bucket}/{self._prefix}/{key}"
            provider = key.split("/")[0].removeprefix("provider=")
            wanted.update((provider, source, *(row[name] for name in columns)) for row in rows)
        faults = [f"not in the table: {row}" for row in list((wanted - table).elements())]
        faults += [f"not in any source: {row}" for row in list((table - wanted).elements())]
        faults += self._unexpected_outcomes()
        return {
            "ok": not faults,
            "faults": faults,
            "providers": {
                name: self._provider_rows(name, sum(count for row, count in table.items() if row[0] == name))
                for name in self._plan.providers
            },
            "totals": {
                "providers": len(self._plan.providers),
                "rows": wanted.total(),
                "table_rows": table.total(),
                "sources": len({row[1] for row in table}),
                "executions": sum(len(runs) for runs in self._tick_runs),
                "job_runs": len(self._cloud.job_runs()),
            },
            "table": str(self._cloud.workdir / TABLE),
            "lambda_max_bytes": self._plan.lambda_max_bytes,
            "ticks": self._ticks,
        }

    def _provider_rows(self, name: str, in_table: int) -> dict[str, Any]:
        runs = [run for tick in self._tick_runs for run in tick if run.provider == name]
        told = ("status", "engine", "rows", "error")
        largest = max((run for run in runs if run.rows), key=lambda run: run.rows or 0, default=None)
        return {
            "status": runs[-1].state if runs else "never run",
            "engine": largest.engine if largest else "none",
            "rows": sum(len(rows) for key, rows in self._plan.truth.items() if key.startswith(f"provider={name}/")),
            "table_rows": in_table,
            "runs": [{one: getattr(run, one) for one in told} for run in runs],
        }

    def _read_back(self) -> tuple[list[str], Counter[tuple[Any, ...]]]:
        """The model's columns, and the table's rows: provider, source, and a value for each column."""
        import duckdb

        folder, s3 = self._cloud.workdir / TABLE, self._cloud.client("s3")
        for old in folder.glob("**/*.parquet"):
            old.unlink()
        bucket = self._cloud.outputs["DataBucketName"]
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{TABLE}/"):
            for entry in page.get("Contents", []):
                path = self._cloud.workdir / entry["Key"]
                path.parent.mkdir(parents=True, exist_ok=True)
                s3.download_file(bucket, entry["Key"], str(path))
        if not list(folder.glob("**/*.parquet")):
            return [], Counter()
        with duckdb.connect() as database:
            database.execute("SET TimeZone = 'UTC'")
            files = str(folder / "**" / "*.parquet").replace("'", "''")
            database.execute(f"CREATE VIEW t AS SELECT * FROM read_parquet('{files}', hive_partitioning = true)")  # noqa: S608 - a folder of our own
            kinds = {name: kind for name, kind, *_ in database.execute("DESCRIBE t").fetchall()}
            columns = [name for name in kinds if not name.startswith("_") and name not in ("model", "provider")]
            # As timestamps without a zone, which are UTC then: for others DuckDB needs one more library.
            asked = [f'"{n}"::TIMESTAMP' if "TIME ZONE" in kinds[n] else f'"{n}"' for n in columns]
            found = database.execute(f"SELECT provider, _source, {', '.join(asked)} FROM t").fetchall()  # noqa: S608 - likewise
        self._screen.say(f"DuckDB reads {len(found)} rows of one table from {folder}")
        return columns, Counter(tuple(_in_utc(value) for value in row) for row in found)


def _in_utc(value: Any) -> Any:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) and value.tzinfo is None else value
