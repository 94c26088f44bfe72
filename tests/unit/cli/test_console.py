"""The console's access control, its changes, and the rows that it sends to a page."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError
from werkzeug.test import Client, TestResponse

from cli.command import Operator
from cli.deployment import Where
from contract.failure import Failure
from fanout.health import Condition, Decision, Health

PORT = 4580
OWN = f"http://127.0.0.1:{PORT}"
HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e\ud800"


class States:
    """Step Functions, with a list of what was started."""

    def __init__(self, refusal: str = "") -> None:
        self.started: list[dict[str, Any]] = []
        self.exceptions = SimpleNamespace(ExecutionAlreadyExists=KeyError)
        self._refusal = refusal

    def start_execution(self, **given: str) -> dict[str, str]:
        if self._refusal:
            raise ClientError({"Error": {"Code": self._refusal, "Message": "no"}}, "StartExecution")
        try:
            self.started.append(json.loads(given["input"]))
        except ValueError:
            raise ClientError({"Error": {"Code": "InvalidExecutionInput", "Message": ""}}, "StartExecution") from None
        return {"executionArn": f"arn:{given['name']}"}


@dataclass
class Stack:
    """A stack, with a list of all changes; every request raises `down`."""

    states: States = field(default_factory=States)
    listed: Mapping[str, object] = field(default_factory=lambda: {"acme": {"frequency": 15}})
    changes: list[tuple[str, str, Any]] = field(default_factory=list)
    down: Exception | None = None
    objects: Any = None
    ledger: Any = None

    def client(self, service: str) -> Any:
        return self.states if service == "stepfunctions" else None

    def output(self, name: str) -> str:
        if self.down:
            raise self.down
        return name

    @property
    def dispatching(self) -> Any:
        return self.output("DispatchFunctionName")

    @property
    def maintenance(self) -> Any:
        return SimpleNamespace(windows=list)

    @property
    def config_api(self) -> Any:
        def change(method: str, provider: str, body: Any = None, headers: Any = None, tries: int = 1) -> Any:
            self.changes.append((method, provider, body))
            return SimpleNamespace(body="{}")

        return SimpleNamespace(entries=lambda: dict(self.listed), change=change)


def watch() -> Any:
    """The console's module `watch`. It is imported by tests that need it, because dash takes seconds."""
    return importlib.import_module("cli.console.watch")


def guard() -> Any:
    """The console's module `guard`; see `watch`."""
    return importlib.import_module("cli.console.guard")


class Visitor:
    """A client of the console; by default, a browser that opened the printed address."""

    def __init__(self, stack: Stack, *, read_only: bool = False) -> None:
        from cli.console.app import Console

        op = Operator(Where(None), connect=lambda where: stack)  # type: ignore[arg-type,return-value]
        self.guard = guard().Guard(PORT)
        self.console = Console(op, self.guard, read_only=read_only)
        self._client = Client(self.console.app.server, TestResponse, use_cookies=False)
        self.key = self.guard.address.partition("#key=")[2]

    def get(self, path: str = "/", **headers: str) -> TestResponse:
        return self._client.get(path, base_url=OWN, headers=self._headers(headers))

    def _headers(self, changed: Mapping[str, str]) -> dict[str, str]:
        own = {"X-Fanout-Key": self.key, "Origin": OWN}
        return {**own, **{name.replace("_", "-"): value for name, value in changed.items()}}

    def confirm(self, order: Mapping[str, str], button: str = "yes", **headers: str) -> TestResponse:
        """The request that the page sends when the operator confirms a change, or cancels it with the button "no"."""
        callbacks: Any = self.get("/_dash-dependencies").json
        (one,) = [c for c in callbacks if {"id": "yes", "property": "n_clicks"} in c["inputs"]]
        names = [part.rpartition(".") for part in one["output"].strip(".").split("...")]
        body = {
            "output": one["output"],
            "outputs": [{"id": name, "property": prop} for name, _, prop in names],
            "inputs": [{"id": name, "property": "n_clicks", "value": 1} for name in ("yes", "no")],
            "state": [{"id": "order", "property": "data", "value": dict(order)}],
            "changedPropIds": [f"{button}.n_clicks"],
        }
        headers = self._headers(headers)
        return self._client.post("/_dash-update-component", base_url=OWN, json=body, headers=headers)


RUN = {"do": "run", "of": "acme", "start": "", "end": ""}
PAUSE = {"do": "pause", "of": "acme", "start": "", "end": ""}


