"""Whatever objects a provider's prefix has, each one is processed, ignored with a reason, or named as bad.

Claim, job and end of a run are the real ones; S3, ledger, config API and queue are in memory.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from botocore.exceptions import ClientError
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pyarrow import orc, parquet

from contract.document import read
from contract.failure import Failure
from contract.result import JobResult
from fanout.endings import Ending, read_result
from fanout.runs import RunRecord
from fanout_job import lambda_run
from fanout_job.delivery import Delivery
from fanout_job.messages import Message
from fanout_job.run import Run, do
from fanout_job.settings import Settings
from tests.harness.fakes import etag
from tests.harness.world import BUCKET, World
from tests.unit.job.records import line, stream

MAX_KEY_BYTES = 1024
"""Source: "Naming Amazon S3 objects", Amazon S3 user guide."""
PROVIDER, OTHER = "acme", "other"


# ---- objects


def record(identity: str, **changed: Any) -> dict[str, Any]:
    return {**stream(**changed), "eventID": identity}


def columns(write: Any) -> bytes:
    file = io.BytesIO()
    write(pa.table({"a": list(range(50))}), file)
    return file.getvalue()


def zipped(text: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.json", text)
    return file.getvalue()


def members(text: bytes) -> bytes:
    return b"".join(gzip.compress(part + b"\n", mtime=0) for part in text.split(b"\n"))


READ = {
    "plain": lambda text: text,
    "gzip": lambda text: gzip.compress(text, mtime=0),
    "gzip members": members,
    "gzip, padded": lambda text: gzip.compress(text, mtime=0) + b"\0" * 700,
    "CRLF": lambda text: text.replace(b"\n", b"\r\n"),
    "byte order mark": lambda text: b"\xef\xbb\xbf" + text,
    "blank lines": lambda text: b"\n \n" + text + b"\n\t\n",
    "empty": lambda text: b"",
    "empty gzip": lambda text: gzip.compress(b"", mtime=0),
}
"""Formats that the job reads."""
FOREIGN = {
    "gzip within gzip": lambda text: gzip.compress(gzip.compress(text)),
    "zip": zipped,
    "bzip2": bz2.compress,
    "Snappy": lambda text: pa.compress(text, "snappy", asbytes=True),
    "zstd": lambda text: pa.compress(text, "zstd", asbytes=True),
    "Parquet": lambda text: columns(parquet.write_table),
    "ORC": lambda text: columns(orc.write_table),
    "Avro": lambda text: b"Obj\x01\x04\x16avro.schema" + b"\0" * 40,
    "UTF-16": lambda text: text.decode().encode("utf-16"),
    "UTF-32": lambda text: text.decode().encode("utf-32-le"),
    "pretty-printed": lambda text: json.dumps(record("x"), indent=2).encode(),
    "concatenated": lambda text: text.replace(b"\n", b"") + line(record("x")) * 2,
    "array": lambda text: b"[" + text.replace(b"\n", b",\n") + b"]",
    "carriage returns": lambda text: line(record("x")) + b"\r" + text.replace(b"\n", b"\r"),
    "CSV": lambda text: b"pk,sk\na,1\n",
    "HTML": lambda text: b"<html>Service Unavailable</html>",
    "JSON of another kind": lambda text: b'{"a": 1}\n[]\n7',
    "a full export": lambda text: b'{"Item": {"pk": {"S": "a"}}}',
    "bytes": lambda text: bytes(range(256)) * 3,
}
"""Formats that it does not read. An object in one of them is named, unless it is ignored for its name."""

ACCESS = {
    "archived": ("InvalidObjectState", 403, ""),
    "denied": ("AccessDenied", 403, "Access Denied"),
    "no right to the key": ("AccessDenied", 403, "not authorized to perform: kms:Decrypt"),
    "a deleted key": ("KMS.NotFoundException", 400, ""),
    "a disabled key": ("KMS.DisabledException", 400, ""),
    "SSE-C": ("InvalidRequest", 400, "stored using a form of Server Side Encryption"),
    "all access disabled": ("AllAccessDisabled", 403, ""),
}
"""S3's refusals: code, status, message."""

plain_names = st.from_regex(r"(2026/11/(22|23)/)?[a-m]{1,6}(\.json|\.json\.gz|\.gz|)", fullmatch=True)
"""Names of data. Wrong extensions are among them: the first bytes of an object identify its format, not its name."""
HOSTILE_PARTS = (
    *("_SUCCESS", "_temporary", ".x", "_day=1", "a.tmp", "~a", "a.filepart", "a.part", "a.md5", "Thumbs.db", "..", "."),
    *("manifest-files.json", "manifest-summary.md5", "_started", "a_$folder$", "a+b%2Fc d", "a?b#c", "\u202egz.nosj"),
    *("a.parquet", "A.CSV.GZ", "𝒶😀", "é" * 20, "n" * 900, "provider=other", "", "'\"<b>\\", "\x1b[2J\r\n"),
)
hostile_parts = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8),
    st.sampled_from(HOSTILE_PARTS),
)
hostile_names = st.tuples(
    st.lists(hostile_parts, min_size=1, max_size=4), st.sampled_from(["", "/", ".json", ".gz"])
).map(lambda made: "/".join(made[0]) + made[1])
damages = st.one_of(
    st.tuples(st.just("cut"), st.floats(0, 1)),
    st.tuples(st.just("flip"), st.floats(0, 1)),
    st.tuples(st.just("checksum"), st.just(0.0)),
    st.tuples(st.just("tail"), st.just(0.0)),
)


