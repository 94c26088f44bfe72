"""Both engines send the same bytes, run the user's ETL, and stop in time."""

from __future__ import annotations

import gzip
import importlib.util
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.children import run
from tests.integration.job.harness import DATA, MODULES, PROVIDER, SCRIPT, Harness
from tests.unit.job.records import export, kinesis, line, stream


def mixed_files(objects: int = 5, rows: int = 12) -> dict[str, bytes]:
    """Objects with all record shapes, all view types and several gzip members in them."""
    files = {}
    for n in range(objects):
        lines = []
        for row in range(rows):
            keys = {"pk": {"S": f"key-{row % 4}"}}
            shapes = [
                {
                    **stream("INSERT", Keys=keys, OldImage=None, SequenceNumber=str(n * 100 + row)),
                    "eventID": f"e-{n}-{row}",
                },
                {
                    **stream("REMOVE", Keys=keys, NewImage=None, SequenceNumber=str(n * 100 + row)),
                    "eventID": f"r-{n}-{row}",
                },
                {**kinesis(moment=1700000000000000 + n * 1000 + row), "eventID": f"k-{n}-{row}"},
                export(),
            ]
            lines.append(line(shapes[row % 4]))
        half = rows // 2
        files[f"{n}.json.gz"] = gzip.compress(b"\n".join(lines[:half]) + b"\n") + gzip.compress(
            b"\n".join(lines[half:])
        )
    return files


WITH_A_BAD_LINE = mixed_files() | {"bad.json": line(stream("INSERT")) + b"\nbad\n" + line(stream("INSERT"))}


