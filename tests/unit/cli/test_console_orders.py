"""The console's orders: the chosen range of a replay, Cancel, dead letters; and what a page shows after a change."""

from __future__ import annotations

import importlib
import json
import re
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from cli.bulk import Outcome
from cli.command import Operator
from cli.console import dead_letters
from cli.console.actions import Order, question
from cli.deployment import Where
from cli.errors import UsageError
from cli.overview import Overview
from cli.quarantine import Quarantine
from fanout.health import Condition, Decision, Health
from fanout.pending import Pending
from fanout.settings import ClaimSettings
from tests.harness.fakes import MemoryObjects
from tests.harness.faults import Clock, Faults
from tests.unit.cli.test_console import RUN, Stack, Visitor, watch

DAY = datetime(2026, 11, 20, tzinfo=UTC)
REPLAY = {"do": "replay", "of": "acme", "start": "2026-11-20T00:00:00Z", "end": "2026-11-21T06:00:00Z"}


def with_objects() -> Stack:
    """A stack with an object before, two in, and two after the range of `REPLAY`."""
    objects = MemoryObjects(Faults(Clock()))
    for number, hours in enumerate((-1, 0, 30, 31, 60)):
        objects.add(f"s3://data/log/provider=acme/{number}.gz", b"x" * 100, DAY + timedelta(hours=hours))
    stack = Stack(objects=objects)
    settings = ClaimSettings.model_construct(change_log_dir="s3://data/log", max_bytes_per_run=10**9)
    stack.planning = settings  # type: ignore[attr-defined]
    return stack


def test_a_replay_sends_the_objects_from_the_chosen_start_to_the_chosen_end() -> None:
    stack = with_objects()

    assert Visitor(stack).confirm(REPLAY).status_code == 200

    wanted = {"from": "2026-11-20T00:00:00Z", "to": "2026-11-21T06:00:00Z"}
    assert stack.states.started == [{"provider": "acme", "replay": wanted}]


def test_the_question_before_a_replay_has_its_objects_and_range() -> None:
    asked = question(with_objects(), Order(**REPLAY))  # type: ignore[arg-type]

    assert asked.startswith("2 objects (200 bytes) of acme, modified from 2026-11-20 00:00")
    assert "to 2026-11-21 06:00" in asked
    assert "are sent again to ChangesQueueUrl" in asked


@pytest.mark.parametrize(
    ("end", "objects"), [("2026-11-20T00:00:00Z", 1), ("", 4)], ids=["only its start", "no end is now"]
)
def test_a_replay_may_end_at_its_start_or_have_no_end(end: str, objects: int) -> None:
    asked = question(with_objects(), Order(**{**REPLAY, "end": end}))  # type: ignore[arg-type]

    assert asked.startswith(f"{objects} object")


@pytest.mark.parametrize(
    ("pending", "said"),
    [(Pending(1, 2, 200, DAY), "2 objects (200 bytes)"), (Pending(1, 0, 0, None), "none")],
    ids=["some", "none"],
)
def test_the_question_before_a_run_has_the_pending_objects(pending: Pending, said: str) -> None:
    stack = Stack()
    stack.pending = SimpleNamespace(of={"acme": pending}.__getitem__)  # type: ignore[attr-defined]

    assert question(stack, Order("run", "acme")) == (  # type: ignore[arg-type]
        f"A run of acme starts now, whether it is due or not. Pending objects: {said}. The run sends one message for "
        "each changed row to ChangesQueueUrl, and then moves the bookmark."
    )


def test_a_range_that_ends_before_it_starts_is_refused() -> None:
    stack = with_objects()

    answer = Visitor(stack).confirm({**REPLAY, "end": "2026-11-19T23:59:59Z"})

    assert "Nothing was changed" in answer.text
    assert "the start of the replay must not be later than its end" in answer.text
    assert stack.states.started == []