def test_the_page_can_start_a_run_and_pause_a_provider() -> None:
    stack = Stack()
    visitor = Visitor(stack)

    answers = [visitor.confirm(RUN), visitor.confirm(PAUSE)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert stack.states.started == [{"provider": "acme"}]
    assert stack.changes == [("PATCH", "acme", {"paused": True})]


@pytest.mark.fault(38)
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Host": "evil.example"},
        {"Host": "rebound.example:4580", "Origin": "http://rebound.example:4580"},
        {"Host": "127.0.0.1:9999", "Origin": "http://127.0.0.1:9999"},
        {"Host": f"127.0.0.1.:{PORT}"},
        {"Host": f"[::1]:{PORT}"},
        {"Host": "127.0.0.1"},
        {"X_Fanout_Key": ""},
        {"X_Fanout_Key": "guessed"},
        {"X_Fanout_Key": "\xff"},
    ],
    ids=str,
)
def test_a_request_from_another_origin_or_host_or_without_the_key_changes_nothing(
    headers: dict[str, str],
) -> None:
    stack = Stack()
    visitor = Visitor(stack)

    answers = [visitor.confirm(RUN, **headers), visitor.confirm(PAUSE, **headers)]

    assert {answer.status_code for answer in answers} == {403}
    assert all(answer.text.startswith("rejected: ") for answer in answers)
    assert (stack.states.started, stack.changes) == ([], [])


@pytest.mark.fault(38)
@pytest.mark.parametrize(
    "headers",
    [
        {"Host": f"rebound.example:{PORT}", "Origin": f"http://rebound.example:{PORT}"},
        {"Origin": "https://evil.example"},
    ],
    ids=str,
)
def test_a_request_from_another_origin_or_host_gets_no_page(headers: dict[str, str]) -> None:
    visitor = Visitor(Stack())

    assert visitor.get(**headers).status_code == 403
    assert visitor.get().status_code == 200


@pytest.mark.fault(38)
def test_without_the_printed_key_or_with_a_wrong_key_nothing_is_shown() -> None:
    visitor = Visitor(Stack())
    rules = [rule for rule in visitor.console.app.server.url_map.iter_rules() if rule.rule not in guard().CODE]
    paths = [rule.rule for rule in rules if "GET" in (rule.methods or ())]
    assert {"/_dash-layout", "/_dash-dependencies"} <= set(paths)

    for key in ("", "wrong"):
        asked = [visitor.get(path, X_Fanout_Key=key) for path in [*paths, f"/_dash-layout?key={visitor.key}"]]
        assert {answer.status_code for answer in asked} == {403}
    assert visitor.get("/_dash-layout").status_code == 200


@pytest.mark.fault(65)
def test_the_page_s_code_has_no_key_and_no_cookie_is_set() -> None:
    visitor = Visitor(Stack())

    answers = [visitor.get(path) for path in ("/", "/provider/acme", "/assets/console.js", "/_dash-layout")]

    assert {answer.status_code for answer in answers} == {200}
    assert [answer.headers.getlist("Set-Cookie") for answer in answers] == [[]] * 4
    assert [visitor.key in answer.text or visitor.key in str(answer.headers) for answer in answers] == [False] * 4


@pytest.mark.fault(65)
def test_only_the_page_s_code_is_sent_to_a_browser_that_has_no_key_yet() -> None:
    client = Visitor(Stack())._client

    assert [client.get(path, base_url=OWN).status_code for path in ("/", "/run/r-1", "/assets/console.js")] == [200] * 3
    assert client.get("/_dash-layout", base_url=OWN).status_code == 403
    assert client.post("/anything", base_url=OWN).status_code == 403


@pytest.mark.fault(65)
@pytest.mark.parametrize(("path", "key", "status"), [("/", "", 200), ("/_dash-layout", "wrong", 403)])
def test_every_answer_keeps_to_its_own_origin_and_type(path: str, key: str, status: int) -> None:
    answer = Visitor(Stack()).get(path, X_Fanout_Key=key)

    assert answer.status_code == status
    assert {
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
    }.items() <= dict(answer.headers).items()


def test_the_browser_runs_no_other_script_and_sends_no_request_elsewhere() -> None:
    policy = Visitor(Stack()).get().headers["Content-Security-Policy"]

    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    scripts = re.findall(r"script-src ([^;]+)", policy)[0].split()
    assert scripts[0] == "'self'"
    assert all(source.startswith("'sha256-") for source in scripts[1:])


@pytest.mark.fault(38)
@pytest.mark.parametrize(
    ("stack", "read_only"),
    [(Stack(), True), (Stack(States("AccessDeniedException")), False)],
    ids=["--read-only", "credentials that may not start executions"],
)
def test_a_read_only_console_changes_nothing(stack: Stack, read_only: bool) -> None:
    visitor = Visitor(stack, read_only=read_only)

    answers = [visitor.confirm(RUN), visitor.confirm(PAUSE)]

    assert visitor.console.read_only
    assert all("this console is read-only" in answer.text for answer in answers)
    assert (stack.states.started, stack.changes) == ([], [])


@pytest.mark.fault(38)
@pytest.mark.parametrize(
    "order",
    [
        {**RUN, "of": "unknown"},
        {**RUN, "of": HOSTILE},
        {**RUN, "of": "../acme"},
        {**RUN, "do": "destroy"},
        {**RUN, "do": "replay", "start": "not a time"},
        {**RUN, "do": "replay", "start": "99999999999d"},
        {**RUN, "do": "replay", "start": "0001-01-01T00:00:00+01:00"},
        {**PAUSE, "of": "a/b"},
    ],
    ids=lambda order: ascii(sorted(order.values())),
)
def test_an_invalid_order_is_reported_and_changes_nothing(order: dict[str, str]) -> None:
    stack = Stack()

    answer = Visitor(stack).confirm(order)

    assert answer.status_code == 200
    assert "Nothing was changed" in answer.text
    assert (stack.states.started, stack.changes) == ([], [])


