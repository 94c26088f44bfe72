"""IAM actions of each command: recorded calls, and the table that help texts and the reference show."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from cli.command import Operator, iam, utc_now
from cli.console import actions, dead_letters
from cli.console.actions import Order
from cli.deployment import Deployment, Where
from cli.main import app
from contract.uris import split_uri
from tests.harness.waiting import eventually
from tests.integration.cli.conftest import Fanout
from tests.integration.cli.test_snapshot import export
from tests.template.reading import ROOT
from tools.reference import _commands

TABLE = ROOT / "cli/permissions.json"
"""Command -> resource -> actions. RECORD=1 with this file's tests records it again: read the difference."""
Actions = dict[str, set[tuple[str, str]]]
"""Command -> (action, resource; empty for an action that is not restricted to one)."""

OF_GLUE_RUNS = ("glue:GetJob", "glue:GetJobRun", "logs:DescribeLogStreams", "logs:GetLogEvents")
ELSEWHERE: dict[tuple[str, str, str], str] = {
    ("status", "states:DescribeExecution", ""): "of a run whose lease is older than a minute",
    ("failed", "states:DescribeExecution", ""): "of a run whose lease is older than a minute",
    **{(command, action, ""): "of a Glue run" for command in ("trace", "console") for action in OF_GLUE_RUNS},
    ("doctor", "lambda:GetAccountSettings", ""): "the laptop cloud has no quota",
    ("doctor", "servicequotas:ListServiceQuotas", ""): "the laptop cloud has no quota",
    ("failed", "states:ListExecutions", ""): "of a provider that is due",
    ("mapping get", "s3:ListBucket", "the data bucket"): "without it, S3 answers 403 for a mapping that does not exist",
    ("doctor", "states:DescribeExecution", ""): "of a run whose lease is older than a minute",
    ("console", "sqs:DeleteMessage", ""): "StartMessageMoveTask, Amazon SQS Developer Guide: on the dead-letter queue",
    ("console", "sqs:SendMessage", ""): "StartMessageMoveTask, Amazon SQS Developer Guide: on the source queue",
}
"""Actions that are not recorded here -> why, or for what they are needed."""
SOMETIMES = {("retry", "states:ListExecutions", ""): "of a provider that is due, which the time of the retry decides"}
"""Actions that are recorded only in some runs of these tests -> for what they are needed."""
EVERYWHERE = ("cloudformation:DescribeStacks", "")
PREFIXES = {"stepfunctions": "states", "service-quotas": "servicequotas"}
RENAMED = {
    "s3:ListObjectsV2": "s3:ListBucket",
    "s3:HeadObject": "s3:GetObject",
    "s3:ListObjectVersions": "s3:ListBucketVersions",
    "s3:DeleteObjects": "s3:DeleteObjectVersion",
    "s3:GetBucketNotificationConfiguration": "s3:GetBucketNotification",
}
"""Operations whose action has another name. Source: Service Authorization Reference."""
ENCRYPTS = ("s3:PutObject", "sqs:SendMessage")
DECRYPTS = (
    *("s3:GetObject", "s3:GetObjectVersion", "dynamodb:", "secretsmanager:", "sqs:ReceiveMessage", "sqs:SendMessage"),
    "lambda:GetFunctionConfiguration",
)
"""Beginnings of actions that use the key of a prod stack in the caller's name."""