def damaged(body: bytes, kind: str, place: float) -> bytes:
    at = int(place * len(body))
    match kind:
        case "cut":
            return body[:at]
        case "flip":
            return body[:at] + bytes(byte ^ 0x10 for byte in body[at : at + 1]) + body[at + 1 :]
        case "checksum":
            return body[:-8] + bytes(byte ^ 0xFF for byte in body[-8:-4]) + body[-4:]
        case _:
            return body + b"garbage"


@dataclass(frozen=True)
class Object:
    """One generated object."""

    name: str
    is_data: bool
    body: bytes
    format: str
    is_damaged: bool
    refused: str | None

    @property
    def is_good(self) -> bool:
        is_named_right = not self.body or not self.name.endswith(".gz") or self.body.startswith(b"\x1f\x8b")
        return self.format in READ and not self.is_damaged and self.refused is None and is_named_right

    @property
    def lines(self) -> list[bytes] | None:
        """Its lines by Python's own gzip, without blank ones; None if they cannot be read."""
        body = self.body
        try:
            text = gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body
        except (OSError, EOFError, zlib.error):
            return None
        return [one for one in text.removeprefix(b"\xef\xbb\xbf").split(b"\n") if one.strip()]


@st.composite
def objects(draw: st.DrawFn) -> Object:
    is_data = draw(st.booleans())
    name = draw(plain_names if is_data else hostile_names)
    made = [line(record(f"{name}-{n}", SizeBytes=n)) for n in range(draw(st.integers(1, 4)))]
    what = draw(st.sampled_from([*READ, *READ, *FOREIGN]))
    bad = draw(st.sampled_from([*[None] * 9, b"{", b"null", b"\xff", b'{"dynamodb": {}}'])) if what in READ else None
    if bad:
        made.insert(draw(st.integers(0, len(made))), bad)
    body = {**READ, **FOREIGN}[what](b"\n".join(made))
    damage = draw(st.none() | damages) if what in READ else None
    refused = draw(st.sampled_from([*ACCESS, *[None] * 20]))
    is_damaged = bool(damage or bad)
    return Object(name, is_data, damaged(body, *damage) if damage else body, what, is_damaged, refused)


def key_of(name: str) -> str:
    return f"log/provider={PROVIDER}/{name}"


def fits(made: list[Object]) -> bool:
    return all(len(key_of(one.name).encode()) <= MAX_KEY_BYTES for one in made)


prefixes = st.lists(objects(), min_size=1, max_size=8, unique_by=lambda one: one.name).filter(fits)


# ---- a run


@dataclass
class S3:
    """The calls of a job, on the objects of a world."""

    world: World
    refused: dict[str, tuple[str, int, str]] = field(default_factory=dict)

    def get_object(self, Bucket: str, Key: str, IfMatch: str = "", Range: str = "") -> Any:  # noqa: N803 - boto3's names
        if Key in self.refused:
            raise error(*self.refused[Key])
        body = self.world.objects.stored[f"s3://{Bucket}/{Key}"][0]
        assert IfMatch in ("", etag(body))
        return {"Body": io.BytesIO(body[int(Range.removeprefix("bytes=").removesuffix("-") or 0) :])}

    def put_object(self, Bucket: str, Key: str, Body: bytes, **_: str) -> None:  # noqa: N803
        if len(Key.encode()) > MAX_KEY_BYTES:
            raise error("KeyTooLongError", 400, "Your key is too long")
        self.world.objects.stored[f"s3://{Bucket}/{Key}"] = (Body, self.world.clock())

    def copy_object(self, Bucket: str, Key: str, CopySource: dict[str, str], **_: str) -> None:  # noqa: N803
        body = self.world.objects.stored[f"s3://{CopySource['Bucket']}/{CopySource['Key']}"][0]
        self.put_object(Bucket, Key, body)


def error(code: str, status: int, message: str) -> ClientError:
    answer: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "GetObject")


@dataclass
class Ran:
    """A run from claim to end."""

    result: JobResult
    record: RunRecord
    keys: list[str]
    """Keys of the manifest, in its order."""
    sent: list[Message]
    ignored: int


