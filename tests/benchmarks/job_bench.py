"""Measures the job, compared with the article's design, against a queue that responds in 15 ms.

    python tests/benchmarks/job_bench.py [--rows N] [--out DIR]

One process simulates SQS and S3 (sqs_stub.py), so the figures measure the job's code on this machine. The variants on
Spark share one warm session. The crossing point of the engines includes the start, because there each run is a new
process. The slow variants send a sample of the rows; the table has its size. Run this on an idle machine, because the
stub needs CPU too.
"""

from __future__ import annotations

import gzip
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "glue")]

import boto3  # noqa: E402 - the project is not installed, so the path comes first
from botocore.config import Config  # noqa: E402

from change_log import transform  # noqa: E402
from contract.manifest import PlannedObject  # noqa: E402
from fanout_job import lambda_run, spark  # noqa: E402
from fanout_job.changes import parse_change  # noqa: E402
from fanout_job.delivery import Delivery  # noqa: E402
from fanout_job.engines import task_groups  # noqa: E402
from fanout_job.formats import decompressed, split_lines  # noqa: E402
from fanout_job.logs import start_logging  # noqa: E402
from fanout_job.messages import Transform  # noqa: E402
from fanout_job.objects import grouped, opened_ahead, read_manifest, s3_client  # noqa: E402
from fanout_job.run import Run  # noqa: E402
from fanout_job.settings import Settings  # noqa: E402
from fanout_job.task import guarded  # noqa: E402
from tests.benchmarks.job_change_log import PROVIDER, make_change_log  # noqa: E402
from tests.benchmarks.reporting import report, targets_table  # noqa: E402
from tests.benchmarks.sqs_stub import RunningStub, running_stub  # noqa: E402

LATENCY_MS = 15
OBJECTS = 100
MEASURED_BY_SAMPLE = {"article": (1, 300), "batch": (10, 6_000), "batch + 16 threads": (30, 50_000)}
"""Number of objects, and maximum number of their rows, that a slow variant sends."""
CROSSING_ROWS = (1_000, 10_000, 100_000, 400_000)
"""Numbers of rows for both engines. Those above --rows are skipped."""


def settings_of(name: str, stub: RunningStub) -> Settings:
    """Return the settings of a run over the change log of this name."""
    return Settings(**arguments_of(name, stub))


def arguments_of(name: str, stub: RunningStub) -> dict[str, str]:
    run_dir = f"s3://bench/runs/provider={PROVIDER}/{name}/"
    return {
        "provider": PROVIDER,
        "run_id": name,
        "manifest": f"{run_dir}manifest.json",
        "run_dir": run_dir,
        "queue_url": stub.queue_url,
        "env": "bench",
        "data_bucket": "bench",
        "log_level": "WARN",
    }


def delivered(stub: RunningStub, rows: int, work: Callable[[], Any]) -> dict[str, Any]:
    """Time some work, and check that it delivered each row once."""
    stub.get("reset")
    start = time.perf_counter()
    work()
    seconds = time.perf_counter() - start
    stats = stub.get("stats")
    assert stats["messages"] == stats["distinct"] == rows, f"{stats['distinct']} of {rows} rows arrived"
    return {"rows": rows, "seconds": round(seconds, 3), "per_second": round(rows / seconds, 1)}


# ---- the article's design, and two improvements of it


def article(spark: Any, files: list[str], stub: RunningStub, rows: int) -> None:
    """Infer a schema, collect the rows, send one message per call."""
    sqs = boto3.client("sqs")
    for row in spark.read.json(files).limit(rows).toJSON().collect():
        sqs.send_message(QueueUrl=stub.queue_url, MessageBody=with_id(row))


def with_id(row: str) -> str:
    """Add the id that the job's messages have and the stub counts."""
    start = row.index('"eventID":"') + 11
    return f'{{"id":"{row[start : row.index(chr(34), start)]}","data":{row}}}'


