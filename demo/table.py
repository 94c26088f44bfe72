"""`make run TABLE=yes`: verifies that each change of a table becomes one message, in order and with its values.

1. Create a table with a stream, then deploy the stack with SourceStreamArn, as on AWS.
2. Insert, modify and delete items, let some expire, and tick; twice.
3. Compare the messages in the FIFO queue, key by key, with the changes of the table.
"""

from __future__ import annotations

import base64
import json
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demo import STACK_NAME, DemoError
from demo.run import FREQUENCY_MINUTES, register, write_report
from demo.sample_data import attributes, provider_names
from demo.verify import drain

if TYPE_CHECKING:
    from laptop_cloud.cloud import LaptopCloud

TABLE = "things"
PROVIDER_ATTRIBUTE = "pk ^ORG#([^#]+)#"
ROUNDS = 2
RUNS_TIMEOUT = 600.0
SHOWN_FAULTS = 12

Typed = dict[str, Any]
"""An item in DynamoDB's types."""


@dataclass
class Change:
    """A change of an item: its type in a message, and the item before and after."""

    kind: str
    old: Typed | None
    new: Typed | None


@dataclass
class Writer:
    """Changes items of a table at random, and records the changes.

    Attributes
    ----------
    expected
        (provider, key) -> its changes in order.
    """

    table: Any
    providers: list[str]
    chance: random.Random
    items: dict[tuple[str, str], Typed] = field(default_factory=dict)
    expected: dict[tuple[str, str], list[Change]] = field(default_factory=lambda: defaultdict(list))
    made: int = 0

    def write(self, changes: int) -> None:
        """Make at least `changes` changes, of which about one in forty is a deletion by time to live."""
        end = self.made + changes
        while self.made < end:
            kind = self.chance.choices(["insert", "modify", "remove", "expire"], [45, 40, 12, 3])[0]
            if kind == "insert" or not self.items:
                self._insert({})
            elif kind == "expire":
                self._insert({"expires": {"N": str(int(time.time()) - 60)}})
            else:
                key = self.chance.choice(list(self.items))
                (self._modify if kind == "modify" else self._remove)(key)

    def _insert(self, more: Typed) -> None:
        provider = self.chance.choice(self.providers)
        keys = {"pk": {"S": f"ORG#{provider}#{self.made:06d}"}, "sk": {"N": str(self.chance.randrange(100))}}
        item = {**keys, **attributes(self.chance), **more, "version": {"N": "1"}}
        key = provider, keys["pk"]["S"]
        self.table.put_item(TableName=TABLE, Item=_binary(item))
        self._expect(key, Change("dynamodb.insert", None, item))
        if more:
            self._expect(key, Change("dynamodb.remove", item, None))  # made by DynamoDB
        else:
            self.items[key] = item

    def _modify(self, key: tuple[str, str]) -> None:
        old = self.items[key]
        version = {"N": str(int(old["version"]["N"]) + 1)}
        if self.chance.random() < 0.5:
            new = {name: old[name] for name in ("pk", "sk")} | attributes(self.chance) | {"version": version}
            self.table.put_item(TableName=TABLE, Item=_binary(new))
        else:
            new = {**old, "version": version}
            self.table.update_item(
                TableName=TABLE,
                Key={name: old[name] for name in ("pk", "sk")},
                UpdateExpression="SET version = :version",
                ExpressionAttributeValues={":version": version},
            )
        self._expect(key, Change("dynamodb.modify", old, new))
        self.items[key] = new

    def _remove(self, key: tuple[str, str]) -> None:
        old = self.items.pop(key)
        self.table.delete_item(TableName=TABLE, Key={name: old[name] for name in ("pk", "sk")})
        self._expect(key, Change("dynamodb.remove", old, None))

    def _expect(self, key: tuple[str, str], change: Change) -> None:
        self.expected[key].append(change)
        self.made += 1