class Recorder:
    """Records the calls of a stack's clients."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, outputs: Mapping[str, str]) -> None:
        self.calls: list[tuple[str, str]] = []
        self._outputs = outputs
        self._change_log = split_uri(outputs["ChangeLogDir"])[1]
        made, watched = Deployment.client, set()

        def client(stack: Deployment, service: str) -> Any:
            found = made(stack, service)
            if found not in watched:
                watched.add(found)
                found.meta.events.register("provide-client-params", lambda **call: self._note(service, **call))
            return found

        monkeypatch.setattr(Deployment, "client", client)

    def of(self, work: Callable[[], object]) -> set[tuple[str, str]]:
        """The actions of a piece of work."""
        self.calls.clear()
        work()
        return set(self.calls) - {EVERYWHERE}

    def _note(self, service: str, params: dict[str, Any], model: Any, **other: object) -> None:
        action = f"{PREFIXES.get(service, service)}:{model.name}"
        action = "s3:GetObjectVersion" if action == "s3:GetObject" and "VersionId" in params else action
        action = RENAMED.get(action, action)
        self.calls.append((action, self._resource(service, action, params)))

    def _resource(self, service: str, action: str, params: dict[str, Any]) -> str:
        if service == "dynamodb":
            tables = {params.get("TableName"), *params.get("RequestItems", ())} - {None}
            return "the run ledger" if tables == {self._outputs["RunLedgerTable"]} else "the table"
        if service == "s3":
            notified = self._change_log if action == "s3:GetBucketNotification" else ""  # of the bucket that has it
            path = params.get("Key") or params.get("Prefix") or notified
            if params["Bucket"] != self._outputs["DataBucketName"]:
                return "the export"
            return "the change log" if path.startswith(self._change_log) else "the data bucket"
        return ""


@pytest.fixture(scope="module")
def recorded(cloud: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Actions]:
    """The actions of every command, each run on its main paths."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("FANOUT_CLOUD_FILE", str(cloud.workdir / "cloud.json"))
        folder = tmp_path_factory.mktemp("permissions")
        yield play(Fanout(cloud, folder), Recorder(monkeypatch, cloud.outputs), folder)


def play(fanout: Fanout, recorder: Recorder, folder: Path) -> Actions:
    """Run every command once, and some again."""
    found: Actions = defaultdict(set)
    provider, file, entries = "permitted", str(folder / "object"), str(folder / "entries.json")
    mapping = str(ROOT / "tests/data/orders/semicolons.yaml")
    table = export(fanout, "permissions", [{"pk": {"S": f"ORG#{provider}#1"}}])

    def does(*words: str, command: str = "", statuses: tuple[int, ...] = (0,)) -> str:
        name = command or " ".join(words[: 2 if words[0] in ("providers", "bookmark", "mapping", "maintenance") else 1])
        said: list[Any] = []
        found[name] |= recorder.of(lambda: said.append(fanout(*words)))
        assert said[0].status in statuses, (words, said[0].error)
        return str(said[0].out)

    does("providers", "add", provider)
    does("set", provider, "--frequency", "15")
    does("pause", provider)
    does("resume", provider)
    does("providers", "list")
    does("maintenance", "on", "--until", "1h", "--yes")
    does("maintenance", "off")
    does("providers", "export", entries)
    does("providers", "import", entries, "--yes")
    does("providers", "sync", entries, "--yes")
    fanout.drop(provider, "one.json.gz", 2)
    does("put", provider, file, "--as", "two.json.gz")
    does("providers", "discover", "--dry-run")
    fanout.cloud.deliver_events()
    does("status", "--all", statuses=(0, 1))
    does("doctor", statuses=(0, 1))
    run_id = json.loads(does("run", provider, "--json"))["run_id"]
    does("runs", provider)
    does("trace", run_id)
    does("replay", provider, "--from", "1h", "--yes")
    does("replay", provider, "--late", "--yes", statuses=(0, 1))
    begun = utc_now()
    eventually(lambda: utc_now() - begun > timedelta(seconds=1), "the next second, which is in the name of a replay")
    does("replay", "--all", "--from", "1h", "--yes")
    fanout.drop_bytes(provider, "bad.json.gz", b"not gzip")
    failed = json.loads(does("run", "--all", "--yes", "--json", statuses=(1,)))["failed"][provider]
    failed = failed.rpartition("fanout trace ")[2].rstrip("`")
    does("retry", provider, statuses=(1,))
    does("retry", "--all", "--yes", statuses=(1,))
    does("trace", failed, statuses=(0, 1))
    does("status", statuses=(0, 1))
    does("failed", statuses=(0, 1))
    fanout.cloud.tick()
    fanout.cloud.wait()
    does("ticks", statuses=(0, 1))
    does("cost")
    does("diff", statuses=(2,))  # the laptop cloud has no change sets
    does("diff", "none", statuses=(1,))
    does("audit", provider, statuses=(0, 1))
    does("bookmark", "show", provider)
    does("bookmark", "set", provider, "1h", "--yes")
    does("bookmark", "reset", provider, "--yes")
    version = json.loads(does("mapping", "put", provider, mapping, "--json"))["version"]
    does("mapping", "list")
    does("mapping", "get", provider)
    does("mapping", "get", provider, "--version", version)
    does("snapshot", table, "--provider-attribute", "pk ^ORG#([^#]+)#")
    pages = ("status", "ticks", "runs", "trace", "cost", "run", "replay", "mapping get")
    found["console"] = of_the_console(fanout, recorder, provider).union(*(found[command] for command in pages))
    fanout.drop("unlisted", "one.json.gz", 1)
    fanout.cloud.deliver_events()
    does("providers", "accept", "--yes")
    does("remove", provider, "--purge", "--yes")
    fanout.messages()
    return found


