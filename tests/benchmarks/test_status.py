"""`fanout status` over 10,000 providers, on the laptop cloud."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from contract.failure import Failure
from contract.times import format_http_date
from fanout.adapters import _item
from fanout.ledger import Bookmark, ProviderState
from fanout.runs import Lease, RunRecord, RunRef
from laptop_cloud.aws.account import ACCOUNT_ID, REGION
from laptop_cloud.cloud import LaptopCloud
from registry.table import Stored
from tests.template.reading import TEMPLATE

FAILURE = Failure(type="RecordError", message="not a change record", object="s3://bucket/a", line=7)
PROVIDERS = 10_000
FAILING, LIVE, DUE = 100, 50, 300
LIMIT_SECONDS = 3.0
BUCKET = "s3://bucket/runs"


def seed(cloud: LaptopCloud, now: datetime) -> None:
    """Add 10,000 providers: some fail, some run, some are due, and the others wait.

    Writes directly into moto's tables, because 20,000 puts over HTTP would take minutes.
    """
    from moto.dynamodb.models import dynamodb_backends

    tables: Any = dynamodb_backends[ACCOUNT_ID][REGION]
    for number in range(PROVIDERS):
        name = f"provider-{number:05d}"
        failing, live, due = number < FAILING, number < FAILING + LIVE, number < FAILING + LIVE + DUE
        last = now - timedelta(minutes=70 if due else 30)
        status = "failed" if failing else "running" if live else "succeeded"
        entry = {"frequency": "60", "last_success": format_http_date(last), "status": status}
        text = json.dumps(entry)
        tables.put_item(
            cloud.physical_id("Providers"),
            {"provider": {"S": name}, "entry": {"S": text}, "etag": {"S": Stored(text).etag}},
        )
        tables.put_item(cloud.outputs["RunLedgerTable"], _item(state(name, last, now, failing, live and not failing)))


def state(name: str, last: datetime, now: datetime, failing: bool, live: bool) -> ProviderState:
    run_dir = f"{BUCKET}/provider={name}/20261122T080000Z_{name}/"
    record = RunRecord(
        run_id=name,
        status="failed" if failing else "succeeded",
        started_at=last,
        ended_at=last,
        run_dir=run_dir,
        failure=FAILURE if failing else None,
    )
    lease = Lease(run_id=name, claimed_at=now, expires_at=now + timedelta(hours=2), run_dir=run_dir) if live else None
    recent = tuple(RunRef(run_id="r", run_dir=run_dir, newest=last, manifest_hash="0f") for _ in range(4))
    return ProviderState(
        provider=name,
        lease=lease,
        failures=int(failing),
        retry_at=now + timedelta(minutes=10) if failing else None,
        last_success=last,
        last_run=record,
        bookmark=Bookmark(generation=4, since=last, watermark=last, recent=recent),
    )


@pytest.mark.benchmark
def test_status_over_10_000_providers_takes_at_most_3_seconds(tmp_path: Path) -> None:
    with LaptopCloud(TEMPLATE, workdir=tmp_path) as cloud:
        seed(cloud, datetime.now(UTC))
        environment = {**os.environ, "FANOUT_CLOUD_FILE": str(tmp_path / "cloud.json")}
        command = [sys.executable, "-m", "cli", "status", "--local", "--json", "--limit", "1000"]
        taken = []
        for _ in range(4):  # the first one also starts the config API's Lambda
            began = time.monotonic()
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
            taken.append(time.monotonic() - began)
            assert done.returncode == 1, done.stderr

    counts = json.loads(done.stdout)["counts"]
    print(f"fanout status over {PROVIDERS:,} providers: {min(taken):.2f} s, minimum of", [round(t, 2) for t in taken])
    assert counts == {
        "failing": FAILING,
        "running": LIVE,
        "due": DUE,
        "waiting": PROVIDERS - FAILING - LIVE - DUE,
    }
    assert min(taken) <= LIMIT_SECONDS
