"""Measures the standardize job over a gigabyte of CSV, compared with plain Spark and with pyarrow's CSV reader, and its
reading of CSV, JSON and XML, compared with bare parsers (standardize_formats.py).

    python tests/benchmarks/standardize_bench.py [--rows N] [--out DIR]

Each variant is a new process. The job reads from and writes to a stub of S3 (sqs_stub.py); plain Spark and pyarrow read
and write files, which is less work. The targets are ratios of CPU time in this run, because seconds depend on the load
of the machine: Lambda to pyarrow, with one core each, and the job on Spark to plain Spark, with two.
"""

from __future__ import annotations

import json
import os
import platform
import random
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "glue")]

from pyarrow import parquet  # noqa: E402 - the project is not installed, so the path comes first

from contract.manifest import StoredObject  # noqa: E402
from tests.benchmarks.job_change_log import PLANNED_AT, manifest_of  # noqa: E402
from tests.benchmarks.reporting import report, targets_table  # noqa: E402
from tests.benchmarks.sqs_stub import ETAG, RunningStub, running_stub  # noqa: E402
from tests.benchmarks.standardize_formats import (  # noqa: E402
    MAPPINGS,
    NAMES,
    format_targets,
    formats_table,
    measure_formats,
    random_order,
)

PROVIDER = "acme"
OBJECTS = 4
BLOCK_ROWS = 250_000
MOST_FORMAT_ROWS = 100_000
"""Maximum rows of each format's files, because a bare JSON parser needs several times their size as memory."""

IN_LAMBDA = """
import json, sys
sys.path.insert(0, sys.argv[1])
import standardize
class Context:
    def get_remaining_time_in_millis(self):
        return 3_600_000
standardize.handler(json.loads(sys.argv[2]), Context())
"""

PYARROW = """
import sys
sys.path.insert(0, sys.argv[1])
import pyarrow as pa
from pathlib import Path
from pyarrow import csv, parquet
from standardize import MODEL
pa.set_cpu_count(1)
sources, target, names = sorted(Path(sys.argv[2]).iterdir()), Path(sys.argv[3]), sys.argv[4].split(",")
types = {name: field.arrow for name, field in zip(names, MODEL.fields.values())}
for source in sources:
    reader = csv.open_csv(source, csv.ReadOptions(use_threads=False, block_size=2**21),
                          convert_options=csv.ConvertOptions(column_types=types, strings_can_be_null=True))
    writer = len(sys.argv) > 5 and parquet.ParquetWriter(target / source.name, reader.schema, compression="zstd")
    waiting, size = [], 0
    for batch in reader:
        if writer:
            waiting.append(batch)
            size += batch.nbytes
            if size >= 2**25:
                writer.write_table(pa.Table.from_batches(waiting))
                waiting, size = [], 0
    if writer:
        writer.write_table(pa.Table.from_batches(waiting, reader.schema))
        writer.close()
"""

SPARK = """
import sys
from pyspark.sql import SparkSession
builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").config("spark.log.level", "ERROR")
spark = builder.getOrCreate()
schema = ("id string, created timestamp, name string, country string, description string, qty bigint, "
          "price decimal(12,2), currency string, kg decimal(9,3), gift boolean, due date")
frame = spark.read.csv(sys.argv[1], schema=schema, header=True, multiLine=False)
frame.write.option("compression", "zstd").parquet(sys.argv[2])
"""