def batch(spark: Any, files: list[str], stub: RunningStub, rows: int, threads: int = 1) -> None:
    """Send from the partitions, ten rows per call."""
    url, endpoint = stub.queue_url, stub.endpoint

    def send(part: Iterable[str]) -> None:
        config = Config(max_pool_connections=threads)
        sqs: Any = boto3.client("sqs", endpoint_url=endpoint, config=config)
        bodies = (with_id(row) for row in part)
        tens = iter(lambda: list(islice(bodies, 10)), [])

        def send_one(ten: list[str]) -> None:
            entries = [{"Id": str(n), "MessageBody": body} for n, body in enumerate(ten)]
            assert not sqs.send_message_batch(QueueUrl=url, Entries=entries).get("Failed")

        with ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(send_one, list(tens)):
                pass

    # limit() collects the rows into one partition; repartition uses both cores.
    spark.read.json(files).limit(rows).repartition(2).toJSON().foreachPartition(send)


# ---- reading only


def count_rows(objects: list[PlannedObject]) -> int:
    """Read and parse objects with the least code, to measure the limit."""
    s3: Any = boto3.client("s3")
    rows = 0
    for obj in objects:
        body = s3.get_object(Bucket=obj.bucket, Key=obj.key)["Body"].read()
        for line in gzip.decompress(body).split(b"\n"):
            if line:
                parse_change(line, "")
                rows += 1
    return rows


def bare_limit(objects: list[PlannedObject]) -> int:
    """Read and parse in two processes that are already started."""
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(count_rows, [objects[:1], objects[1:2]]))
        start = time.perf_counter()
        rows = sum(pool.map(count_rows, grouped(objects, 2)))
        bare_limit.seconds = time.perf_counter() - start  # type: ignore[attr-defined]
    return rows


def spark_reads(sc: Any, settings: Settings, objects: list[PlannedObject]) -> int:
    """Read and parse with the job's own reader, in Spark's tasks."""
    groups = task_groups(objects)

    def read(part: Iterable[list[PlannedObject]]) -> Iterator[int]:
        rows = 0
        task = Delivery(settings, transform)
        with guarded(task), ThreadPoolExecutor(4) as pool:
            for reader, chunks in opened_ahead(task.s3, chain(*part), pool):
                for lines in split_lines(decompressed(chunks, reader.obj.key)):
                    for line in lines:
                        parse_change(line or b"", "")
                        rows += 1
        assert not task.tally.failures
        yield rows

    return sum(sc.parallelize(groups, len(groups)).mapPartitions(read).collect())


# ---- the job, each run in a new process


IN_LAMBDA = """
import json, sys
sys.path.insert(0, sys.argv[1])
import change_log
class Context:
    def get_remaining_time_in_millis(self):
        return 900_000
change_log.handler(json.loads(sys.argv[2]), Context())
"""


