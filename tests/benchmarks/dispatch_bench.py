"""Measures the dispatcher: starts against a stub of StartExecution, and the evaluation of 100,000 entries.

    python tests/benchmarks/dispatch_bench.py [--full] [--latency-ms 40] [--out docs/bench]

For 100, 1,000 and 10,000 due providers it runs the serial loop of the article (one `start_execution` after the other)
and a tick of the dispatcher, in the same process, with real boto3 clients over HTTP. A stub in another process responds
to each request after 40 ms and counts the started names. The serial loop over 10,000 providers takes seven minutes, so
without --full it is extrapolated from 1,000; the table, the plot and the JSON mark this. The dispatcher's token bucket
limits the tick with 10,000 providers.

The evaluation runs in a new process, which reports its own peak RSS.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fanout.dispatcher import Dispatcher
    from tests.harness.world import World

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "functions")]

DUE = (100, 1_000, 10_000)
SERIAL_SAMPLE = 1_000
ENTRIES = 100_000
TICK = datetime(2026, 11, 22, 7, 30, tzinfo=UTC)
MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:change_log"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "bench",
    "AWS_SECRET_ACCESS_KEY": "bench",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}


# ------------------------------------------------------------------------------------------------------------ the stub


async def _serve(latency: float) -> None:
    started: set[str] = set()

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            except (asyncio.IncompleteReadError, ConnectionResetError):
                writer.close()
                return
            fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
            body = await reader.readexactly(int(fields.get("content-length", 0)))
            if head.startswith("GET /count"):
                answer: dict[str, Any] = {"started": len(started)}
                started.clear()
            else:
                name = json.loads(body)["name"]
                await asyncio.sleep(latency)
                started.add(name)
                answer = {
                    "executionArn": f"arn:aws:states:us-east-1:123456789012:execution:change_log:{name}",
                    "startDate": 1,
                }
            content = json.dumps(answer).encode()
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: %d\r\n\r\n"
                % len(content)
                + content
            )

    server = await asyncio.start_server(connection, "127.0.0.1", 0, backlog=256)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


@contextmanager
def stub(latency_ms: float) -> Iterator[str]:
    """Run the stub in another process; yield its URL."""
    process = subprocess.Popen(
        [sys.executable, __file__, "--serve", "--latency-ms", str(latency_ms)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.terminate()
        process.wait()


def started_at(endpoint: str) -> int:
    """Return the number of different executions that the stub has started since the last call."""
    import requests

    return int(requests.get(f"{endpoint}/count", timeout=5).json()["started"])


# ---------------------------------------------------------------------------------------------------- the comparison


@dataclass
class Comparison:
    """One row of the table."""

    due: int
    serial_seconds: float
    serial_measured: int
    """Number of measured starts of the serial loop. If it is less than `due`, the rest is extrapolated."""
    seconds: float
    ratio: float

    @property
    def extrapolated(self) -> bool:
        return self.serial_measured < self.due


def serial(endpoint: str, count: int) -> float:
    """Run the article's loop, with boto3's defaults; return its seconds."""
    import boto3

    from fanout.schedule import execution_input

    client = boto3.client("stepfunctions", endpoint_url=endpoint)
    begin = time.perf_counter()
    for number in range(count):
        client.start_execution(
            stateMachineArn=MACHINE, name=f"serial-{number}", input=execution_input(f"provider-{number:06d}", TICK)
        )
    return time.perf_counter() - begin


def dispatcher_of(world: World, **others: Any) -> Dispatcher:
    """Return a dispatcher with the in-memory ports of a world, real threads and pauses, and other ports if given."""
    from fanout.dispatcher import Dispatcher

    ports: dict[str, Any] = {
        "provider_list": world.config_api,
        "store": world.ledger,
        "pending": world.pending,
        "maintenance": world.maintenance,
        "executions": world.executions,
        "recovery": world.dispatcher.recovery,
    }
    return Dispatcher(**ports | others, settings=world.dispatcher.settings, clock=lambda: TICK)


def tick(endpoint: str, count: int) -> float:
    """Run one tick over as many due providers: entries, ledger, decisions, starts, report; return its seconds."""
    import boto3

    from fanout.adapters import StepFunctions
    from fanout.bootstrap import _STARTS
    from tests.harness.world import World

    world = World(settings={"max_concurrent_runs": count})
    for number in range(count):
        world.provider(f"provider-{number:06d}", "15", last_success="Sun, 22 Nov 2026 07:00:00 GMT")
    client = boto3.client("stepfunctions", endpoint_url=endpoint, config=_STARTS)
    dispatcher = dispatcher_of(world, executions=StepFunctions(client, MACHINE))
    begin = time.perf_counter()
    report = dispatcher.tick(TICK, lambda: 290 - (time.perf_counter() - begin))
    seconds = time.perf_counter() - begin
    if report.started != count:
        raise SystemExit(f"only {report.started} of {count} were started: {report.faults}")
    return seconds


def compare(endpoint: str, count: int, full: bool, earlier: list[Comparison]) -> Comparison:
    """Run both over the same number of providers, and check their starts against the stub's count."""
    sample = next((row for row in earlier if row.due == SERIAL_SAMPLE and not row.extrapolated), None)
    if count > SERIAL_SAMPLE and sample and not full:
        measured, serial_seconds = sample.due, sample.serial_seconds * count / sample.due
    else:
        measured, serial_seconds = count, serial(endpoint, count)
        if (counted := started_at(endpoint)) != measured:
            raise SystemExit(f"the stub started {counted} for the serial loop, not {measured}")
    seconds = tick(endpoint, count)
    if (counted := started_at(endpoint)) != count:
        raise SystemExit(f"the stub started {counted} for the tick, not {count}")
    return Comparison(count, serial_seconds, measured, seconds, serial_seconds / seconds)


