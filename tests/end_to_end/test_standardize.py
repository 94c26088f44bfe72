"""Files in five formats through the whole stack, read back with pyarrow and with Spark.

The expected rows are read independently by tests/integration/job/independent.py.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from laptop_cloud.cloud import LaptopCloud
from standardize import MODEL
from tests.harness.children import run
from tests.harness.waiting import HANG_SECONDS
from tests.integration.cli.conftest import Fanout
from tests.integration.job.independent import READERS
from tests.template.reading import TEMPLATE

from .conftest import ROOT, ConfigApi

pytestmark = [pytest.mark.spark, pytest.mark.slow]
ORDERS = ROOT / "tests/data/orders"
PROVIDERS = {Path(name).stem: name for name in READERS}
REPLACED, DELETED, BAD = "quoted", "lines", "array"


class Standard:
    """The stack with Job=standardize after its runs, and its table in a local folder."""

    def __init__(self, cloud: LaptopCloud, fanout: Fanout) -> None:
        self.cloud, self.fanout = cloud, fanout
        self.s3, self.bucket = cloud.client("s3"), cloud.outputs["DataBucketName"]
        self.sources: dict[str, Path] = {}
        self.now = datetime.now(UTC).replace(microsecond=0)
        api = ConfigApi(cloud)
        for provider in PROVIDERS:
            assert fanout("mapping", "put", provider, str(ORDERS / f"{provider}.yaml")).status == 0
            api.call("PUT", f"/{provider}", {"frequency": "60"})

    def put(self, provider: str, file: Path, key: str) -> None:
        said = self.fanout("put", provider, str(file), "--as", key)
        assert said.status == 0, said.error
        self.sources[f"{self.cloud.outputs['ChangeLogDir']}/provider={provider}/{key}"] = file

    def tick(self) -> dict[str, str]:
        """Provider -> how its run ended."""
        before = {execution["name"] for execution in self.cloud.executions()}
        self.cloud.tick(self.now)
        self.now += timedelta(hours=1)
        ended = [one for one in self.cloud.wait(HANG_SECONDS) if one["name"] not in before]
        return {one["name"].partition("-2")[0]: one["status"] for one in ended}

    def files(self, folder: Path) -> Path:
        """Download the table."""
        for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix="standard/"):
            for entry in page.get("Contents", ()):
                path = folder / entry["Key"]
                path.parent.mkdir(parents=True, exist_ok=True)
                self.s3.download_file(self.bucket, entry["Key"], str(path))
        return folder / "standard" / f"model={MODEL.name}"

    def expected(self) -> list[dict[str, Any]]:
        """The rows of all sources as an independent program reads them, each with its source."""
        return in_order(
            {"provider": source.split("provider=")[1].split("/")[0], "_source": source, "_row": number, **row}
            for source, file in self.sources.items()
            for number, row in enumerate(READERS[PROVIDERS[file.stem.partition("-")[0]]](file), 1)
        )


def in_order(rows: Any) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: (row["_source"], row["_row"]))


@pytest.fixture(scope="module")
def standard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standard]:
    """The stack after two ticks, in which a bad file is repaired, one is replaced and one is deleted after its run."""
    folder = tmp_path_factory.mktemp("standard")
    shorter, bad = folder / "quoted-shorter.csv", folder / "bad.json"
    shorter.write_bytes(b"".join((ORDERS / "quoted.csv").read_bytes().splitlines(keepends=True)[:3]))
    bad.write_bytes((ORDERS / "array.json").read_bytes()[:100])
    sizes = sorted((ORDERS / name).stat().st_size for name in PROVIDERS.values())
    patch = pytest.MonkeyPatch()
    parameters = {"Job": "standardize", "LambdaMaxBytes": sizes[2]}
    with LaptopCloud(TEMPLATE, parameters, workdir=folder / "work") as cloud:
        patch.setenv("FANOUT_CLOUD_FILE", str(cloud.workdir / "cloud.json"))
        made = Standard(cloud, Fanout(cloud, folder))
        for provider, name in PROVIDERS.items():
            made.put(provider, bad if provider == BAD else ORDERS / name, f"2026/{name}")
        first = made.tick()
        assert first == dict.fromkeys(PROVIDERS, "SUCCEEDED") | {BAD: "FAILED"}
        made.put(BAD, ORDERS / PROVIDERS[BAD], f"2026/{PROVIDERS[BAD]}")
        made.put(REPLACED, shorter, f"2026/{PROVIDERS[REPLACED]}")
        made.s3.delete_object(Bucket=made.bucket, Key=f"standardize/provider={DELETED}/2026/{PROVIDERS[DELETED]}")
        second = made.tick()
        assert {second[BAD], second[REPLACED]} == {"SUCCEEDED"}
        yield made
    patch.undo()


@pytest.mark.fault(37)
def test_the_table_has_the_rows_that_an_independent_program_reads_in_the_sources(
    standard: Standard, tmp_path: Path
) -> None:
    table = parquet.read_table(standard.files(tmp_path))
    columns = ["provider", "_source", "_row", *MODEL.fields]

    found = table.set_column(
        table.schema.get_field_index("provider"), "provider", table["provider"].cast(pa.string())
    ).select(columns)
    assert in_order(found.to_pylist()) == standard.expected()
    assert len(list(tmp_path.rglob("*.parquet"))) == len(standard.sources)


READ_WITH_SPARK = """
import json, sys
from pyspark.sql import SparkSession
spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
spark.conf.set("spark.sql.session.timeZone", "UTC")
rows = spark.read.parquet(sys.argv[1]).collect()
print("ROWS", json.dumps([{k: None if v is None else str(v) for k, v in row.asDict().items()} for row in rows]))
"""


@pytest.mark.fault(37)
def test_spark_reads_the_same(standard: Standard, tmp_path: Path, laptop_spark: None) -> None:
    import json
    import os

    folder = standard.files(tmp_path)
    environment = {**os.environ, "TZ": "UTC"}
    command = [sys.executable, "-c", READ_WITH_SPARK, str(folder)]
    done = run(command, env=environment)
    assert done.returncode == 0, done.stderr

    found = json.loads(done.stdout.rpartition("ROWS ")[2])
    names = ["provider", "_source", "_row", *MODEL.fields]
    spelled = [{name: spelled_by_spark(row[name]) for name in names} for row in standard.expected()]
    assert in_order([{name: row[name] for name in names} for row in found]) == in_order(spelled)


def spelled_by_spark(value: Any) -> str | None:
    if isinstance(value, datetime):
        value = value.astimezone(UTC).replace(tzinfo=None)
    return None if value is None else str(value)


def test_both_engines_were_used_and_every_record_names_the_job(standard: Standard) -> None:
    runs = [run for provider in PROVIDERS for run in standard.fanout.json("runs", provider)["runs"]]
    records = [run["record"] for run in runs if run["record"]]
    assert {record["engine"] for record in records} >= {"lambda", "glue"}
    assert {record["job"] for record in records} == {"standardize"}
    assert {run["JobName"] for run in standard.cloud.job_runs()} == {"etl-dev-standardize"}


@pytest.mark.fault(37)
def test_the_audit_reports_the_remaining_file_of_a_deleted_source(standard: Standard) -> None:
    assert DELETED in {row["provider"] for row in standard.expected()}, "its rows are still in the table"
    (gone,) = standard.fanout.json("audit", DELETED)["gone"]
    assert gone["key"].endswith(PROVIDERS[DELETED])
    assert standard.fanout.json("audit", REPLACED)["gone"] == []


def test_the_location_of_the_table_is_the_one_in_athena(standard: Standard, tmp_path: Path) -> None:
    name = standard.cloud.physical_id("StandardDatabase")
    table = standard.cloud.client("glue").get_table(DatabaseName=name, Name=MODEL.name)["Table"]
    template = table["Parameters"]["storage.location.template"]
    for provider in PROVIDERS:
        place = template.replace("${provider}", provider).removeprefix(f"s3://{standard.bucket}/")
        assert standard.s3.list_objects_v2(Bucket=standard.bucket, Prefix=place)["KeyCount"] == 1