@pytest.mark.fault(38)
@pytest.mark.parametrize(
    ("error", "message"),
    [
        (NoCredentialsError(), "no AWS credentials found"),
        (EndpointConnectionError(endpoint_url="https://x"), "cannot connect"),
        (ClientError({"Error": {"Code": "ExpiredToken", "Message": ""}}, "GetItem"), "sign in again"),
        (ClientError({"Error": {"Code": "InternalError", "Message": HOSTILE}}, "GetItem"), "InternalError"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_missing_credentials_and_unavailable_services_are_reported(error: Exception, message: str) -> None:
    stack = Stack(down=error)
    visitor = Visitor(stack)

    visitor.console.watch.look()
    answer = visitor.confirm(RUN)

    assert message in str(visitor.console.watch.problem)
    assert "\x1b" not in str(visitor.console.watch.problem)
    assert "Nothing was changed" in answer.text
    assert stack.changes == []


def test_a_name_group_or_error_with_control_characters_is_escaped_in_its_row() -> None:
    health = Health(HOSTILE, Condition.INVALID, Decision.INVALID, group=HOSTILE, why=HOSTILE)

    made = watch().row(health, None)

    assert made["provider"] == made["group"] == made["why"]
    assert made["why"].isprintable()
    assert "<script>" in made["why"], "React escapes text"
    assert "href" not in made


def test_the_overview_shows_the_object_of_an_error_without_its_path() -> None:
    uri = "s3://bucket/change_log/provider=a/2026/11/x.gz"
    failure = Failure(type="RecordError", message="not JSON", object=uri, line=2)

    health = Health("a", Condition.FAILING, Decision.DUE, failure=failure)

    assert watch().row(health, None)["why"] == "RecordError: x.gz, line 2: not JSON"


def health(name: str, condition: Condition, due: datetime | None = None) -> Health:
    return Health(name, condition, Decision.DUE, next_due=due)


def test_the_worst_condition_is_first_and_then_the_provider_that_waits_longest() -> None:
    now = datetime(2026, 11, 25, tzinfo=UTC)
    found = [
        health("idle", Condition.IDLE, now - timedelta(days=9)),
        health("late", Condition.LATE, now - timedelta(hours=1)),
        health("later", Condition.LATE, now - timedelta(hours=2)),
        health("stuck", Condition.STUCK),
    ]

    assert sorted((watch().row(s, None) for s in found), key=lambda r: r["order"]) == [
        watch().row(found[n], None) for n in (3, 2, 1, 0)
    ]


@pytest.mark.fault(67)
def test_before_the_first_look_the_filters_have_no_numbers() -> None:
    overview = importlib.import_module("cli.console.overview")

    unseen = watch().Watch(Operator(Where(None)))
    assert overview.counts(unseen) == [condition.value for condition in Condition]
    assert overview.last_ticks(unseen, datetime(2026, 11, 30, tzinfo=UTC)) is None


def rows(**named: int) -> dict[str, dict[str, Any]]:
    return {name: {"id": name, "failures": count, "dollars": None} for name, count in named.items()}


def test_a_page_gets_all_rows_once_and_then_only_changes() -> None:
    kept = watch().Rows()
    kept.put(rows(a=1, b=1))
    version, everything, _ = kept.since(None)
    kept.put(rows(a=2, b=1, c=1))

    newest, again, changes = kept.since(version)

    assert (everything, again) == (list(rows(a=1, b=1).values()), None)
    assert changes == {"add": [rows(c=1)["c"]], "update": [rows(a=2)["a"]]}
    assert kept.since(newest) == (newest, None, None)


def test_after_a_provider_was_removed_a_page_gets_all_rows() -> None:
    kept = watch().Rows()
    kept.put(rows(a=1, b=1))
    version, *_ = kept.since(None)
    kept.put(rows(a=1))
    newest, everything, changes = kept.since(version)
    kept.put(rows(a=1, b=1))

    assert (everything, changes) == (list(rows(a=1).values()), None)
    assert kept.since(newest)[1:] == (None, {"add": [rows(b=1)["b"]], "update": []})


def test_a_page_of_an_older_console_gets_all_rows() -> None:
    kept = watch().Rows()
    kept.put(rows(a=1))

    assert kept.since(12345)[1] == list(rows(a=1).values())


def test_the_cost_of_a_provider_is_measured_again_only_after_another_change() -> None:
    kept = watch().Rows()

    assert kept.put(rows(a=1)) == {"a"}
    assert kept.put({"a": {**rows(a=1)["a"], "dollars": 0.5}}) == set()
    assert kept.put({"a": {**rows(a=2)["a"], "dollars": 0.5}}) == {"a"}
