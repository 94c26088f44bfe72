"""`make run`: the whole system once, on this machine, and the proof that every row became exactly one message.

1. Start the laptop cloud, put a change log into its bucket, register the providers with the config API.
2. Tick: every provider is due. One of them has a corrupt object, and its run fails.
3. Repair that object, add new ones for two providers, tick again an hour later: the repaired provider catches up, the
   new objects are picked up, and nothing is sent twice.
4. Compare the messages in the queue with the rows of the input, and write the report.

A change log of the user's own is left as it is: two ticks, and the second one must send nothing.
"""

from __future__ import annotations

import gzip
import json
import time
import urllib.request
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from local.demo.sample_data import DEFAULT_START, NAMES, STYLES, Part, change_log
from local.demo.screen import Row, Screen
from local.errors import DemoError

FREQUENCY_MINUTES = 60
TICK_TIMEOUT = 600.0
CORRUPT_BYTES = 40
"""How much is left of the corrupt object: less than one row."""


@dataclass(frozen=True)
class Plan:
    """What the demonstration puts into the change log.

    Attributes
    ----------
    first
        Provider -> objects that are there at the first tick.
    second
        Provider -> objects that turn up before the second tick.
    corrupt
        Provider whose one object is corrupt at the first tick, or None.
    small_run_max_bytes
        Override of the template's SmallRunMaxBytes, so that both engines have something to do.
    """

    first: dict[str, list[Part]]
    second: dict[str, list[Part]] = field(default_factory=dict)
    corrupt: str | None = None
    small_run_max_bytes: int = 0

    @property
    def providers(self) -> list[str]:
        """All providers, in order."""
        return sorted({*self.first, *self.second})

    def size(self, provider: str) -> int:
        """Bytes of a provider's objects at the first tick."""
        return sum(len(part.body) for part in self.first.get(provider, []))


def generated_plan(providers: int, rows: int, seed: int = 1) -> Plan:
    """A change log made up for the occasion: sizes fall off, all shapes and view types occur.

    Raises
    ------
    DemoError
        Fewer than one provider, or fewer rows than providers need.
    """
    if providers < 1 or rows < providers * 10:
        raise DemoError(f"PROVIDERS={providers} ROWS={rows}: give at least one provider, and ten rows for each.")
    names = [NAMES[n] if n < len(NAMES) else f"provider-{n:03d}" for n in range(providers)]
    weights = [1 / (n + 1.5) for n in range(providers)]
    counts = [max(8, round(rows * 0.95 * weight / sum(weights))) for weight in weights]
    first = {
        name: change_log(name, count, 1 if n == providers - 1 else 4, STYLES[n % len(STYLES)], seed)
        for n, (name, count) in enumerate(zip(names, counts, strict=True))
    }
    late = DEFAULT_START + timedelta(days=1)
    added = max(2, round(rows * 0.05 / 2))
    second = {
        name: change_log(name, added, 1, STYLES[names.index(name) % len(STYLES)], seed, late)
        for name in dict.fromkeys([names[0], names[-2:][0]])
    }
    plan = Plan(first, second, corrupt=names[-1])
    return _with_threshold(plan)


def own_plan(folder: Path) -> Plan:
    """The user's change log: every provider=NAME/**/*.json.gz below `folder`.

    Raises
    ------
    DemoError
        There is none, or one of them is not gzip.
    """
    first: dict[str, list[Part]] = {}
    for path in sorted(folder.glob("provider=*/**/*.json.gz")):
        key = path.relative_to(folder).as_posix()
        body = path.read_bytes()
        try:
            rows = sum(1 for line in gzip.decompress(body).split(b"\n") if line.strip())
        except (OSError, EOFError) as error:
            raise DemoError(f"{path} cannot be read as gzip: {error}") from error
        first.setdefault(key.split("/")[0].removeprefix("provider="), []).append(Part(key, body, rows))
    if not first:
        raise DemoError(f"There is no provider=NAME/**/*.json.gz below {folder}.")
    return _with_threshold(Plan(first))


