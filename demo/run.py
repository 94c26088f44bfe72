"""`make run`: runs the whole system on this machine, and verifies that every row became exactly one message.

1. Start the laptop cloud, put a change log into its bucket, register the providers with the config API.
2. Tick: every provider is due. One provider has a corrupt object, so its run fails.
3. Repair that object, add objects for two providers, and tick an hour later: the repaired provider catches up, the new
   objects are processed, a provider without pending objects is not started (except for a sweep), and no message is
   sent twice.
4. Compare the messages in the queue with the rows of the input, and write the report.

The user's own change log is not modified: there are two ticks, and the second one must send nothing.
"""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from demo import STACK_NAME, DemoError
from demo.plan import Plan
from demo.sample_data import Part
from demo.screen import Screen

if TYPE_CHECKING:
    from demo.runs import Run
    from laptop_cloud.cloud import LaptopCloud

FREQUENCY_MINUTES = 60
TICK_TIMEOUT = 600.0
TICK_TIMEOUT_PER_PROVIDER = 5.0
"""Time limits of a tick's runs in seconds, generous enough for a busy machine."""

CORRUPT_BYTES = 40
"""Size of the corrupt object, less than one row."""

SHOWN_FAILURES = SHOWN_IGNORED = 5
SHOWN_PROVIDERS = 12
"""Maximum of providers in the summary: those that differ from their input, then those with the most rows."""


def run(plan: Plan, stage: type[Stage], template: Path, workdir: Path, screen: Screen) -> dict[str, Any]:
    """Run a plan on a stage; returns the report, which is also written to report.json in `workdir`."""
    started = time.monotonic()
    screen.show("start", [(name, "", "", "getting ready", *[""] * 4) for name in plan.providers])
    from laptop_cloud.cloud import LaptopCloud  # imported after the first output, because it takes seconds

    overrides: dict[str, object] = {"LambdaMaxBytes": plan.lambda_max_bytes}
    overrides |= {"Job": plan.job} if plan.job != "change_log" else {}
    screen.say(f"{template.name} with {' '.join(f'{name}={value}' for name, value in overrides.items())}")
    with LaptopCloud(template, overrides, workdir, STACK_NAME, warm=len(plan.large)) as cloud:
        screen.say(f"the laptop cloud is running at {cloud.endpoint}")
        report = stage(plan, cloud, screen).play()
    return write_report(report, workdir, started)