# ------------------------------------------------------------------------------------------------------ the evaluation


def evaluate(entries: int) -> dict[str, float]:
    """Measure a tick without any due entry, from the response's bytes to the report. Runs in a new process."""
    from contract.times import format_http_date
    from fanout.config_client import HttpConfigApi
    from tests.harness.transport import Reply, session
    from tests.harness.world import World

    chance = random.Random(0)
    document = {
        f"provider-{number:06d}": {
            "frequency": str(chance.choice((60, 120, 1440))),
            "last_success": format_http_date(TICK - timedelta(seconds=chance.randrange(3600))),
            "status": "succeeded",
        }
        for number in range(entries)
    }
    body = json.dumps(document).encode()
    del document
    world = World()
    api = HttpConfigApi(
        "https://config.example/providers", lambda refused: "key", session(lambda request: Reply(body=body))
    )
    dispatcher = dispatcher_of(world, provider_list=api)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begin, cpu = time.perf_counter(), time.process_time()
    report = dispatcher.tick(TICK, lambda: 290)
    seconds, cpu_seconds = time.perf_counter() - begin, time.process_time() - cpu
    if report.waiting != entries or report.started:
        raise SystemExit(f"expected {entries} waiting: {report}")
    to_mb = 1024 * 1024 if sys.platform == "darwin" else 1024
    return {
        "entries": entries,
        "answer_mb": round(len(body) / 1e6, 1),
        "seconds": round(seconds, 2),
        "cpu_seconds": round(cpu_seconds, 2),
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / to_mb),
        "rss_before_mb": round(before / to_mb),
    }


# ---------------------------------------------------------------------------------------------------------- the report


def plot(rows: list[Comparison], latency_ms: float, path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    due = [row.due for row in rows]
    axes.plot(due, [row.serial_seconds for row in rows], "o-", color="#b0413e", label="serial loop")
    axes.plot(due, [row.seconds for row in rows], "o-", color="#2a6f97", label="dispatcher (one tick)")
    for row in rows:
        label = f"{row.serial_seconds:,.0f} s" + (" (extrapolated)" if row.extrapolated else "")
        axes.annotate(label, (row.due, row.serial_seconds), (0, 7), textcoords="offset points", ha="center", fontsize=8)
        axes.annotate(
            f"{row.seconds:.2g} s, {row.ratio:.0f}x",
            (row.due, row.seconds),
            (0, -14),
            textcoords="offset points",
            ha="center",
            fontsize=8,
        )
        if row.extrapolated:
            axes.plot(row.due, row.serial_seconds, "o", markerfacecolor="white", color="#b0413e")
    axes.set(xscale="log", yscale="log", xlabel="due providers", ylabel="seconds until all are started")
    axes.margins(0.12, 0.15)
    axes.set_title(f"StartExecution at {latency_ms:g} ms latency", loc="left", fontsize=10)
    axes.grid(visible=True, which="major", color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=150)


def token_bucket() -> dict[str, int]:
    """Return the limits of the tick's starts."""
    from fanout.starts import START_BURST, STARTS_PER_SECOND

    return {"start_burst": START_BURST, "max_starts_per_second": STARTS_PER_SECOND}


def print_table(rows: list[Comparison], evaluation: dict[str, float]) -> None:
    print(f"{'due':>7}  {'serial loop':>24}  {'one tick':>10}  {'ratio':>7}")
    for row in rows:
        note = f" ({row.serial_measured:,} measured)" if row.extrapolated else ""
        print(f"{row.due:>7,}  {f'{row.serial_seconds:,.1f} s{note}':>24}  {row.seconds:>8.2f} s  {row.ratio:>6.1f}x")
    bucket = token_bucket()
    print(f"The tick starts a burst of {bucket['start_burst']:,}, then {bucket['max_starts_per_second']} a second.")
    print(
        f"\n{evaluation['entries']:,} entries ({evaluation['answer_mb']} MB), none due: {evaluation['seconds']} s "
        f"({evaluation['cpu_seconds']} s of CPU), peak RSS {evaluation['peak_rss_mb']} MB "
        f"(of which {evaluation['rss_before_mb']} MB before the tick)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="measure all of the serial loop (another 7 minutes)")
    parser.add_argument("--latency-ms", type=float, default=40)
    parser.add_argument("--due", type=int, nargs="*", default=DUE)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "bench")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--evaluate", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ.update(ENVIRONMENT)
    if options.serve:
        asyncio.run(_serve(options.latency_ms / 1000))
        return
    if options.evaluate:
        print(json.dumps(evaluate(options.evaluate)))
        return
    fresh = subprocess.run(
        [sys.executable, __file__, "--evaluate", str(ENTRIES)], capture_output=True, text=True, check=True
    )
    evaluation = json.loads(fresh.stdout)
    with stub(options.latency_ms) as endpoint:
        tick(endpoint, 1)  # botocore loads its models on the first call
        started_at(endpoint)
        rows: list[Comparison] = []
        for count in sorted(options.due):
            rows.append(compare(endpoint, count, options.full, rows))
    print_table(rows, evaluation)
    options.out.mkdir(parents=True, exist_ok=True)
    plot(rows, options.latency_ms, options.out / "dispatch.png")
    results = {
        "machine": {"cpus": os.cpu_count(), "python": platform.python_version(), "system": platform.system()},
        "latency_ms": options.latency_ms,
        "token_bucket": token_bucket(),
        "starts": [{**asdict(row), "extrapolated": row.extrapolated} for row in rows],
        "evaluation": evaluation,
    }
    (options.out / "dispatch.json").write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