def ran(world: World, s3: S3, provider: str, patch: pytest.MonkeyPatch, **settings: str) -> Ran:
    """Claim the provider, run the change-log job in this process, and end the run by its result."""
    sent: list[Message] = []

    def send(task: Delivery, messages: Iterable[Message]) -> None:
        for message in messages:
            sent.append(message)
            task.acknowledged([message])

    claim = world.claim(provider, f"run-of-{provider}")
    keys = [f"log/provider={provider}/{key}" for key in world.planned(claim)]
    if claim.decision == "lambda":
        for place in ("run", "task"):
            patch.setattr(f"fanout_job.{place}.s3_client", lambda: s3)
        patch.setattr("fanout_job.run.start_logging", lambda settings: None)
        patch.setattr(Delivery, "send", send)
        given = {"provider": provider, "run_id": claim.run_id, "manifest": claim.manifest, "run_dir": claim.run_dir}
        queue = "https://sqs.eu-west-1.amazonaws.com/1/q" + (".fifo" if settings.get("message_order") == "key" else "")
        run = Run(Settings(**given, env="test", data_bucket=BUCKET, queue_url=queue, **settings), "lambda")
        try:
            do(lambda this: lambda_run.send_changes(this, lambda change: change.data, None), run)
        except Exception as raised:  # noqa: BLE001 - the state machine would catch any error
            caught = {"Error": type(raised).__name__, "Cause": str(raised)}
            world.endings.fail(Ending(outcome="failed", provider=provider, run_id=claim.run_id, result=caught))
        else:
            world.succeed(claim)
    result = read_result(world.objects, claim.run_dir)
    stored = RunRecord.model_validate_json(world.objects.stored[f"{claim.run_dir}record.json"][0])
    assert result is not None
    return Ran(result, stored, keys, sent, stored.ignored)


def world_of(made: list[Object]) -> tuple[World, S3]:
    world = World()
    for name in (PROVIDER, OTHER):
        world.provider(name)
    for one in made:
        world.objects.add(f"s3://changes/{key_of(one.name)}", one.body, world.clock())
    world.objects.add(f"s3://changes/log/provider={OTHER}/1.json", line(record("of-the-other")), world.clock())
    return world, S3(world, {key_of(one.name): ACCESS[one.refused] for one in made if one.refused})


def notes(world: World) -> list[tuple[Failure, bool]]:
    """The notes in the quarantine, and whether each is about a whole object."""
    found = {uri: body for uri, (body, _) in world.objects.stored.items() if "/quarantine/" in uri}
    return [
        (read(Failure, json.loads(body)["failure"]), ".line-" not in uri.rpartition("/")[2])
        for uri, body in found.items()
        if uri.endswith(".note.json")
    ]


def uri_of(key: str) -> str:
    return f"s3://changes/{key}"


KINDS = {"CorruptObjectError", "UnreadableObjectError", "RecordError", "LineTooLongError"}


@pytest.mark.guarantee("G6")
@pytest.mark.fault(41, 42, 43, 47)
@settings(max_examples=100)
@given(made=prefixes)
@example([Object("n" * 900 + ".json", True, b"bad", "plain", True, None)])
@example([Object("n" * 900, True, zipped(b"bad"), "zip", False, None)])
def test_whatever_a_prefix_has_every_object_is_processed_ignored_or_named(made: list[Object]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        made = [*made, Object("sure.json", True, line(record("sure-0")), "plain", False, None)]
        by_key = {key_of(one.name): one for one in made}
        failing, s3 = world_of(made)
        failed = ran(failing, s3, PROVIDER, patch)
        beside = ran(failing, s3, OTHER, patch)
        quarantining, s3 = world_of(made)
        passed = ran(quarantining, s3, PROVIDER, patch, on_bad_record="quarantine", message_order="key")
        ignored = quarantining.audit(PROVIDER).ignored

    # The counts add up to the listing, and what is ignored has a reason.
    assert len(made) == passed.ignored + passed.result.objects
    assert failed.keys == passed.keys
    assert {one.stored.key for one in ignored} == set(by_key) - set(passed.keys)
    assert all(one.reason for one in ignored)
    assert all(key in passed.keys for key, one in by_key.items() if one.is_data)

    # With OnBadRecord=fail, every bad object is named, once.
    named = {one.object for one in failed.record.failures}
    assert {one.type for one in failed.record.failures} <= KINDS
    assert failed.record.failure_count == len(failed.record.failures) == len(named)
    assert failed.record.status == ("failed" if named else "succeeded")
    assert failing.state(PROVIDER).bookmark.generation == (0 if named else 1)

    # With OnBadRecord=quarantine, the same objects are named, and each line of the others is sent.
    found = notes(quarantining)
    assert {failure.object for failure, _ in found} == named
    assert passed.record.status == "succeeded"
    assert passed.record.quarantined == len(found)
    whole = {failure.object for failure, is_whole in found if is_whole}
    lines = Counter(failure.object for failure, is_whole in found if not is_whole)
    sent = Counter(passed.keys[message.position[2]] for message in passed.sent)
    for key in passed.keys:
        one, uri = by_key[key], uri_of(key)
        if one.refused or one.lines is None:
            assert uri in whole
        elif uri not in whole:
            assert sent[key] + lines[uri] == len(one.lines)
        if one.format in FOREIGN:
            assert uri in named
        if one.is_good:
            assert uri not in named

    # Other providers are unaffected.
    assert (beside.record.status, [message.id for message in beside.sent]) == ("succeeded", ["of-the-other"])