def in_order(messages: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Return the bodies of each message group, as received."""
    groups: dict[str, list[str]] = {}
    for message in messages:
        groups.setdefault(message["Attributes"]["MessageGroupId"], []).append(message["Body"])
    return groups


def changed_script(folder: Path, **replaced: str) -> Path:
    """Write a copy of the job's script with the user's ETL in it."""
    text = SCRIPT.read_text()
    if "transform" in replaced:
        assert text.count("    return change.data\n") == 1
        text = text.replace("    return change.data\n", replaced["transform"])
    if "etl" in replaced:
        before = "etl: Callable[[DataFrame], DataFrame] | None = None\n"
        assert text.count(before) == 1
        text = text.replace(before, replaced["etl"])
    script = folder / "change_log.py"
    script.write_text(text)
    return script


@pytest.mark.spark
@pytest.mark.parametrize("order", ["none", "key"])
def test_both_engines_send_byte_identical_messages(spark: Any, queue: str, fifo_queue: str, order: str) -> None:
    url = fifo_queue if order == "key" else queue
    files = mixed_files()
    small = Harness("lambda", url).run(files, message_order=order)
    glue = Harness("glue", url).run(files, message_order=order)
    assert small.error is None
    assert glue.error is None
    assert small.bodies == glue.bodies
    assert len(small.bodies) == 60
    assert [small.result[c] for c in ("objects", "bytes", "rows", "messages")] == [
        glue.result[c] for c in ("objects", "bytes", "rows", "messages")
    ]


@pytest.mark.spark
def test_both_engines_send_byte_identical_messages_when_a_line_is_bad(spark: Any, queue: str) -> None:
    small, glue = Harness("lambda", queue).run(WITH_A_BAD_LINE), Harness("glue", queue).run(WITH_A_BAD_LINE)
    assert small.bodies == glue.bodies
    assert small.result["failure"] == glue.result["failure"]


@pytest.mark.spark
def test_in_order_spark_sends_nothing_of_a_run_with_a_bad_line(spark: Any, fifo_queue: str) -> None:
    outcome = Harness("glue", fifo_queue).run(WITH_A_BAD_LINE, message_order="key")
    assert (outcome.result["failure"]["type"], outcome.messages) == ("RecordError", [])


@pytest.mark.spark
def test_in_order_one_object_of_one_key_is_sent_and_counted(spark: Any, fifo_queue: str) -> None:
    records = [{**stream("INSERT", SequenceNumber=str(n)), "eventID": f"e-{n}"} for n in (9, 10, 1)]
    files = {"a.json": b"\n".join(map(line, records))}
    outcome = Harness("glue", fifo_queue).run(files, message_order="key")
    assert [json.loads(message["Body"])["id"] for message in outcome.messages] == ["e-1", "e-9", "e-10"]
    assert [outcome.result[count] for count in ("objects", "rows", "messages")] == [1, 3, 3]


@pytest.mark.spark
def test_the_script_runs_as_a_separate_process(aws: str, queue: str, laptop_spark: None) -> None:
    job = Harness("glue", queue)
    manifest = job.plan([job.put(name, body) for name, body in mixed_files(2).items()])
    values = {
        "provider": PROVIDER,
        "run_id": "run-1",
        "manifest": manifest,
        "run_dir": manifest.removesuffix("manifest.json"),
        "queue_url": queue,
        "env": "test",
        "data_bucket": DATA,
    }
    argv = [sys.executable, str(SCRIPT), "--JOB_NAME", "etl-test-change_log"]
    argv += [part for name, value in values.items() for part in (f"--{name}", value)]
    environment = {**os.environ, "PYTHONPATH": MODULES}
    done = run(argv, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    assert job.result("run-1")["messages"] == 24
    logged = [json.loads(one) for one in done.stdout.splitlines() if one.startswith("{")]
    assert {(one["provider"], one["run_id"]) for one in logged} == {(PROVIDER, "run-1")}
    broken = run(argv[:-2], env=environment)
    assert broken.returncode != 0
    assert "SettingsError: missing: --data_bucket" in broken.stderr


TRANSFORM = """
    if change.operation == "remove":
        return None
    if change.sequence is None:
        return [{"part": n, "key": change.keys} for n in range(2)]
    return {"price": (change.new or {}).get("price"), "double": (change.new or {}).get("price", 0) * 2}
"""


def test_the_users_transform_drops_splits_and_computes(job: Harness, tmp_path: Path) -> None:
    files = {"a.json": b"\n".join([line(stream("INSERT")), line(stream("REMOVE")), line(export(old=False))])}
    outcome = job.run(files, changed_script(tmp_path, transform=TRANSFORM))
    assert outcome.error is None
    assert (outcome.result["rows"], outcome.result["messages"]) == (3, 3)
    assert [event["data"] for event in outcome.events if "sequence" in event] == [{"price": 1.5, "double": 3.0}]
    assert '"double":3.00' in "".join(outcome.bodies), "Decimals stay exact"
    halves = [event["id"] for event in outcome.events if "sequence" not in event]
    assert [id_[32:] for id_ in halves] == ["-0", "-1"]
    assert len({id_[:32] for id_ in halves}) == 1


def test_an_error_in_a_transform_names_object_and_line_but_not_the_row(job: Harness, tmp_path: Path) -> None:
    script = changed_script(tmp_path, transform='    raise ValueError(f"canary {change.keys}")\n')
    outcome = job.run({"a.json": line(stream())}, script)
    error = outcome.result["failure"]
    assert (error["type"], error["line"]) == ("TransformError", 1)
    assert "canary" not in json.dumps(outcome.result) + str(outcome.error)


ETL = """
def etl(changes):
    return changes.where("operation != 'remove'").selectExpr(
        "id", "operation", "time", "subject", "sequence", "position", "to_json(named_struct('was', data)) as data"
    )
"""


@pytest.mark.spark
def test_a_native_etl_changes_the_messages(spark: Any, queue: str, tmp_path: Path) -> None:
    job = Harness("glue", queue)
    outcome = job.run(mixed_files(), changed_script(tmp_path, etl=ETL))
    assert outcome.error is None
    assert (outcome.result["rows"], outcome.result["messages"]) == (60, 45)
    assert {event["type"] for event in outcome.events} == {"dynamodb.insert", "dynamodb.modify"}
    assert all("keys" in json.loads(event["data"]["was"]) for event in outcome.events)
    assert spark.sparkContext._jsc.getPersistentRDDs().isEmpty(), "the rows are no longer in memory"


@pytest.mark.spark
@pytest.mark.parametrize("order", ["none", "key"])
def test_a_native_etl_that_only_changes_the_order_of_rows_has_no_effect(
    spark: Any, queue: str, fifo_queue: str, tmp_path: Path, order: str
) -> None:
    url = fifo_queue if order == "key" else queue
    job, files = Harness("glue", url), mixed_files()
    etl = "def etl(changes):\n    return changes.orderBy('position', ascending=False)\n"
    native = job.run(files, changed_script(tmp_path, etl=etl), message_order=order)
    assert native.error is None
    plain = job.run(files, message_order=order)
    assert native.bodies == plain.bodies
    if order == "key":
        assert in_order(native.messages) == in_order(plain.messages)


@pytest.fixture
def ansi(spark: Any) -> Iterator[Callable[[bool], None]]:
    """Turn ANSI mode on or off. It is on by default since Spark 4, and so on Glue 6.0."""
    before = spark.conf.get("spark.sql.ansi.enabled")
    yield lambda on: spark.conf.set("spark.sql.ansi.enabled", str(on).lower())
    spark.conf.set("spark.sql.ansi.enabled", before)


def priced(*prices: dict[str, str]) -> dict[str, bytes]:
    """Build an object with one new row for each price."""
    records = [stream("INSERT", Keys={"pk": {"S": str(n)}}, NewImage={"price": p}) for n, p in enumerate(prices)]
    return {"prices.json": b"\n".join(line({**r, "eventID": f"e-{n}"}) for n, r in enumerate(records))}


@pytest.mark.spark
@pytest.mark.parametrize("order", ["none", "key"])
def test_ansi_mode_does_not_change_the_messages(
    ansi: Callable[[bool], None], queue: str, fifo_queue: str, tmp_path: Path, order: str
) -> None:
    """frames.py has the library's only queries. The test's etl also returns columns that are not text."""
    etl = (
        "from pyspark.sql import functions as F\n\n\n"
        "def etl(changes):\n"
        "    number = F.when(F.col('sequence').isNull(), F.lit(2147483647)).otherwise(F.length('id'))\n"
        "    return changes.withColumn('time', F.to_timestamp('time')).withColumn('sequence', number)\n"
    )
    job, files = Harness("glue", fifo_queue if order == "key" else queue), mixed_files(3)
    outcomes = []
    for on in (True, False):
        ansi(on)
        outcomes.append(job.run(files, changed_script(tmp_path, etl=etl), message_order=order))

    assert [outcome.error for outcome in outcomes] == [None, None]
    assert outcomes[0].bodies == outcomes[1].bodies
    assert len(outcomes[0].bodies) == 36


@pytest.mark.spark
@pytest.mark.parametrize("on", [True, False])
def test_the_native_etl_of_the_docs_omits_invalid_prices(
    ansi: Callable[[bool], None], queue: str, tmp_path: Path, on: bool
) -> None:
    page = (SCRIPT.parents[1] / "docs" / "etl.md").read_text(encoding="utf-8")
    (etl,) = [block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "def etl(" in block]
    ansi(on)

    files = priced({"N": "99"}, {"N": "101"}, {"S": "on request"}, {"N": "1" * 38}, {"S": "250.00"})
    outcome = Harness("glue", queue).run(files, changed_script(tmp_path, etl=etl))

    assert outcome.error is None
    assert sorted(json.loads(e["subject"])["pk"] for e in outcome.events) == ["1", "4"]


@pytest.mark.spark
def test_a_native_etl_sends_nothing_of_a_run_with_a_bad_line(spark: Any, queue: str, tmp_path: Path) -> None:
    files = mixed_files() | {"bad.json": b"bad"}
    outcome = Harness("glue", queue).run(files, changed_script(tmp_path, etl=ETL))
    assert (outcome.result["failure"]["type"], outcome.messages) == ("RecordError", [])


IN_A_WORKER = """
def etl(changes):
    from pyspark.sql.functions import udf

    @udf("string")
    def changed(data):
        raise ValueError("canary")

    return changes.withColumn("data", changed("data"))
"""


@pytest.mark.spark
@pytest.mark.parametrize(
    ("etl", "type_"),
    [
        ("def etl(changes):\n    return changes.drop('position')\n", "TransformError"),
        (
            "def etl(changes):\n    return changes.drop('data').selectExpr('*', \"'no' as data\")\n",
            "TransformError",
        ),
        ("def etl(changes):\n    raise ValueError('canary')\n", "UnexpectedError"),
        (IN_A_WORKER, "UnexpectedError"),
    ],
)
def test_a_native_etl_that_breaks_its_contract_is_a_typed_error(
    spark: Any, queue: str, tmp_path: Path, etl: str, type_: str
) -> None:
    script = changed_script(tmp_path, etl=etl)
    outcome = Harness("glue", queue).run(mixed_files(1), script)
    assert outcome.result["failure"]["type"] == type_
    assert "canary" not in str(outcome.error)
    if raising := [n for n, text in enumerate(script.read_text().splitlines(), 1) if "canary" in text]:
        assert f"{script.name}:{raising[0]}" in outcome.result["failure"]["message"]


def test_the_lambda_run_rejects_a_native_etl_and_says_what_to_do(queue: str, tmp_path: Path) -> None:
    outcome = Harness("lambda", queue).run(mixed_files(1), changed_script(tmp_path, etl=ETL))
    assert outcome.result["failure"]["type"] == "FrameEtlError"
    assert "LambdaMaxBytes=0" in outcome.result["failure"]["advice"]
    assert outcome.messages == []


def test_the_lambda_run_stops_before_the_timeout_of_its_function(queue: str) -> None:
    job = Harness("lambda", queue, seconds=5.0)  # less than the safety margin
    outcome = job.run(mixed_files(2))
    assert outcome.result["failure"]["type"] == "DeadlineError"
    assert outcome.messages == []


def test_a_manifest_of_another_provider_is_rejected(job: Harness) -> None:
    manifest = job.plan([])
    key = manifest.removeprefix(f"s3://{DATA}/")
    job.s3.put_object(Bucket=DATA, Key=key, Body=job.read(key).replace(b'"acme"', b'"other"'))
    assert job.run_manifest(manifest).result["failure"]["type"] == "ManifestError"


def test_a_missing_manifest_is_a_storage_error(job: Harness) -> None:
    outcome = job.run_manifest(f"s3://{DATA}/runs/provider={PROVIDER}/run-9/manifest.json")
    assert outcome.result["failure"]["type"] == "StorageError"


def test_a_missing_queue_fails_the_run(job: Harness) -> None:
    outcome = job.run({"a.json": line(stream())}, queue_url=f"{job.queue_url}-gone")
    assert outcome.result["failure"]["type"] == "SendRefusedError"
    assert "QueueDoesNotExist" in str(outcome.error)
    assert outcome.result["messages"] == 0


def test_an_address_that_no_target_has_fails_the_run(job: Harness) -> None:
    outcome = job.run({}, queue_url="ftp://host/queue")
    assert outcome.result["failure"]["type"] == "SettingsError"


def test_importing_the_module_does_nothing() -> None:
    code = "import socket, sys; socket.socket.connect = None; import change_log; print('pyspark' in sys.modules)"
    done = run([sys.executable, "-c", code], env={"PYTHONPATH": MODULES}, check=True)
    assert done.stdout.strip() == "False"
    assert importlib.util.find_spec("change_log") is not None
