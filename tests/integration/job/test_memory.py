"""The memory of a task is bounded, even for very large objects."""

from __future__ import annotations

import gzip
import json
import os
import sys
from pathlib import Path

import pytest

from contract.manifest import StoredObject
from tests.benchmarks.sqs_stub import ETAG as STUB_ETAG
from tests.benchmarks.sqs_stub import running_stub
from tests.harness.children import run
from tests.integration.job.harness import MODULES, PLANNED_AT, PROVIDER, SCRIPT, manifest_of
from tests.unit.job.records import line, stream

MEASURE = """
import importlib, json, sys
script = importlib.import_module("standardize" if sys.argv[4] == "standardize" else "change_log")
if sys.argv[4] == "read":
    # Everything except sending, which would take minutes for a gigabyte of rows.
    from fanout_job.delivery import Delivery

    Delivery.send = lambda self, messages: setattr(self.tally, "messages", sum(1 for _ in messages))
class Context:
    def get_remaining_time_in_millis(self):
        return 900_000
run = {"provider": "acme", "run_id": "run-1", "manifest": sys.argv[2], "run_dir": sys.argv[3]}
result = script.handler(run, Context())
# Not getrusage: its ru_maxrss starts at the value of the parent process.
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
result["peak"] = int(status["VmHWM"].split()[0]) * 1024
print(json.dumps(result))
"""


def measured(folder: Path, body: bytes, what: str, mapping: str = "") -> dict[str, int]:
    """Run in Lambda over one object in a separate process; return its result with its peak memory in bytes.

    `what` is "read" or "send" for the change_log job, or "standardize".
    """
    key = f"change_log/provider={PROVIDER}/big.json.gz"
    run_folder = folder / "data" / "runs" / "run-1"
    (folder / "data" / key).parent.mkdir(parents=True)
    (folder / "data" / key).write_bytes(body)
    run_folder.mkdir(parents=True)
    (folder / "data" / "mappings").mkdir()
    (folder / "data" / "mappings" / f"{PROVIDER}.yaml").write_text(mapping)
    stored = StoredObject(key, len(body), STUB_ETAG, PLANNED_AT)
    (run_folder / "manifest.json").write_bytes(manifest_of("run-1", [stored]).to_json())
    with running_stub(objects=folder) as stub:
        environment = {
            **os.environ,
            "PYTHONPATH": MODULES,
            "AWS_ENDPOINT_URL": stub.endpoint,
            "QUEUE_URL": stub.queue_url,
            "ENV": "test",
            "DATA_BUCKET": "data",
        }
        argv = [sys.executable, "-c", MEASURE, str(SCRIPT.parent)]
        argv += ["s3://data/runs/run-1/manifest.json", "s3://data/runs/run-1/", what]
        done = run(argv, env=environment, check=True)
    found: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.slow
def test_a_gigabyte_of_rows_in_one_object_stays_below_400_mb(tmp_path: Path) -> None:
    row = line(stream("INSERT", NewImage={"text": {"S": "x" * 20_000}})) + b"\n"
    member = row * 500
    copies = 2**30 // len(member) + 1
    result = measured(tmp_path, gzip.compress(member) * copies, "read")
    assert result["rows"] == result["messages"] == 500 * copies
    assert result["rows"] * len(row) >= 2**30
    assert result["peak"] < 400e6


def test_sending_large_rows_stays_below_400_mb(tmp_path: Path) -> None:
    row = line(stream("INSERT", NewImage={"text": {"S": "x" * 200_000}})) + b"\n"
    result = measured(tmp_path, gzip.compress(row * 100) * 10, "send")
    assert result["rows"] == result["messages"] == 1_000
    assert result["peak"] < 400e6


CSV = """
csv:
fields: {order_id: a, ordered_at: b, product: c, quantity: d, unit_price: e, currency: {value: EUR}}
"""


@pytest.mark.fault(36)
@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "mapping", "start", "row", "end"),
    [
        (2**30, CSV, b"a,b,c,d,e\n", b"a-%09d,2026-11-22T07:29:00Z,some product of a catalogue,7,1234.50\n", b""),
        (
            2**28,
            CSV.replace("csv:", "json:"),
            b"[",
            b'{"a": "a-%09d", "b": "2026-11-22T07:29:00Z", "c": "a product", "d": 7, "e": 1234.5, "more": [1, {}]},',
            b'{"a": "z", "b": "2026-11-22", "d": 1, "e": 1}]',
        ),
        (
            2**27,
            CSV.replace("csv:", "xml: {record: o}"),
            b"<all>",
            b"<o><a>a-%09d</a><b>2026-11-22T07:29:00Z</b><c>a product</c><d>7</d><e>1234.5</e><f><g/></f></o>",
            b"</all>",
        ),
    ],
    ids=["csv", "json", "xml"],
)
def test_standardizing_a_large_object_stays_below_512_mb(
    tmp_path: Path, size: int, mapping: str, start: bytes, row: bytes, end: bytes
) -> None:
    member = b"".join(row % number for number in range(50_000))
    copies = size // len(member) + 1
    body = gzip.compress(start) + gzip.compress(member, 1) * copies + gzip.compress(end)
    result = measured(tmp_path, body, "standardize", mapping)
    assert result["rows"] in (50_000 * copies, 50_000 * copies + 1)
    assert result["peak"] < 512e6