@pytest.mark.parametrize(("button", "started"), [("yes", [{"provider": "acme"}]), ("no", [])])
def test_only_confirm_carries_an_order_out_and_cancel_does_not(button: str, started: list[Any]) -> None:
    stack = Stack()

    answer = Visitor(stack).confirm(RUN, button)

    assert answer.status_code == 200
    assert stack.states.started == started


class Queues:
    """SQS with the stack's queues and their dead letters."""

    def __init__(self) -> None:
        self.moved: list[str] = []
        self.hidden_for: list[int] = []
        self.redrive = {"changes": "changes-dead", "events": "events-dead"}
        self.waiting = {"changes-dead": 3, "events-dead": 0, "undelivered": 2}

    def get_queue_url(self, QueueName: str) -> dict[str, str]:  # noqa: N803 - boto3's names
        return {"QueueUrl": f"https://sqs/{QueueName}"}

    def get_queue_attributes(self, QueueUrl: str, AttributeNames: list[str]) -> dict[str, Any]:  # noqa: N803
        name = QueueUrl.rpartition("/")[2]
        if name in self.redrive:
            return {"Attributes": {"RedrivePolicy": json.dumps({"deadLetterTargetArn": f"arn:{self.redrive[name]}"})}}
        return {"Attributes": {"ApproximateNumberOfMessages": str(self.waiting[name])}}

    def receive_message(self, QueueUrl: str, VisibilityTimeout: int, **_: Any) -> dict[str, Any]:  # noqa: N803
        self.hidden_for.append(VisibilityTimeout)
        sent = str(int(DAY.timestamp() * 1000))
        attributes = {"SentTimestamp": sent, "ApproximateReceiveCount": "5"}
        return {"Messages": [{"Attributes": attributes, "Body": "body"}]}

    def start_message_move_task(self, SourceArn: str) -> None:  # noqa: N803
        self.moved.append(SourceArn)


@pytest.fixture
def queues() -> Queues:
    return Queues()


@pytest.fixture
def stack(queues: Queues, monkeypatch: pytest.MonkeyPatch) -> Stack:
    schedule = {"Target": {"DeadLetterConfig": {"Arn": "arn:undelivered"}}}
    outputs = {"ChangesQueueUrl": "https://sqs/changes", "ObjectEventsQueueArn": "arn:events", "ScheduleName": "tick"}
    made = Stack()
    clients = {
        "sqs": queues,
        "scheduler": SimpleNamespace(get_schedule=lambda **_: schedule),
        "stepfunctions": made.states,
    }
    monkeypatch.setattr(made, "client", clients.__getitem__)
    monkeypatch.setattr(made, "output", lambda name: outputs.get(name, name))
    return made


def test_all_dead_letter_queues_are_listed_with_their_messages_and_sources(stack: Stack) -> None:
    found = dead_letters.queues(stack)  # type: ignore[arg-type]

    assert [(queue.name, queue.arn, queue.source, queue.messages) for queue in found] == [
        ("changes-dead", "arn:changes-dead", "changes", 3),
        ("events-dead", "arn:events-dead", "events", 0),
        ("undelivered", "arn:undelivered", None, 2),
    ]


def test_reading_letters_hides_none_from_consumers_and_shows_when_each_was_sent(stack: Stack, queues: Queues) -> None:
    queue = dead_letters.queues(stack)[0]  # type: ignore[arg-type]

    assert dead_letters.letters(stack, queue) == [dead_letters.Letter(DAY, 5, "body")]  # type: ignore[arg-type]
    assert queues.hidden_for == [0]


def test_a_redrive_moves_the_messages_of_the_queue_that_was_confirmed(stack: Stack, queues: Queues) -> None:
    asked = question(stack, Order("redrive", "changes-dead"))  # type: ignore[arg-type]
    answer = Visitor(stack).confirm({"do": "redrive", "of": "changes-dead", "start": "", "end": ""})

    assert asked.startswith("About 3 messages move from changes-dead to changes, whose consumer receives them again.")
    assert "The messages of changes-dead are being moved to changes." in answer.text
    assert queues.moved == ["arn:changes-dead"]