def of_the_console(fanout: Fanout, recorder: Recorder, provider: str) -> set[tuple[str, str]]:
    """The actions of the pages and changes that only the console has."""
    op = Operator(Where(None, cloud_file=fanout.cloud.workdir / "cloud.json"))

    def work() -> None:
        stack = op.stack
        stack.pending.of(provider)
        actions.may_start(stack)
        for queue in dead_letters.queues(stack):
            dead_letters.letters(stack, queue)
        redriven = next(queue.name for queue in dead_letters.queues(stack) if queue.source)
        for order in (Order("pause", provider), Order("resume", provider), Order("redrive", redriven)):
            if order.do == "redrive":
                actions.question(stack, order)
            actions.carry_out(op, order)
        for order in (Order("run", provider), Order("replay", provider, "1h", "now")):
            actions.question(stack, order)
            actions.carry_out(op, order)

    found = recorder.of(work)
    fanout.cloud.wait()
    return found


def with_keys(given: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """The actions with those on the key of a prod stack."""
    key = "the key (Profile=prod)"
    found = set(given)
    if any(action.startswith(DECRYPTS) for action, _ in given):
        found.add(("kms:Decrypt", key))
    if any(action.startswith(ENCRYPTS) for action, _ in given):
        found.add(("kms:GenerateDataKey", key))
    return found


def as_table(found: Actions) -> dict[str, dict[str, list[str]]]:
    """The table's content."""
    table: dict[str, dict[str, list[str]]] = {}
    for command in sorted(found):
        more = {(action, resource) for (name, action, resource) in ELSEWHERE | SOMETIMES if name == command}
        by_resource = table[command] = defaultdict(list)
        for action, resource in sorted(with_keys(found[command] | more), key=lambda one: (one[1], one[0])):
            by_resource[resource].append(action)
    return table


def test_the_table_of_permissions_is_that_of_the_recorded_calls(recorded: Actions) -> None:
    made = as_table(recorded)
    if os.environ.get("RECORD"):
        TABLE.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")

    assert made == json.loads(TABLE.read_text(encoding="utf-8"))


def test_an_action_is_stated_without_a_recording_only_where_it_cannot_be_recorded(recorded: Actions) -> None:
    assert [
        (command, action) for command, action, resource in ELSEWHERE if (action, resource) in recorded[command]
    ] == []


def test_every_command_that_uses_the_stack_is_in_the_table() -> None:
    table = json.loads(TABLE.read_text(encoding="utf-8"))
    commands = {path.removeprefix("fanout "): command for path, command in _commands(get_command(app), "fanout")}
    local = {"job try", "mapping check", "mapping suggest"}

    assert set(table) == set(commands) - local
    assert all(command.epilog == iam(name) for name, command in commands.items() if name not in local)