def write_report(report: dict[str, Any], workdir: Path, started: float) -> dict[str, Any]:
    """Add the seconds since `started`, a monotonic time, to a report, and write it to report.json."""
    report["seconds"] = round(time.monotonic() - started, 1)
    (workdir / "report.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return report


def register(cloud: LaptopCloud, providers: Iterable[str], minutes: int = FREQUENCY_MINUTES) -> None:
    """Register providers with the built-in config API, with a frequency of `minutes`."""
    outputs = cloud.outputs
    secret = cloud.client("secretsmanager").get_secret_value(SecretId=outputs["ConfigApiKeySecretArn"])
    headers = {"x-api-key": secret["SecretString"], "Content-Type": "application/json"}
    body = json.dumps({"frequency": str(minutes)}).encode()
    for provider in providers:
        url = f"{outputs['ConfigApiUrl']}/{quote(provider)}"
        with urllib.request.urlopen(urllib.request.Request(url, body, headers, method="PUT"), timeout=60):
            pass


class Stage:
    """The demonstration on a running cloud."""

    def __init__(self, plan: Plan, cloud: LaptopCloud, screen: Screen) -> None:
        from demo.runs import RunWatcher
        from demo.verify import Messages

        self._plan = plan
        self._cloud = cloud
        self._screen = screen
        self._bucket, _, self._prefix = cloud.outputs["ChangeLogDir"].removeprefix("s3://").partition("/")
        self._watcher = RunWatcher(cloud, cloud.outputs["DataBucketName"], plan.lambda_max_bytes)
        self._messages: dict[str, Messages] = {}
        self._ticks: list[dict[str, Any]] = []
        self._tick_runs: list[list[Run]] = []

    def play(self) -> dict[str, Any]:
        """Run both ticks; returns the report."""
        plan, now = self._plan, datetime.now(UTC).replace(microsecond=0)
        for provider, parts in plan.first.items():
            self._put(parts, corrupt=provider == plan.corrupt)
        self._put(list(plan.ignored))
        self._register()
        rows = sum(part.rows for parts in plan.first.values() for part in parts)
        say_first(plan.refused, SHOWN_FAILURES, self._screen.say)
        if plan.ignored:
            self._screen.say(f"{len(plan.ignored)} files are not data and will be ignored: {_names(plan.ignored)}")
        self._screen.say(f"{len(plan.first)} providers with {rows} rows in s3://{self._bucket}/{self._prefix}/")
        if plan.corrupt:
            self._screen.say(f"the object of {plan.corrupt} is corrupt: its run will fail, other runs are not affected")
        self._tick("tick 1", now)
        if plan.corrupt:
            self._put(plan.first[plan.corrupt])
            self._screen.say(f"{plan.corrupt} is repaired")
        for provider, parts in plan.second.items():
            self._put(parts)
            self._screen.say(f"{provider} has {sum(part.rows for part in parts)} new rows")
        self._tick("tick 2, an hour later", now + timedelta(minutes=FREQUENCY_MINUTES))
        return self._report()

    def _put(self, parts: list[Part], corrupt: bool = False) -> None:
        s3 = self._cloud.client("s3")
        for part in parts:
            body = part.body[:CORRUPT_BYTES] if corrupt else part.body
            s3.put_object(Bucket=self._bucket, Key=f"{self._prefix}/{part.key}", Body=body)

    def _register(self) -> None:
        register(self._cloud, self._plan.providers)

    def _tick(self, title: str, at: datetime) -> None:
        before = {run.execution for run in self._watcher.runs()}
        ticked = self._cloud.tick(at)
        self._ticks.append(ticked)
        counts = ("due", "started", "idle", "deferred", "invalid")
        self._screen.say(f"{title}: {', '.join(f'{ticked[name]} {name}' for name in counts)}")
        for fault in [*ticked["faults"], *ticked["invalid_providers"]][:SHOWN_FAILURES]:
            self._screen.say(f"  {fault}")
        runs = self._follow(title, before, set(ticked["started_providers"]))
        self._tick_runs.append(runs)
        failed = [f"{run.provider} failed: {str(run.error)[:300]}" for run in runs if run.error]
        say_first(failed, SHOWN_FAILURES, self._screen.say, " failed runs")
        self._receive()

    def _receive(self) -> None:
        from demo.verify import drain

        received = drain(self._cloud.client("sqs"), self._cloud.outputs["ChangesQueueUrl"], self._messages)
        self._screen.say(f"{len(received)} messages received from the queue")

    def _follow(self, title: str, before: set[str], due: set[str]) -> list[Run]:
        """Show the tick's runs until all have ended."""
        timeout = TICK_TIMEOUT + TICK_TIMEOUT_PER_PROVIDER * len(self._plan.providers)
        end = time.monotonic() + timeout
        while True:
            runs = [run for run in self._watcher.runs() if run.execution not in before]
            by_provider = {run.provider: run for run in runs}
            self._screen.show(title, [_row(name, name in due, by_provider.get(name)) for name in self._plan.providers])
            if all(run.status != "RUNNING" for run in runs):
                return runs
            if time.monotonic() > end:
                logs = self._cloud.workdir / "logs"
                raise DemoError(f"{title}: still running after {timeout:.0f} s. Logs are in {logs}.")
            time.sleep(0.25)

    def _report(self) -> dict[str, Any]:
        faults, figures = self._verify()
        faults += self._plan.refused
        faults += self._unexpected_outcomes()
        totals = {key: sum(found[key] for found in figures.values()) for key in next(iter(figures.values()), {})}
        runs = {"executions": sum(len(runs) for runs in self._tick_runs), "job_runs": len(self._cloud.job_runs())}
        return {
            "ok": not faults,
            "faults": faults,
            "providers": {name: {**self._outcome(name), **found} for name, found in figures.items()},
            "totals": {"providers": len(figures), **totals, **runs, "ignored": len(self._plan.ignored)},
            "lambda_max_bytes": self._plan.lambda_max_bytes,
            "ticks": self._ticks,
        }

    def _verify(self) -> tuple[list[str], dict[str, dict[str, int]]]:
        """Compare the output with the input; returns the faults, and each provider's figures."""
        from demo.verify import compare, expected_ids

        ignored = {part.key for part in self._plan.ignored}
        expected = expected_ids(self._cloud.client("s3"), self._bucket, self._prefix, ignored)
        comparison = compare(expected, self._messages)
        faults = [f"{name}: {found.difference}" for name, found in comparison.items() if not found.ok]
        return faults, {
            name: {"rows": found.rows, "messages": found.messages, "distinct_ids": found.distinct}
            for name, found in comparison.items()
        }

    def _outcome(self, name: str) -> dict[str, Any]:
        """Return a provider's status, the engine of its largest run, and its runs."""
        runs = [run for tick in self._tick_runs for run in tick if run.provider == name]
        working = [run for run in runs if run.engine in ("glue", "lambda")]
        largest = max(working, key=lambda run: run.rows or 0, default=None)
        return {
            "status": runs[-1].state if runs else "never run",
            "engine": largest.engine if largest else "none",
            "runs": [asdict(run) for run in runs],
        }

    def _unexpected_outcomes(self) -> list[str]:
        """Return the runs that did not end as expected, and the runs that are missing."""
        faults = []
        for number, runs in enumerate(self._tick_runs, 1):
            for run in runs:
                is_corrupt = number == 1 and run.provider == self._plan.corrupt
                if run.status != ("FAILED" if is_corrupt else "SUCCEEDED"):
                    faults.append(f"tick {number}: the run of {run.provider} ended as {run.status}")
            wanted = set(self._plan.providers) if number == 1 else self._plan.pending
            started = {run.provider for run in runs}
            faults += [f"tick {number}: {name} was not started" for name in sorted(wanted - started)]
            for run in runs:  # a run without pending objects is a sweep, and has nothing to send
                if run.provider not in wanted and run.rows:
                    faults.append(f"tick {number}: {run.provider} had no new objects, but processed {run.rows} rows")
        return faults


def say_first(lines: Sequence[str], count: int, say: Callable[[str], None], what: str = "") -> None:
    """Print the first lines, and how many more there are."""
    for line in lines[:count]:
        say(line)
    if len(lines) > count:
        say(f"and {len(lines) - count} more{what}, listed in the report")


def _names(parts: Sequence[Part]) -> str:
    """Return the keys of the first objects."""
    more = ", …" if len(parts) > SHOWN_IGNORED else ""
    return ", ".join(ascii(part.key)[1:-1] for part in parts[:SHOWN_IGNORED]) + more


def _row(name: str, due: bool, run: Run | None) -> tuple[str, ...]:
    """Return a row of the screen's table."""
    if run is None:
        return (name, "yes" if due else "no", *[""] * 6)
    figures = ("" if value is None else str(value) for value in (run.objects, run.rows, run.messages))
    return (name, "yes" if due else "no", run.engine, run.state, *figures, f"{run.seconds:.1f}")


def summary(report: dict[str, Any], say: Callable[[str], None]) -> None:
    """Summarize a report in a few lines."""
    columns = {"rows": "rows", "messages": "messages", "distinct_ids": "ids", "table_rows": "in table"}
    columns = {name: title for name, title in columns.items() if name in report["totals"]}
    output = "messages" if "messages" in columns else "table_rows"
    say("")
    say(f"{'provider':<14}{'status':<11}{'engine':<8}" + "".join(f"{title:>10}" for title in columns.values()))
    providers: dict[str, dict[str, Any]] = report["providers"]
    wrong = {name for name, found in providers.items() if found["rows"] != found[output]}
    interesting = sorted(providers, key=lambda name: (name not in wrong, -providers[name]["rows"]))
    for name in sorted(interesting[:SHOWN_PROVIDERS]):
        found = providers[name]
        figures = "".join(f"{found[column]:>10}" for column in columns)
        say(f"{name:<14}{found['status']:<11}{found['engine']:<8}{figures}")
    if len(providers) > SHOWN_PROVIDERS:
        say(f"and {len(providers) - SHOWN_PROVIDERS} more providers, listed in the report")
    totals = report["totals"]
    say(f"{'all':<33}" + "".join(f"{totals[column]:>10}" for column in columns))
    say_first([f"FAULT {fault}" for fault in report["faults"]], SHOWN_PROVIDERS, say, " faults")
    say(f"ok: {str(report['ok']).lower()}, {report['seconds']} s")
