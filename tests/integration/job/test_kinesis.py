"""A Kinesis data stream as target: requests, answers and limits, and the real job against moto's streams."""

from __future__ import annotations

import base64
import json
import random
import threading
from collections import Counter, defaultdict
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto.kinesis.models import KinesisBackend

from fanout_job.errors import SettingsError
from fanout_job.messages import Message
from fanout_job.sender import batches
from fanout_job.settings import Settings
from fanout_job.targets import StreamTarget, is_passing, target_of
from tests.integration.job.harness import DATA, Harness
from tests.unit.job.records import line, stream

STREAM = "arn:aws:kinesis:us-east-1:123456789012:stream/changes"
THROTTLED = "ProvisionedThroughputExceededException"


def message(id_: str = "m", size: int = 2, group: str = "") -> Message:
    return Message(id_, "x" * size, size, "dynamodb.insert", group)


def target(address: str = STREAM, order: str = "none") -> Any:
    values = {
        "provider": "p",
        "run_id": "r",
        "manifest": "none",
        "run_dir": "s3://b/r/",
        "env": "e",
        "data_bucket": "b",
    }
    return target_of(Settings(**values, queue_url=address, message_order=order))


@pytest.mark.parametrize("order", ["none", "key"])
def test_a_stream_is_chosen_by_its_arn_for_either_order(order: str) -> None:
    chosen = target("arn:aws-cn:kinesis:cn-north-1:123456789012:stream/changes_1.a-b", order)
    assert (type(chosen), chosen.region) == (StreamTarget, "cn-north-1")


@pytest.mark.parametrize("end", ["stream/", "stream/a/consumer/b:1", "stream/a b", "changes"])
def test_other_kinesis_arns_are_no_targets(end: str) -> None:
    with pytest.raises(SettingsError, match="--queue_url"):
        target(f"arn:aws:kinesis:eu-west-1:123456789012:{end}")


def test_the_partition_key_is_the_group_or_without_groups_the_id() -> None:
    headers, body = StreamTarget(STREAM, "acme").request([message("a", group="g"), message("b"), message("c" * 129)])
    asked = json.loads(body)
    keys = [record["PartitionKey"] for record in asked["Records"]]
    assert headers["X-Amz-Target"] == "Kinesis_20131202.PutRecords"
    assert asked["StreamARN"] == STREAM
    assert keys[:2] == ["g", "b"]
    assert len(keys[2]) == 64, "a partition key has at most 256 characters, so a long id is hashed"
    assert {base64.b64decode(record["Data"]) for record in asked["Records"]} == {b"xx"}


@pytest.mark.parametrize(
    ("code", "refused"), [(THROTTLED, None), ("InternalFailure", None), ("SomethingElse", "SomethingElse")]
)
def test_failed_records_are_sent_again_unless_their_error_is_unknown(code: str, refused: str | None) -> None:
    answer = {"FailedRecordCount": 1, "Records": [{"ErrorCode": code}, {"SequenceNumber": "1", "ShardId": "s"}]}
    read = StreamTarget(STREAM, "acme").read_answer(
        json.dumps(answer).encode(), [message("a"), message("b"), message("c")]
    )
    assert [m.id for m in read.accepted] == ["b"]
    assert [m.id for m in read.again] == ["a", "c"], "a record without an entry in the answer is sent again"
    assert read.refused == refused


def test_a_request_is_sent_again_if_it_was_throttled_but_not_if_its_key_or_stream_is_wrong() -> None:
    codes = [THROTTLED, "KMSThrottlingException", "InternalFailureException", "KMSAccessDeniedException"]
    codes += ["KMSDisabledException", "KMSNotFoundException", "AccessDeniedException", "ResourceNotFoundException"]
    assert [code for code in codes if is_passing(code)] == codes[:3]


# ---------------------------------------------------------------------------------------------- against moto's streams


@pytest.fixture
def job(queue: str) -> Harness:
    """The job in Lambda, and a stream with two shards."""
    boto3.client("kinesis").create_stream(StreamName="changes", ShardCount=2)
    return Harness("lambda", queue)