def _with_threshold(plan: Plan) -> Plan:
    """Put the threshold between the sizes so that the larger half, but at least three providers, run on PySpark."""
    sizes = sorted((plan.size(provider) for provider in plan.first), reverse=True)
    large = max(min(3, len(sizes)), len(sizes) // 2)
    threshold = sizes[large] if large < len(sizes) else 0
    return Plan(plan.first, plan.second, plan.corrupt, threshold)


class Demo:
    """One demonstration run.

    Parameters
    ----------
    plan
        What is put into the change log.
    template
        Path of the template.
    workdir
        Folder for state, logs and report.json.
    screen
        Where to show what happens.
    """

    def __init__(self, plan: Plan, template: Path, workdir: Path, screen: Screen) -> None:
        self._plan = plan
        self._template = template
        self._workdir = workdir
        self._screen = screen
        self._started = time.monotonic()

    def run(self) -> dict[str, Any]:
        """Do it all.

        Returns
        -------
        dict
            The report, as it is written to report.json.
        """
        plan = self._plan
        self._screen.show("start", [(name, "", "", "getting ready", *[""] * 4) for name in plan.providers])
        from local.cloud import LaptopCloud  # takes seconds to import: after the first sign of life

        override = {"SmallRunMaxBytes": plan.small_run_max_bytes}
        self._screen.say(f"{self._template.name} as it is, but SmallRunMaxBytes={plan.small_run_max_bytes}")
        with LaptopCloud(self._template, override, workdir=self._workdir, progress=self._screen.say) as cloud:
            self._screen.say(f"the laptop cloud is up at {cloud.endpoint}")
            report = _Stage(plan, cloud, self._screen).play()
        report["seconds"] = round(time.monotonic() - self._started, 1)
        self._workdir.mkdir(parents=True, exist_ok=True)
        (self._workdir / "report.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        return report


class _Stage:
    """The demonstration, once the cloud is up."""

    def __init__(self, plan: Plan, cloud: Any, screen: Screen) -> None:
        from local.demo.runs import RunWatcher
        from local.demo.verify import Messages

        self._plan = plan
        self._cloud = cloud
        self._screen = screen
        self._bucket, _, self._prefix = cloud.outputs["ChangeLogDir"].removeprefix("s3://").partition("/")
        self._watcher = RunWatcher(cloud, cloud.outputs["DataBucketName"], plan.small_run_max_bytes)
        self._messages: dict[str, Messages] = {}
        self._ticks: list[dict[str, Any]] = []
        self._tick_runs: list[list[Any]] = []

    def play(self) -> dict[str, Any]:
        plan, now = self._plan, datetime.now(UTC).replace(microsecond=0)
        for provider, parts in plan.first.items():
            self._put(parts, corrupt=provider == plan.corrupt)
        self._register()
        rows = sum(part.rows for parts in plan.first.values() for part in parts)
        self._screen.say(f"{len(plan.first)} providers with {rows} rows in s3://{self._bucket}/{self._prefix}/")
        if plan.corrupt:
            self._screen.say(f"the object of {plan.corrupt} is corrupt: its run will fail, and no other will notice")
        self._tick("tick 1", now)
        if plan.corrupt:
            self._put(plan.first[plan.corrupt])
            self._screen.say(f"{plan.corrupt} is repaired")
        for provider, parts in plan.second.items():
            self._put(parts)
            self._screen.say(f"{provider} has {len(parts)} new object with {sum(part.rows for part in parts)} rows")
        self._tick("tick 2, an hour later", now + timedelta(minutes=FREQUENCY_MINUTES))
        return self._report()

    def _put(self, parts: list[Part], corrupt: bool = False) -> None:
        s3 = self._cloud.client("s3")
        for part in parts:
            body = part.body[:CORRUPT_BYTES] if corrupt else part.body
            s3.put_object(Bucket=self._bucket, Key=f"{self._prefix}/{part.key}", Body=body)

    def _register(self) -> None:
        secret = self._cloud.client("secretsmanager").get_secret_value(
            SecretId=self._cloud.outputs["ConfigApiKeySecretArn"]
        )
        for provider in self._plan.providers:
            request = urllib.request.Request(
                f"{self._cloud.outputs['ConfigApiUrl']}/{quote(provider)}",
                method="PUT",
                data=json.dumps({"frequency": str(FREQUENCY_MINUTES)}).encode(),
                headers={"x-api-key": secret["SecretString"], "Content-Type": "application/json"},
            )
            with urllib.request.urlopen(request, timeout=60):
                pass

    def _tick(self, title: str, at: datetime) -> None:
        before = {run.execution for run in self._watcher.runs()}
        ticked = self._cloud.tick(at)
        self._ticks.append(ticked)
        due = set(ticked["started_providers"])
        self._screen.say(f"{title}: {ticked['due']} due, {ticked['started']} started, {ticked['rejected']} rejected")
        for fault in [*ticked["faults"], *ticked["rejected_providers"]]:
            self._screen.say(f"  {fault}")
        runs = self._follow(title, before, due)
        self._tick_runs.append(runs)
        for run in runs:
            if run.error:
                self._screen.say(f"{run.provider} failed: {run.error[:300]}")
        self._drain()

    def _follow(self, title: str, before: set[str], due: set[str]) -> list[Any]:
        end = time.monotonic() + TICK_TIMEOUT
        while True:
            runs = [run for run in self._watcher.runs() if run.execution not in before]
            self._screen.show(title, self._rows(runs, due))
            if all(run.status != "RUNNING" for run in runs):
                return runs
            if time.monotonic() > end:
                raise DemoError(
                    f"{title}: still running after {TICK_TIMEOUT:.0f} s. Logs are in {self._cloud.workdir}/logs."
                )
            time.sleep(0.25)

    def _rows(self, runs: list[Any], due: set[str]) -> list[Row]:
        by_provider = {run.provider: run for run in runs}
        return [_row(name, name in due, by_provider.get(name)) for name in self._plan.providers]

    def _drain(self) -> None:
        from local.demo.verify import drain

        received = drain(self._cloud.client("sqs"), self._cloud.outputs["ChangesQueueUrl"], self._messages)
        self._screen.say(f"{len(received)} messages received from the queue")

    def _report(self) -> dict[str, Any]:
        from local.demo.verify import compare, expected_ids

        expected = expected_ids(self._cloud.client("s3"), self._bucket, self._prefix)
        comparison = compare(expected, self._messages)
        providers = {name: self._provider_report(name, found) for name, found in comparison.items()}
        faults = [fault for name, found in providers.items() for fault in found.pop("faults")]
        faults += self._unexpected_outcomes()
        return {
            "ok": not faults,
            "faults": faults,
            "providers": providers,
            "totals": {
                "providers": len(providers),
                "rows": sum(found.rows for found in comparison.values()),
                "messages": sum(found.messages for found in comparison.values()),
                "distinct_ids": sum(found.distinct for found in comparison.values()),
                "executions": sum(len(runs) for runs in self._tick_runs),
                "job_runs": len(self._cloud.job_runs()),
            },
            "small_run_max_bytes": self._plan.small_run_max_bytes,
            "ticks": self._ticks,
        }

    def _provider_report(self, name: str, found: Any) -> dict[str, Any]:
        runs = [run for tick in self._tick_runs for run in tick if run.provider == name]
        working = [run for run in runs if run.engine in ("glue", "small")]
        largest = max(working, key=lambda run: run.rows or 0, default=None)
        difference = (
            f"{name}: {found.missing} rows without a message, {found.unexpected} messages without a row, "
            f"{found.repeated} ids more than once"
        )
        return {
            "status": runs[-1].state if runs else "never run",
            "engine": largest.engine if largest else "none",
            "rows": found.rows,
            "messages": found.messages,
            "distinct_ids": found.distinct,
            "runs": [asdict(run) for run in runs],
            "faults": [] if found.ok else [difference],
        }

    def _unexpected_outcomes(self) -> list[str]:
        """Runs that ended otherwise than they should have."""
        faults = []
        for number, runs in enumerate(self._tick_runs, 1):
            for run in runs:
                should_fail = number == 1 and run.provider == self._plan.corrupt
                if (run.status == "FAILED") != should_fail:
                    faults.append(f"tick {number}: the run of {run.provider} ended as {run.status}")
                if number == 2 and run.provider not in self._news() and run.messages:
                    faults.append(f"tick 2: {run.provider} had nothing new, but {run.messages} messages were sent")
        started = [{run.provider for run in runs} for runs in self._tick_runs]
        faults += [
            f"tick {n}: {p} was not started"
            for n, got in enumerate(started, 1)
            for p in self._plan.providers
            if p not in got
        ]
        return faults

    def _news(self) -> set[str]:
        return {*self._plan.second, *([self._plan.corrupt] if self._plan.corrupt else [])}


def _row(name: str, due: bool, run: Any | None) -> Row:
    def text(value: int | None) -> str:
        return "" if value is None else str(value)

    if run is None:
        return (name, "yes" if due else "no", "", "", "", "", "", "")
    figures = (text(run.objects), text(run.rows), text(run.messages), f"{run.seconds:.1f}")
    return (name, "yes" if due else "no", run.engine, run.state, *figures)


def summary(report: dict[str, Any], say: Callable[[str], None]) -> None:
    """Show a report in a few lines."""
    say("")
    say(f"{'provider':<14}{'status':<11}{'engine':<8}{'rows':>9}{'messages':>10}{'ids':>9}")
    for name, found in report["providers"].items():
        figures = f"{found['rows']:>9}{found['messages']:>10}{found['distinct_ids']:>9}"
        say(f"{name:<14}{found['status']:<11}{found['engine']:<8}{figures}")
    totals = report["totals"]
    say(f"{'all':<33}{totals['rows']:>9}{totals['messages']:>10}{totals['distinct_ids']:>9}")
    for fault in report["faults"]:
        say(f"FAULT {fault}")
    say(f"ok: {str(report['ok']).lower()}, {report['seconds']} s")