def cold(engine: str, name: str, stub: RunningStub) -> None:
    """Run the job as its platform starts it."""
    arguments = arguments_of(name, stub)
    environment = {**os.environ, **{key.upper(): value for key, value in arguments.items()}}
    argv = [sys.executable, "-c", IN_LAMBDA, str(ROOT / "glue"), json.dumps(arguments)]
    if engine == "glue":
        argv = [sys.executable, str(ROOT / "glue" / "change_log.py")]
        argv += [part for key, value in arguments.items() for part in (f"--{key}", value)]
    subprocess.run(argv, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def crossing(points: list[dict[str, Any]]) -> dict[str, float] | None:
    """Return the size from which Spark is faster, by linear interpolation between two points."""
    for before, after in pairwise(points):
        first = before["glue"] - before["lambda"]
        second = after["glue"] - after["lambda"]
        if first > 0 >= second:
            share = first / (first - second)
            return {
                measure: round(before[measure] + share * (after[measure] - before[measure]))
                for measure in ("rows", "bytes")
            }
    return None


# ---- all of it


def measure(folder: Path, rows: int) -> dict[str, Any]:
    """Run all variants; return the figures."""
    from pyspark.sql import SparkSession

    print(f"making change logs in {folder}", flush=True)
    names = {"all": (rows, OBJECTS), "4 objects": (rows // 3, 4), "2000 objects": (rows // 3, 2_000)}
    for name, (count, objects) in names.items():
        make_change_log(folder, name.replace(" ", "-"), count, objects)
    crossed = [count for count in CROSSING_ROWS if count <= rows]
    for count in crossed:
        make_change_log(folder, f"rows-{count}", count, max(1, count // 5_000))
    figures: dict[str, Any] = {"machine": f"{os.cpu_count()} cores, Python {platform.python_version()}", "variants": {}}
    variants = figures["variants"]

    def note(name: str, found: dict[str, Any]) -> None:
        variants[name] = found
        print(f"  {name}: {found['per_second']:,.0f}/s", flush=True)

    with running_stub(latency_ms=LATENCY_MS, objects=folder) as stub:
        os.environ["AWS_ENDPOINT_URL"] = stub.endpoint
        builder = SparkSession.builder.master("local[2]").config("spark.ui.showConsoleProgress", "false")
        session = builder.config("spark.ui.enabled", "false").config("spark.log.level", "ERROR").getOrCreate()
        files = sorted(str(path) for path in (folder / "bench" / "all").rglob("*.gz"))
        settings = settings_of("all", stub)
        start_logging(settings, sys.stderr)
        s3 = s3_client()
        objects = read_manifest(s3, settings.manifest, PROVIDER)
        spark_reads(session.sparkContext, settings, objects[:6])

        for name, work in {
            "article": article,
            "batch": batch,
            "batch + 16 threads": partial(batch, threads=16),
        }.items():
            count, most = MEASURED_BY_SAMPLE[name]
            sample = min(most, rows // OBJECTS * count)
            note(name, delivered(stub, sample, partial(work, session, files[:count], stub, sample)))
        sc = session.sparkContext
        note(
            "glue-fanout on Spark",
            delivered(stub, rows, lambda: on_spark(settings)),
        )
        note(
            "glue-fanout in Lambda",
            delivered(stub, rows, lambda: in_one_process(settings)),
        )

        parsing = figures["parsing"] = {}
        assert bare_limit(objects) == rows
        seconds = bare_limit.seconds  # type: ignore[attr-defined]
        parsing["limit"] = {"rows": rows, "seconds": round(seconds, 3), "per_second": round(rows / seconds, 1)}
        start = time.perf_counter()
        assert spark_reads(sc, settings, objects) == rows
        seconds = time.perf_counter() - start
        parsing["glue-fanout on Spark"] = {
            "rows": rows,
            "seconds": round(seconds, 3),
            "per_second": round(rows / seconds, 1),
        }

        for name in ("4 objects", "2000 objects"):
            several = settings_of(name.replace(" ", "-"), stub)
            figures.setdefault("objects", {})[name] = delivered(stub, rows // 3, lambda s=several: on_spark(s))
        session.stop()

        points = []
        for count in crossed:
            sizes = (folder / "bench" / f"rows-{count}").rglob("*.gz")
            point: dict[str, Any] = {"rows": count, "bytes": sum(path.stat().st_size for path in sizes)}
            for engine in ("lambda", "glue"):
                run = delivered(stub, count, lambda e=engine, n=count: cold(e, f"rows-{n}", stub))
                point[engine] = run["seconds"]
            points.append(point)
            print(f"  {count:,} rows: Lambda {point['lambda']} s, Spark {point['glue']} s", flush=True)
        figures["engines"] = {"points": points, "crossing": crossing(points)}
    figures["targets"] = targets(figures)
    return figures


def on_spark(settings: Settings) -> None:
    """Run the job in the session's Spark."""
    checked(Run(settings, "glue"), spark.send_changes)


def in_one_process(settings: Settings) -> None:
    """Run the job as the Lambda run does."""
    checked(Run(settings, "lambda"), lambda_run.send_changes)


def checked(this: Run, send: Callable[[Run, Transform, None], None]) -> None:
    """Send, and check that there are no failures."""
    send(this, transform, None)
    assert not this.tally.failures, this.tally.failures


def targets(figures: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Compare the ratios, each from figures of this run, with their targets."""
    variants, parsing, objects = figures["variants"], figures["parsing"], figures["objects"]
    ours = variants["glue-fanout on Spark"]["per_second"]
    found = {
        "messages/s, ratio to the article's design": (ours / variants["article"]["per_second"], 500, True),
        "share of the limit": (
            parsing["glue-fanout on Spark"]["per_second"] / parsing["limit"]["per_second"],
            0.90,
            True,
        ),
        "seconds of 2,000 objects, ratio to 4 objects": (
            objects["2000 objects"]["seconds"] / objects["4 objects"]["seconds"],
            2.5,
            False,
        ),
    }
    return {
        name: {"measured": round(value, 3), "target": limit, "met": value >= limit if at_least else value <= limit}
        for name, (value, limit, at_least) in found.items()
    }


def table(figures: dict[str, Any]) -> str:
    """Return the figures as a Markdown table."""
    base = figures["variants"]["article"]["per_second"]
    lines = ["| variant | rows | seconds | messages/s | ratio |", "|---|--:|--:|--:|--:|"]
    for name, found in figures["variants"].items():
        rate = found["per_second"]
        lines.append(f"| {name} | {found['rows']:,} | {found['seconds']:.1f} | {rate:,.0f} | {rate / base:,.0f} |")
    lines += ["", "| reading and parsing only | rows | seconds | rows/s |", "|---|--:|--:|--:|"]
    for name, found in figures["parsing"].items():
        lines.append(f"| {name} | {found['rows']:,} | {found['seconds']:.1f} | {found['per_second']:,.0f} |")
    lines += ["", "| objects with the same rows | seconds |", "|---|--:|"]
    lines += [f"| {name} | {found['seconds']:.1f} |" for name, found in figures["objects"].items()]
    lines += ["", "| rows, in a new process | MB of gzip | Lambda, s | Spark, s |", "|--:|--:|--:|--:|"]
    for point in figures["engines"]["points"]:
        size = point["bytes"] / 1e6
        lines.append(f"| {point['rows']:,} | {size:.2f} | {point['lambda']:.1f} | {point['glue']:.1f} |")
    cross = figures["engines"]["crossing"]
    lines += [
        "",
        f"The engines cross at {cross['rows']:,} rows, {cross['bytes'] / 1e6:.1f} MB." if cross else "No crossing.",
    ]
    lines += targets_table(figures, "target value")
    return "\n".join(lines)


def plot(figures: dict[str, Any], path: Path) -> None:
    """Plot the variants, and the seconds of the two engines by rows."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    drawn, (left, right) = pyplot.subplots(1, 2, figsize=(12, 4.2), layout="constrained")
    names = list(figures["variants"])
    rates = [figures["variants"][name]["per_second"] for name in names]
    bars = left.barh(names, rates, color=["#9aa5b1", "#9aa5b1", "#9aa5b1", "#1f6feb", "#2da44e"])
    left.bar_label(bars, [f"{rate:,.0f}" for rate in rates], padding=3)
    left.set(xscale="log", xlabel=f"messages/s, queue responds in {LATENCY_MS} ms", xlim=(10, max(rates) * 6))
    left.invert_yaxis()
    points = figures["engines"]["points"]
    rows = [point["rows"] for point in points]
    for engine, label, color in (("lambda", "Lambda", "#2da44e"), ("glue", "Spark", "#1f6feb")):
        right.plot(rows, [point[engine] for point in points], marker="o", label=label, color=color)
    if cross := figures["engines"]["crossing"]:
        right.axvline(cross["rows"], linestyle=":", color="#57606a", label=f"{cross['rows']:,} rows")
    right.set(xlabel="rows", ylabel="seconds, process start included")
    right.legend()
    drawn.savefig(path, dpi=130)


if __name__ == "__main__":
    sys.exit(report("job", __doc__, 500_000, "the change log", measure, table, plot))