def received() -> dict[str, list[dict[str, Any]]]:
    """Shard -> the records of the stream, in order."""
    client = boto3.client("kinesis")
    shards: dict[str, list[dict[str, Any]]] = {}
    for shard in client.list_shards(StreamARN=STREAM)["Shards"]:
        start = {"ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
        iterator = client.get_shard_iterator(StreamName="changes", **start)["ShardIterator"]
        shards[shard["ShardId"]] = client.get_records(ShardIterator=iterator)["Records"]
    return shards


def put(batch: list[Message]) -> Any:
    """Send the records of the target's request with boto3, which reports what the service rejects."""
    records = json.loads(StreamTarget(STREAM, "acme").request(batch)[1])["Records"]
    records = [{**record, "Data": base64.b64decode(record["Data"])} for record in records]
    return boto3.client("kinesis").put_records(StreamARN=STREAM, Records=records)


def test_the_largest_message_fits_with_the_longest_key_and_one_byte_more_does_not(job: Harness) -> None:
    assert put([message("i" * 128, StreamTarget.limit)])["FailedRecordCount"] == 0
    with pytest.raises(ClientError, match="ValidationException"):
        put([message("i" * 128, StreamTarget.limit + 1)])


def test_the_largest_batches_fit_into_a_request(job: Harness) -> None:
    small = [message(f"{n:0128}", 2) for n in range(501)]
    full = [message(f"{n:0128}", StreamTarget.limit // 500) for n in range(500)]
    for made, sizes in ((small, [500, 1]), (full, [500]), ([*full, message("m", 2_000)], [500, 1])):
        split = list(batches(made, StreamTarget.limit, StreamTarget.max_entries))
        assert [len(batch) for batch in split] == sizes
        assert [put(batch)["FailedRecordCount"] for batch in split] == [0 for _ in split]
    with pytest.raises(ClientError, match="InvalidArgument|Validation"):
        put(small)


@pytest.fixture
def throttled(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Streams that throttle or fail 30% of the records. Counts the error codes."""
    real, chance, codes = KinesisBackend.put_records, random.Random(7), Counter[str]()
    one_at_a_time = threading.Lock()  # moto loses records of requests that run at the same time

    def put_records(self: KinesisBackend, stream_arn: str, stream_name: str, records: list[Any]) -> dict[str, Any]:
        fate = [chance.choices([None, THROTTLED, "InternalFailure"], [70, 20, 10])[0] for _ in records]
        kept = [record for record, code in zip(records, fate, strict=True) if code is None]
        with one_at_a_time:
            accepted = iter(real(self, stream_arn, stream_name, kept)["Records"])
        codes.update(code for code in fate if code)
        failed = sum(code is not None for code in fate)
        said = [{"ErrorCode": code, "ErrorMessage": "x"} if code else next(accepted) for code in fate]
        return {"FailedRecordCount": failed, "Records": said}

    monkeypatch.setattr(KinesisBackend, "put_records", put_records)
    return codes


def test_of_a_request_that_fails_in_part_each_message_arrives_once(job: Harness, throttled: Counter[str]) -> None:
    rows = [line({**stream(), "eventID": f"e-{n}"}) for n in range(1_200)]
    outcome = job.run({"a.json": b"\n".join(rows)}, queue_url=STREAM)
    assert outcome.error is None
    assert outcome.result["messages"] == 1_200
    assert set(throttled) == {THROTTLED, "InternalFailure"}
    shards = received()
    ids = [json.loads(record["Data"])["id"] for records in shards.values() for record in records]
    assert sorted(ids) == sorted(f"e-{n}" for n in range(1_200))
    assert all(len(records) > 400 for records in shards.values()), "keys that are ids spread over the shards"
    assert outcome.messages == [], "the stack's queue gets none"


def test_in_order_each_key_has_one_shard_and_its_changes_are_in_sequence(job: Harness, throttled: Counter[str]) -> None:
    numbers = list(range(1_000, 1_120))
    random.Random(5).shuffle(numbers)
    rows = [{**stream(Keys={"pk": {"S": f"k{n % 7}"}}, SequenceNumber=str(n)), "eventID": f"e-{n}"} for n in numbers]
    files = {f"{part}.json": b"\n".join(map(line, rows[part::4])) for part in range(4)}
    outcome = job.run(files, queue_url=STREAM, message_order="key")
    assert outcome.error is None
    assert sum(throttled.values()) > 0
    found: dict[str, list[int]] = defaultdict(list)
    shards: dict[str, set[str]] = defaultdict(set)
    for shard, records in received().items():
        for record in records:
            event = json.loads(record["Data"])
            found[event["subject"]].append(int(event["sequence"]))
            shards[event["subject"]].add(shard)
    assert sorted(found.values()) == [list(range(first, 1_120, 7)) for first in range(1_000, 1_007)]
    assert [len(places) for places in shards.values()] == [1] * 7


def test_a_message_over_the_limit_refers_to_its_data(job: Harness) -> None:
    row = {**stream(NewImage={"pk": {"S": "a"}, "text": {"S": "x" * 2**20}}), "eventID": "big"}
    outcome = job.run({"a.json": line(row)}, queue_url=STREAM)
    assert outcome.error is None
    (record,) = [record for records in received().values() for record in records]
    event = json.loads(record["Data"])
    (key,) = job.keys_below("claim-check/")
    assert event["dataref"] == f"s3://{DATA}/{key}"
    assert "data" not in event
    assert json.loads(job.read(key))["new"]["text"] == "x" * 2**20


def test_a_message_too_large_even_without_its_data_fails_the_run(job: Harness) -> None:
    outcome = job.run({"a.json": line(stream())}, queue_url=STREAM, max_message_bytes="100")
    assert outcome.result["failure"]["type"] == "MessageTooLargeError"
    assert [records for records in received().values() if records] == []


def test_a_stream_that_does_not_exist_fails_the_run_at_once(queue: str) -> None:
    outcome = Harness("lambda", queue).run({"a.json": line(stream())}, queue_url=STREAM)
    assert outcome.result["failure"]["type"] == "SendRefusedError"
    assert "ResourceNotFoundException" in outcome.result["failure"]["message"]