@pytest.mark.parametrize("name", ["undelivered", "changes", "another"])
def test_ticks_and_other_queues_cannot_be_redriven(name: str, stack: Stack, queues: Queues) -> None:
    answer = Visitor(stack).confirm({"do": "redrive", "of": name, "start": "", "end": ""})

    assert "Nothing was changed" in answer.text
    assert queues.moved == []
    with pytest.raises(UsageError, match="can be redriven"):
        question(stack, Order("redrive", name))  # type: ignore[arg-type]


def test_no_answer_is_stored_and_no_address_is_sent_elsewhere() -> None:
    visitor = Visitor(Stack())
    page = visitor.get()

    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers.getlist("Set-Cookie") == []


@pytest.mark.parametrize(
    ("ended", "read_again"),
    [(None, True), (timedelta(seconds=30), True), (timedelta(minutes=2), False)],
    ids=["running", "log still arrives", "complete"],
)
def test_a_run_is_read_again_until_its_log_is_complete(
    ended: timedelta | None, read_again: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution = SimpleNamespace(ended_at=None if ended is None else DAY - ended)
    reads: list[str] = []

    def gather(stack: Any, run_id: str, provider: str | None, lines: int) -> Any:
        reads.append(run_id)
        return SimpleNamespace(execution=execution)

    visitor = Visitor(Stack())
    monkeypatch.setattr("cli.console.app.gather", gather)

    for _ in range(2):
        visitor.console._gather("r", "acme", DAY)

    assert len(reads) == (2 if read_again else 1)


def found(at: datetime) -> Overview:
    return Overview(at, 1, {"idle": 1}, 0, ())


def test_after_a_failed_read_the_console_connects_again_and_clears_the_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    connected: list[Stack] = []

    def connect(where: Where) -> Any:
        connected.append(Stack())
        return connected[-1]

    answers: list[Any] = [UsageError("down"), found(DAY)]

    def look(stack: Any) -> Overview:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[no-any-return]

    monkeypatch.setattr("cli.console.watch.look", look)
    monkeypatch.setattr("cli.console.watch.look_into", lambda stack: Quarantine())
    monkeypatch.setattr("cli.console.watch.ticks", lambda *_: [])
    watching = watch().Watch(Operator(Where(None), connect=connect))

    watching.look()
    assert (watching.problem, watching.overview) == ("down", None)
    watching.look()

    assert (watching.problem, watching.overview) == (None, found(DAY))
    assert len(connected) == 2


@pytest.mark.fault(67)
@pytest.mark.parametrize(
    ("age", "shown"), [(timedelta(seconds=29), "1 provider; all healthy"), (timedelta(seconds=31), "31s old. Loading")]
)
def test_old_figures_are_shown_as_old(age: timedelta, shown: str) -> None:
    overview = importlib.import_module("cli.console.overview")
    watching = watch().Watch(Operator(Where(None)))
    watching.overview = found(DAY)

    assert shown in str(overview.live(watching, DAY + age))


def with_providers(**conditions: Condition) -> Stack:
    """A stack with providers in these conditions."""
    stack = Stack(listed={name: {"frequency": 15} for name in conditions})
    pending = {"a": Pending(1, 2, 200, DAY), "b": Pending(1, 3, 300, DAY), "other": Pending(1, 9, 900, DAY)}
    stack.pending = SimpleNamespace(waiting=lambda: pending)  # type: ignore[attr-defined]
    return stack


RUNS = "Each run sends its messages to ChangesQueueUrl, and then moves the bookmark."
ALL_IDLE = dict.fromkeys("abc", Condition.IDLE)


@pytest.mark.parametrize(
    ("do", "asked"),
    [
        ("pause", "3 providers would be paused: a, b, c. No tick starts them. Runs in progress continue."),
        ("resume", "3 providers would be resumed: a, b, c. Each of them starts at the next tick at which it is due."),
        ("run", f"3 providers would be started: a, b, c. They have 5 pending objects. {RUNS}"),
    ],
)
def test_the_question_before_a_change_of_many_counts_them_and_describes_its_effect(do: str, asked: str) -> None:
    stack = with_providers(**ALL_IDLE)

    assert question(stack, Order(do, names=["a", "b", "c"])) == asked  # type: ignore[arg-type]
    assert (stack.changes, stack.states.started) == ([], [])


@pytest.mark.parametrize(("do", "paused", "did"), [("pause", True, "paused"), ("resume", None, "resumed")])
def test_a_confirmed_change_of_many_patches_each_and_shows_a_summary(do: str, paused: Any, did: str) -> None:
    stack = with_providers(**ALL_IDLE)

    answer = Visitor(stack).confirm({"do": do, "of": "", "names": ["a", "c"]})

    assert sorted(stack.changes) == [("PATCH", "a", {"paused": paused}), ("PATCH", "c", {"paused": paused})]
    assert f"2 of 2 providers {did}" in answer.text


def test_a_retry_of_many_starts_only_those_that_are_failing(monkeypatch: pytest.MonkeyPatch) -> None:
    conditions = {"a": Condition.FAILING, "b": Condition.IDLE, "c": Condition.FAILING, "d": Condition.FAILING}
    health = tuple(Health(name, one, Decision.DUE) for name, one in conditions.items())
    monkeypatch.setattr("cli.commands.run.look", lambda stack: Overview(DAY, 4, {}, 0, health))
    started: list[dict[str, str]] = []

    class Starts:
        def __init__(self, op: Operator, inputs: dict[str, str], suffix: str) -> None:
            started.append(inputs)

        def run(self, *, no_wait: bool) -> Outcome:
            assert no_wait, "a page does not wait for the ends of runs"
            return Outcome({"a": "a-run"}, {"c": "c: refused\x1b"}, ())

    monkeypatch.setattr("cli.console.actions.Starting", Starts)
    stack = with_providers(**conditions)

    asked = question(stack, Order("retry", names=["a", "b", "c"]))  # type: ignore[arg-type]
    answer = Visitor(stack).confirm({"do": "retry", "of": "", "names": ["a", "b", "c"]})

    assert asked.startswith("2 providers would be started: a, c. They have 2 pending objects.")
    assert started == [{"a": '{"provider": "a"}', "c": '{"provider": "c"}'}]
    said = answer.json["response"]["outcome"]["children"]["props"]["children"]  # type: ignore[index]
    assert said == "1 of 2 providers started\nfailed: c: refused\\x1b"


@pytest.mark.parametrize(
    ("order", "why"),
    [
        ({"do": "pause", "names": []}, "no provider is selected"),
        ({"do": "pause", "names": ["a", "gone"]}, "1 of 2 providers not found: gone; nothing was changed"),
        ({"do": "replay", "names": ["a"]}, "unknown change replay"),
    ],
    ids=["none", "unknown provider", "unknown change"],
)
def test_an_invalid_change_of_many_is_reported_and_changes_nothing(order: dict[str, Any], why: str) -> None:
    stack = with_providers(**ALL_IDLE)

    answer = Visitor(stack).confirm(order)

    assert "Nothing was changed" in answer.text
    assert why in answer.text
    assert (stack.changes, stack.states.started) == ([], [])
    with pytest.raises(UsageError, match=re.escape(why)):
        question(stack, Order(**order))  # type: ignore[arg-type]


@pytest.mark.fault(38)
def test_a_read_only_console_changes_none_of_many() -> None:
    stack = with_providers(**ALL_IDLE)

    answer = Visitor(stack, read_only=True).confirm({"do": "pause", "names": ["a", "b"]})

    assert "this console is read-only" in answer.text
    assert stack.changes == []