def make_table(cloud: LaptopCloud) -> str:
    """Create a table with a stream and a time to live; returns the stream's ARN."""
    table = cloud.client("dynamodb")
    made = table.create_table(
        TableName=TABLE,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        AttributeDefinitions=[
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "sk", "AttributeType": "N"},
        ],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )
    table.update_time_to_live(TableName=TABLE, TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires"})
    return str(made["TableDescription"]["LatestStreamArn"])


def deploy_with_table(cloud: LaptopCloud) -> dict[str, str]:
    """Create the table, and update the stack to write its change log; returns the stack's parameters for that."""
    source = {"SourceStreamArn": make_table(cloud), "ProviderAttribute": PROVIDER_ATTRIBUTE}
    cloud.update(parameters=source)
    return source


def run(
    providers: int, changes: int, seed: int, template: Path, workdir: Path, say: Callable[[str], None]
) -> dict[str, Any]:
    """Run the demonstration; returns the report, which is also written to report.json."""
    from laptop_cloud.cloud import LaptopCloud

    if providers < 1 or changes < ROUNDS:
        raise DemoError(f"PROVIDERS={providers} ROWS={changes}: set at least one provider and {ROUNDS} rows.")
    started = time.monotonic()
    names = provider_names(providers)
    with LaptopCloud(template, {"MessageOrder": "key"}, workdir, STACK_NAME) as cloud:
        deploy_with_table(cloud)
        say(f"the stack writes the change log from the stream of the table {TABLE}")
        register(cloud, names)
        writer, received = Writer(cloud.client("dynamodb"), names, random.Random(seed)), list[dict[str, Any]]()
        now = datetime.now(UTC)
        for number in range(ROUNDS):
            writer.write(changes // ROUNDS)
            say(f"{writer.made} changes to {len(writer.expected)} items were written")
            ticked = cloud.tick(now + timedelta(minutes=number * FREQUENCY_MINUTES))
            say(f"tick {number + 1}: {ticked['due']} due, {ticked['started']} started")
            cloud.wait(RUNS_TIMEOUT)
            received += drain(cloud.client("sqs"), cloud.outputs["ChangesQueueUrl"], {}, consumers=1, decode=exact)
            say(f"{len(received)} messages received")
        faults = compare(writer.expected, received)
        bucket, _, prefix = cloud.outputs["ChangeLogDir"].removeprefix("s3://").partition("/")
        objects = len(cloud.objects(bucket, prefix + "/"))
    report = {
        "ok": not faults,
        "faults": faults,
        "totals": {
            "providers": len(names),
            "items": len(writer.expected),
            "changes": writer.made,
            "kinds": dict(Counter(change.kind for all_ in writer.expected.values() for change in all_)),
            "objects": objects,
            "messages": len(received),
        },
    }
    return write_report(report, workdir, started)


def summary(report: dict[str, Any], say: Callable[[str], None]) -> None:
    """Summarize a report in a few lines."""
    totals = report["totals"]
    say(", ".join(f"{count} {kind.removeprefix('dynamodb.')}" for kind, count in sorted(totals["kinds"].items())))
    say(", ".join(f"{totals[name]} {name}" for name in ("providers", "items", "changes", "objects", "messages")))
    for fault in report["faults"][:SHOWN_FAULTS]:
        say(f"FAULT {fault}")
    say(f"ok: {str(report['ok']).lower()}, {report['seconds']} s")


def exact(body: str) -> Any:
    """Parse JSON with all digits of its numbers."""
    return json.loads(body, parse_float=Decimal, parse_int=Decimal)


def compare(expected: dict[tuple[str, str], list[Change]], received: list[dict[str, Any]]) -> list[str]:
    """Return the faults: messages that are missing, repeated, out of order, for another key, or with wrong values."""
    by_key: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for body in received:
        by_key[str(body["provider"]), str(body["data"]["keys"]["pk"])].append(body)
    ids = Counter(str(body["id"]) for body in received)
    faults = [f"{id_} was received {count} times" for id_, count in ids.items() if count > 1]
    faults += [f"{key}: messages for an item that was not changed" for key in by_key if key not in expected]
    for key, changes in expected.items():
        got = [(body["type"], body["data"].get("old"), body["data"].get("new")) for body in by_key.get(key, [])]
        wanted = [(change.kind, change.old, change.new) for change in changes]
        if [kind for kind, _, _ in got] != [kind for kind, _, _ in wanted]:
            faults.append(f"{key}: {len(got)} messages for {len(wanted)} changes: {[kind for kind, _, _ in got]}")
        elif any(
            plain(typed) != _sorted_sets(typed, value)
            for one, other in zip(wanted, got, strict=True)
            for typed, value in zip(one[1:], other[1:], strict=True)
        ):
            faults.append(f"{key}: values that differ from the table's")
    return faults


def plain(item: Typed | None) -> dict[str, Any] | None:
    """Convert an item to plain values, sets to sorted lists, without using the job's code."""
    return None if item is None else {name: _plain(typed) for name, typed in item.items()}


def _plain(typed: Typed) -> Any:
    ((kind, value),) = typed.items()
    if kind == "N":
        return Decimal(value)
    if kind == "NULL":
        return None
    if kind == "M":
        return plain(value)
    if kind == "L":
        return [_plain(element) for element in value]
    if kind == "NS":
        return sorted(Decimal(element) for element in value)
    return sorted(value) if kind in ("SS", "BS") else value


def _sorted_sets(item: Typed | None, value: Any) -> Any:
    """Sort those lists of a message's item that are sets in the table, because sets have no order."""
    if not isinstance(value, dict) or item is None:
        return value
    sets = {name for name, typed in item.items() if next(iter(typed)) in ("SS", "NS", "BS")}
    return {name: sorted(one) if name in sets and isinstance(one, list) else one for name, one in value.items()}


def _binary(item: Typed) -> Typed:
    """Replace base64 strings by the bytes that boto3 expects."""
    decoded = dict(item)
    for name, typed in item.items():
        if "B" in typed:
            decoded[name] = {"B": base64.b64decode(typed["B"])}
        if "BS" in typed:
            decoded[name] = {"BS": [base64.b64decode(one) for one in typed["BS"]]}
    return decoded
