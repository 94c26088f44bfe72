"""Measures how light runs share the concurrent functions of an account: started as functions become free, or at once.

    python tests/benchmarks/light_bench.py --providers 200 --functions 10

Each variant is one tick on a new laptop cloud with this concurrency limit: real handlers, the real state machine, real
messages. "All at once" is the same dispatcher without a known limit, so runs without a function wait in the retries of
their executions. As on AWS, a request to an API does not wait for a free function. Writes docs/bench/light.json and
light.md. Everything shares the machine's cores, so only the ratios are meaningful.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "functions"), str(ROOT / "glue")]

from demo import STACK_NAME  # noqa: E402
from demo.plan import Plan, generated_plan  # noqa: E402
from demo.run import register  # noqa: E402
from demo.verify import Messages, compare, drain, expected_ids  # noqa: E402
from laptop_cloud.aws import services  # noqa: E402
from laptop_cloud.aws.functions import FunctionRunner, TooManyRequestsError  # noqa: E402 - the path comes first
from laptop_cloud.aws.repairs import hooks  # noqa: E402
from laptop_cloud.cloud import LaptopCloud  # noqa: E402

NO_LIMIT = 1_000_000
WAIT_SECONDS = 3600.0
MOST_OF_ALL_AT_ONCE = 0.75
LEAST_USED = 0.8
MOST_THROTTLED = 1.0


class Usage:
    """Records the concurrent and the throttled invocations of all functions."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.changes: list[tuple[float, int]] = []
        self.throttled: Counter[str] = Counter()
        real_call = FunctionRunner.call

        def call(runner: FunctionRunner, made: Any, event: Any, request_id: str) -> Any:
            began = time.monotonic()
            try:
                return real_call(runner, made, event, request_id)
            except TooManyRequestsError:
                began = 0.0
                with self._lock:
                    self.throttled[made.function_name] += 1
                raise
            finally:
                if began:
                    with self._lock:
                        self.changes += [(began, 1), (time.monotonic(), -1)]

        FunctionRunner.call = call  # type: ignore[method-assign]

    def forget(self) -> None:
        """Delete all records."""
        with self._lock:
            self.changes.clear()
            self.throttled.clear()

    def mean(self, begin: float, end: float) -> float:
        """Return the average number of running functions between two moments."""
        area, running, before = 0.0, 0, begin
        for at, change in sorted(self.changes):
            moment = min(max(at, begin), end)
            area, running, before = area + running * (moment - before), running + change, moment
        return (area + running * (end - before)) / (end - begin)


def one_tick(plan: Plan, functions: int, limit: int, usage: Usage) -> dict[str, Any]:
    """Run one tick over the plan's providers; the dispatcher reads `limit` as its concurrency limit."""
    with (
        tempfile.TemporaryDirectory(prefix="light-bench-") as folder,
        LaptopCloud(ROOT / "template.yaml", None, folder, STACK_NAME, concurrency=functions) as cloud,
    ):
        object.__setattr__(hooks.hooks(), "concurrency", lambda: limit)
        bucket, _, prefix = cloud.outputs["ChangeLogDir"].removeprefix("s3://").partition("/")
        s3 = cloud.client("s3")
        for parts in plan.first.values():
            for part in parts:
                s3.put_object(Bucket=bucket, Key=f"{prefix}/{part.key}", Body=part.body)
        register(cloud, plan.providers)
        cloud.deliver_events()
        usage.forget()
        begin, wall = time.monotonic(), time.time()
        report = cloud.tick()
        executions = cloud.wait(WAIT_SECONDS)
        seconds = time.monotonic() - begin
        last_start = begin + max(execution["startDate"].timestamp() for execution in executions) - wall
        messages: dict[str, Messages] = {}
        drain(cloud.client("sqs"), cloud.outputs["ChangesQueueUrl"], messages)
        wrong = [name for name, found in compare(expected_ids(s3, bucket, prefix), messages).items() if not found.ok]
        statuses = Counter(execution["status"] for execution in executions)
        if wrong or statuses != {"SUCCEEDED": report["due"]}:
            raise SystemExit(f"{statuses}, {report['faults']}; messages differ from rows: {wrong[:5]}")
        return {
            "seconds": round(seconds, 1),
            "functions_used_while_providers_waited": round(usage.mean(begin, last_start) / functions, 3),
            "throttled_tries_per_run": round(usage.throttled.total() / len(executions), 2),
            "throttled": dict(usage.throttled),
        }


def table(figures: dict[str, Any]) -> str:
    """Return the figures as Markdown."""
    lines = [
        "# Lambda runs in an account with few concurrent functions",
        "",
        f"A new AWS account may have a limit of {figures['functions']} concurrent Lambda functions. `make bench-light`",
        f"runs one tick over {figures['providers']} due providers with small inputs under this limit, on the laptop",
        f"cloud with {figures['machine']}. It compares two ways to start their runs:",
        "",
        "- **As functions become free**: the dispatcher starts a run when a function is free for it. This is what it",
        "  [does](../dispatch.md#order-and-concurrency).",
        "- **All at once**: Lambda throttles the runs for which no function is free, and their executions retry.",
        "",
        "| start of runs | total seconds | functions in use while runs wait | throttled attempts per run |",
        "|---|---:|---:|---:|",
    ]
    for name in ("as functions become free", "all at once"):
        found = figures[name]
        used = f"{found['functions_used_while_providers_waited']:.0%}" if name != "all at once" else "–"
        lines.append(f"| {name} | {found['seconds']} | {used} | {found['throttled_tries_per_run']} |")
    share = f"Starting runs as functions become free took {figures['ratio']:.0%} of the time of starting all at once."
    return "\n".join([*lines, "", f"{share} All runs share the cores, so only the ratios are meaningful."])


def main() -> int:
    """Measure both variants; return 1 if a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--providers", type=int, default=200, help="light providers (default: %(default)s)")
    parser.add_argument(
        "--functions", type=int, default=10, help="concurrent functions of the account (default: %(default)s)"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "bench", help="folder for light.json and light.md")
    given = parser.parse_args()
    services.API_SECONDS = 0.0
    plan, usage = generated_plan(given.providers, given.providers * 20), Usage()
    figures: dict[str, Any] = {
        "machine": f"{os.cpu_count()} cores",
        "providers": given.providers,
        "functions": given.functions,
    }
    for name, limit in (("as functions become free", given.functions), ("all at once", NO_LIMIT)):
        figures[name] = one_tick(plan, given.functions, limit, usage)
        print(f"  {name}: {figures[name]}", flush=True)
    ours = figures["as functions become free"]
    figures["ratio"] = round(ours["seconds"] / figures["all at once"]["seconds"], 2)
    figures["met"] = {
        "ratio": figures["ratio"] <= MOST_OF_ALL_AT_ONCE,
        "functions used": ours["functions_used_while_providers_waited"] >= LEAST_USED,
        "throttled attempts": ours["throttled_tries_per_run"] <= MOST_THROTTLED,
    }
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "light.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    (given.out / "light.md").write_text(table(figures) + "\n", encoding="utf-8")
    print(table(figures))
    return 0 if all(figures["met"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
