"""Keeps a laptop cloud busy for many ticks, and compares every message with the rows: `make soak`.

    python -m tests.soak [--providers N] [--active N] [--ticks N] [--speed N]

The system runs in a process of its own, as `make up` starts it, with a schedule that ticks `speed` times faster. After
each tick, some providers get a new object. In between, operators run `fanout run` at the same time, and writers change
entries of the config API. The exit status is 1 if a row is missing, a message has no row, a tick is lost, an order or a
request fails, or the memory grows.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cli.deployment import Deployment, Where
from cli.logs import ticks
from contract.times import parse_iso
from demo.verify import Messages, drain
from tests.harness.children import Child, descendants, run
from tests.harness.clouds import made_up
from tests.harness.waiting import HANG_SECONDS, eventually

ROOT = Path(__file__).parents[2]
ROWS = 3
"""Rows of an object."""
AT_ONCE = 20
"""Operators, and writers of the config API."""
WRITES = 25
"""Requests of each writer."""
MOST_GROWTH = 1.1
"""The memory in the last third of the time, compared with the second third."""
TICK = re.compile(r"^\d\d:\d\d:\d\d \d+ of \d+ providers were due: .*$", re.MULTILINE)
FAILED_TICK = re.compile(r"^\d\d:\d\d:\d\d the tick failed: .*$", re.MULTILINE)


@contextmanager
def system(folder: Path, speed: float) -> Iterator[System]:
    """Run `make up` in a folder until the end of the block."""
    with made_up(folder, "--speed", str(speed)) as process:
        yield System(folder, process, speed)


class System:
    """The running system: its parts, what it printed, and its memory.

    Attributes
    ----------
    patience
        Number of ticks, in ten minutes or more, after which a row that has not arrived is missing.
    """

    def __init__(self, folder: Path, process: Child, speed: float) -> None:
        self.folder, self.process = folder, process
        self.patience = max(10, round(speed))
        self.stack = Deployment.find(Where(None, cloud_file=folder / "cloud.json"))
        self.bucket, _, self.prefix = self.stack.outputs["ChangeLogDir"].removeprefix("s3://").partition("/")
        self.url = self.stack.outputs["ConfigApiUrl"]
        secret = self.stack.client("secretsmanager").get_secret_value(
            SecretId=self.stack.outputs["ConfigApiKeySecretArn"]
        )
        self.headers = {"x-api-key": secret["SecretString"], "Content-Type": "application/json"}
        self.environment = {**os.environ, "FANOUT_CLOUD_FILE": str(folder / "cloud.json"), "FANOUT_LOCAL": "1"}

    def said(self, what: re.Pattern[str]) -> list[str]:
        """Return the lines of its output that match."""
        return what.findall((self.folder / "up.txt").read_text(encoding="utf-8"))

    def tick(self, before: int) -> str:
        """Wait for the end of another tick than these; return its line."""
        eventually(lambda: len(self.said(TICK)) > before or self.process.poll() is not None, "a tick", every=0.5)
        if self.process.poll() is not None:
            raise SystemExit(f"`make up` ended: {(self.folder / 'up.txt').read_text(encoding='utf-8')[-2000:]}")
        return self.said(TICK)[-1]

    def megabytes(self) -> float:
        """Return the memory of its processes; memory that they share counts once."""
        found = 0
        for pid in (self.process.pid, *descendants(self.process.pid)):
            try:
                status = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8")
            except OSError:
                continue
            found += int((re.search(r"^Pss:\s+(\d+)", status, re.MULTILINE) or [0, 0])[1])
        return found * 1024 / 1e6

    def register(self, names: Sequence[str]) -> None:
        """Add providers that are due at every tick."""
        file = self.folder / "providers.csv"
        file.write_text("provider,frequency\n" + "".join(f"{name},1\n" for name in names), encoding="utf-8")
        self.fanout("providers", "import", str(file), "--yes", check=True)

    def fanout(self, *words: str, check: bool = False) -> subprocess.CompletedProcess[Any]:
        """Run a command of `fanout`."""
        return run([sys.executable, "-m", "cli", *words], cwd=ROOT, env=self.environment, check=check)

    def put(self, provider: str, number: int) -> list[str]:
        """Write an object with new rows; return their ids."""
        ids = [f"{provider}-{number}-{row}" for row in range(ROWS)]
        images = {"Keys": {"id": {"S": "a"}}, "NewImage": {"id": {"S": "a"}}}
        lines = [
            json.dumps({"eventID": name, "eventName": "INSERT", "dynamodb": {"SequenceNumber": "1", **images}})
            for name in ids
        ]
        key = f"{self.prefix}/provider={provider}/part-{number:06d}.json.gz"
        body = gzip.compress("\n".join(lines).encode())
        self.stack.client("s3").put_object(Bucket=self.bucket, Key=key, Body=body)
        return ids

    def change_entry(self, provider: str) -> int:
        """Write an entry of the config API; return the HTTP status."""
        request = urllib.request.Request(  # noqa: S310 - own URL
            f"{self.url}/{provider}", b'{"frequency": 1}', self.headers, method="PATCH"
        )
        try:
            with urllib.request.urlopen(request, timeout=HANG_SECONDS) as answer:  # noqa: S310
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code


class Background:
    """Repeats work in a thread until the end of the block."""

    def __init__(self, work: Any, pause: float) -> None:
        self._work, self._pause, self._stop = work, pause, threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._work()
            self._stop.wait(self._pause)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()


def soak(made: System, providers: Sequence[str], active: int, count: int) -> dict[str, Any]:
    """Keep the system busy for `count` ticks, and until all rows have arrived; return the figures."""
    messages: dict[str, Messages] = {}
    memory: list[float] = []
    sqs, queue = made.stack.client("sqs"), made.stack.outputs["ChangesQueueUrl"]
    expected: set[str] = set()
    orders: list[subprocess.CompletedProcess[Any]] = []
    statuses: Counter[int] = Counter()
    began = datetime.now(UTC)
    made.register(providers)

    def received() -> set[str]:
        return {name for found in list(messages.values()) for name in list(found)}

    def write(number: int) -> list[str]:
        chosen = [providers[(number * active + place) % len(providers)] for place in range(active)]
        for provider in chosen:
            expected.update(made.put(provider, number))
        return chosen

    with (
        Background(lambda: drain(sqs, queue, messages), 0.5),
        Background(lambda: memory.append(made.megabytes()), 2.0),
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        seen = len(made.said(TICK))
        quiet = number = 0
        while number < count or (expected - received() and quiet < made.patience):
            before = len(received())
            if number < count:
                chosen = write(number)
                if number == count // 3:
                    orders = list(pool.map(lambda p: made.fanout("run", p), chosen[:AT_ONCE]))
                if number == 2 * count // 3:
                    names = [provider for provider in providers[:AT_ONCE] for _ in range(WRITES)]
                    statuses.update(pool.map(made.change_entry, names))
            line = made.tick(seen)
            seen, number = len(made.said(TICK)), number + 1
            quiet = 0 if len(received()) > before else quiet + 1
            shown = f"{len(expected):,} rows, {len(received()):,} received, {memory[-1] if memory else 0:,.0f} MB"
            print(f"tick {number} of {count}: {line} {shown}", flush=True)

    reports = ticks(made.stack, began - timedelta(minutes=1), datetime.now(UTC))
    times = sorted(parse_iso(report["scheduled_at"]) for report in reports)
    third = len(memory) // 3
    failed = [done.stdout + done.stderr for done in orders if done.returncode]
    failed = [output for output in failed if "another run of the provider is in progress" not in output]
    for output in failed:
        print(f"an order failed: {output}")
    return {
        "rows": len(expected),
        "missing": len(expected - received()),
        "unexpected": len(received() - expected),
        "repeated": sum(times > 1 for found in messages.values() for times in found.values()),
        "ticks": len(times),
        "ticks printed": len(made.said(TICK)),
        "ticks failed": len(made.said(FAILED_TICK)),
        "ticks twice": len(times) - len(set(times)),
        "failed starts": sum(report["failed_starts"] for report in reports),
        "orders": len(orders),
        "orders that failed": len(failed),
        "requests": statuses.total(),
        "server errors": sum(number for status, number in statuses.items() if status >= 500),
        "MB in the second third": round(max(memory[third : 2 * third] or [0])),
        "MB in the last third": round(max(memory[2 * third :] or [0])),
    }


MUST_BE_ZERO = (
    "missing",
    "unexpected",
    "ticks failed",
    "ticks twice",
    "failed starts",
    "orders that failed",
    "server errors",
)


def problems(figures: dict[str, Any], check_memory: bool = True) -> list[str]:
    """Return what is wrong."""
    found = [f"{name}: {figures[name]}" for name in MUST_BE_ZERO if figures[name]]
    if figures["ticks"] != figures["ticks printed"]:
        found.append(f"{figures['ticks printed']} ticks ended, {figures['ticks']} left a report")
    growth = figures["MB in the last third"] / max(figures["MB in the second third"], 1)
    if check_memory and growth > MOST_GROWTH:
        found.append(f"MB in the last third: {growth:.2f} times that of the second; the limit is {MOST_GROWTH}")
    return found


def main() -> int:
    """Keep a system busy; print the figures and what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--providers", type=int, default=500, help="number of providers (default: %(default)s)")
    parser.add_argument("--active", type=int, default=50, help="providers with a new object per tick (%(default)s)")
    parser.add_argument("--ticks", type=int, default=30, help="number of ticks (default: %(default)s)")
    parser.add_argument("--speed", type=float, default=15, help="how many times faster it ticks (default: %(default)s)")
    given = parser.parse_args()
    names = [f"provider-{number:04d}" for number in range(given.providers)]
    start = datetime.now(UTC)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder, system(Path(folder), given.speed) as made:
        figures = soak(made, names, given.active, given.ticks)
    wrong = problems(figures, check_memory=given.ticks >= 30)
    for name, value in figures.items():
        print(f"{name:<24} {value:>10,}")
    for line in wrong:
        print(f"wrong: {line}")
    print(f"{'failed' if wrong else 'passed'} in {str(datetime.now(UTC) - start).partition('.')[0]}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