def make_sources(folder: Path, rows: int) -> int:
    """Write the sources: random orders with unique ids; return their size in bytes."""
    dice = random.Random(1)

    block = ["," + ",".join(random_order(dice)) + "\n" for _ in range(min(BLOCK_ROWS, rows))]
    folder.mkdir(parents=True)
    number = 0
    for part in range(OBJECTS):
        with (folder / f"part-{part}.csv").open("w", encoding="utf-8", newline="") as file:
            file.write(",".join(NAMES) + "\n")
            while number < rows * (part + 1) // OBJECTS:
                count = min(len(block), rows * (part + 1) // OBJECTS - number)
                file.writelines(f"{number + n:012d}{block[n]}" for n in range(count))
                number += count
    return sum(path.stat().st_size for path in folder.iterdir())


def plan(folder: Path, name: str) -> dict[str, str]:
    """Write a run's manifest; return the arguments of the run."""
    sources = folder / "bench" / "change_log" / f"provider={PROVIDER}"
    objects = [
        StoredObject(str(path.relative_to(folder / "bench")), path.stat().st_size, ETAG, PLANNED_AT)
        for path in sorted(sources.iterdir())
    ]
    run_dir = folder / "bench" / "runs" / name
    run_dir.mkdir(parents=True)
    (run_dir / "manifest.json").write_bytes(manifest_of(name, objects, PROVIDER).to_json())
    where = f"s3://bench/runs/{name}/"
    run = {"provider": PROVIDER, "run_id": name, "manifest": f"{where}manifest.json", "run_dir": where}
    return run | {"env": "bench", "data_bucket": "bench", "log_level": "WARN"}


class Family:
    """Measures a process and its descendants: their total CPU seconds, and the peak memory of each program.

    Samples five times per second, so it may miss shorter processes.
    """

    def __init__(self, parent: int) -> None:
        self.parent = parent
        self.cpu: dict[int, float] = {}
        self.memory: dict[str, int] = {}
        self.ended = threading.Event()

    def __enter__(self) -> Family:
        self.watcher = threading.Thread(target=self.watch)
        self.watcher.start()
        return self

    def __exit__(self, *what: object) -> None:
        self.ended.set()
        self.watcher.join()

    def watch(self) -> None:
        while not self.ended.wait(0.2):
            members = {self.parent}
            for folder in sorted(Path("/proc").glob("[0-9]*"), key=lambda path: int(path.name)):
                try:
                    status = dict(one.split(":", 1) for one in (folder / "status").read_text().splitlines())
                    times = (folder / "stat").read_text().rpartition(")")[2].split()
                except OSError:
                    continue
                number = int(status["Pid"])
                if number == self.parent or int(status["PPid"]) in members:
                    members.add(number)
                    self.cpu[number] = (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK")
                    name, peak = status["Name"].strip(), int(status.get("VmHWM", "0 kB").split()[0]) * 1024
                    self.memory[name] = max(self.memory.get(name, 0), peak)

    def most(self, kind: str) -> int:
        """Return the peak memory, in bytes, of a process whose program name begins with `kind`."""
        return max((peak for name, peak in self.memory.items() if name.startswith(kind)), default=0)


def measured(argv: list[str], environment: dict[str, str] | None = None) -> dict[str, Any]:
    """Run a process; return its seconds, CPU seconds, and the peak memory of a Python process and of the JVM in MB."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    process = subprocess.Popen(
        argv, env=os.environ | (environment or {}), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    with Family(process.pid) as family:
        _, errors = process.communicate()
    seconds = time.perf_counter() - start
    if process.returncode:
        raise RuntimeError(f"{argv[1:3]} failed: {errors[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    own = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime  # exact, but without Spark's JVM
    memory = {f"{kind}_mb": round(family.most(kind) / 1e6) for kind in ("python", "java")}
    return {"seconds": round(seconds, 2), "cpu_seconds": round(max(own, sum(family.cpu.values())), 2), **memory}


def measure(folder: Path, rows: int) -> dict[str, Any]:
    """Run all variants; return the figures."""
    sources = folder / "bench" / "change_log" / f"provider={PROVIDER}"
    print(f"making {rows:,} rows in {folder}", flush=True)
    size = make_sources(sources, rows)
    (folder / "bench" / "mappings").mkdir()
    (folder / "bench" / "mappings" / f"{PROVIDER}.yaml").write_text(MAPPINGS["csv"])
    figures: dict[str, Any] = {
        "machine": f"{os.cpu_count()} cores, Python {platform.python_version()}",
        "rows": rows,
        "bytes": size,
        "objects": OBJECTS,
        "variants": {},
    }

    def note(name: str, work: Callable[[], dict[str, Any]], written: Path | None) -> None:
        found = figures["variants"][name] = work()
        found["rows_per_second"] = round(rows / found["seconds"])
        if written is not None:
            files = [path for path in written.rglob("*") if path.is_file() and path.suffix in (".parquet", ".csv")]
            assert sum(parquet.read_metadata(path).num_rows for path in files) == rows, f"{name}: rows are missing"
            for path in files:
                path.unlink()
        print(f"  {name}: {found}", flush=True)

    plain = [sys.executable, "-c", PYARROW, str(ROOT / "glue"), str(sources)]
    (folder / "pyarrow").mkdir()
    target = [str(folder / "pyarrow"), ",".join(NAMES)]
    note("pyarrow, reading only", lambda: measured([*plain, *target]), None)
    note("pyarrow, to Parquet", lambda: measured([*plain, *target, "write"]), folder / "pyarrow")
    spark = [sys.executable, "-c", SPARK, str(sources), str(folder / "spark")]
    note("plain Spark", lambda: measured(spark), folder / "spark")
    with running_stub(objects=folder) as stub:
        note("glue-fanout in Lambda", lambda: ours("lambda", folder, stub), folder / "bench" / "standard")
        note("glue-fanout on Spark", lambda: ours("glue", folder, stub), folder / "bench" / "standard")
    figures["formats"] = measure_formats(folder / "formats", min(rows, MOST_FORMAT_ROWS))
    figures["targets"] = targets(figures["variants"], figures["formats"])
    return figures


def ours(engine: str, folder: Path, stub: RunningStub) -> dict[str, Any]:
    """Run the job as its platform starts it."""
    arguments = plan(folder, engine)
    environment = {key.upper(): value for key, value in arguments.items()} | {"AWS_ENDPOINT_URL": stub.endpoint}
    if engine == "lambda":
        return measured([sys.executable, "-c", IN_LAMBDA, str(ROOT / "glue"), json.dumps(arguments)], environment)
    argv = [sys.executable, str(ROOT / "glue" / "standardize.py")]
    submit = "--master local[2] --conf spark.ui.enabled=false --conf spark.log.level=ERROR pyspark-shell"
    environment["PYSPARK_SUBMIT_ARGS"] = submit
    return measured([*argv, *(p for key, value in arguments.items() for p in (f"--{key}", value))], environment)


def targets(variants: dict[str, Any], formats: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Compare the ratios with their targets."""
    in_lambda, glue = variants["glue-fanout in Lambda"], variants["glue-fanout on Spark"]
    plain, spark = variants["pyarrow, to Parquet"], variants["plain Spark"]
    found = {
        "CPU in Lambda, ratio to pyarrow": (in_lambda["cpu_seconds"] / plain["cpu_seconds"], 2),
        "CPU on Spark, ratio to plain Spark": (glue["cpu_seconds"] / spark["cpu_seconds"], 1),
        "MB in Lambda": (in_lambda["python_mb"], 512),
        "MB of a Python process on Spark": (glue["python_mb"], 512),
    } | format_targets(formats)
    return {
        name: {"measured": round(value, 2), "target": limit, "met": value <= limit}
        for name, (value, limit) in found.items()
    }


def table(figures: dict[str, Any]) -> str:
    """Return the figures as a Markdown table."""
    head = f"{figures['rows']:,} rows of CSV, {figures['bytes'] / 1e9:.2f} GB in {figures['objects']} objects. "
    head += "Seconds depend on the load of the machine, CPU seconds hardly."
    lines = [
        head,
        "",
        "| variant | seconds | rows/s | CPU seconds | peak MB of a Python process | peak MB of the JVM |",
    ]
    lines.append("|---|--:|--:|--:|--:|--:|")
    for name, found in figures["variants"].items():
        rate = f"{found['rows_per_second']:,}"
        memory = f"{found['python_mb']} | {found['java_mb'] or ''}"
        cpu = f"{found['cpu_seconds']:.1f}" if "cpu_seconds" in found else "not measured"
        lines.append(f"| {name} | {found['seconds']:.1f} | {rate} | {cpu} | {memory} |")
    lines += formats_table(figures["formats"])
    lines += targets_table(figures, "at most")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(report("standardize", __doc__, 9_200_000, "CSV, 117 bytes each", measure, table))
