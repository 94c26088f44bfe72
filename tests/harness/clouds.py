"""A laptop cloud of template.yaml that several test modules share, because a start takes seconds; and `make up`."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.harness.children import Child
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from laptop_cloud.cloud import LaptopCloud

TEMPLATE = Path(__file__).parents[2] / "template.yaml"


class SharedCloud:
    """Starts on first use, and stops before a test that does not use it: a process can have only one cloud."""

    def __init__(self) -> None:
        self._cloud: LaptopCloud | None = None

    def up(self, workdir: Path) -> LaptopCloud:
        """Return the cloud; start it in `workdir` if it is not up."""
        from laptop_cloud.cloud import LaptopCloud

        if self._cloud is None:
            self._cloud = LaptopCloud(TEMPLATE, workdir=workdir).start()
        return self._cloud

    def down(self) -> None:
        """Stop it, if it is up."""
        if self._cloud is not None:
            self._cloud.stop()
            self._cloud = None


def write_entries(cloud: LaptopCloud, entries: Mapping[str, Mapping[str, Any]]) -> None:
    """Write entries into the table of the config API, which is faster than a request for each."""
    from registry.table import Stored

    documents = [(name, Stored(json.dumps(entry))) for name, entry in entries.items()]
    items = [
        {"provider": {"S": name}, "entry": {"S": stored.document}, "etag": {"S": stored.etag}}
        for name, stored in documents
    ]
    _batches(cloud, [{"PutRequest": {"Item": item}} for item in items])


def delete_entries(cloud: LaptopCloud, names: Iterable[str]) -> None:
    """Delete entries from the table of the config API."""
    _batches(cloud, [{"DeleteRequest": {"Key": {"provider": {"S": name}}}} for name in names])


def _batches(cloud: LaptopCloud, requests: Sequence[dict[str, Any]]) -> None:
    table, dynamodb = cloud.physical_id("Providers"), cloud.client("dynamodb")
    for start in range(0, len(requests), 25):
        dynamodb.batch_write_item(RequestItems={table: requests[start : start + 25]})


@contextmanager
def made_up(folder: Path, *options: str) -> Iterator[Child]:
    """Run `make up` in a folder, as a process of its own, until the end of the block. Its output is in up.txt."""
    command = [sys.executable, "-m", "demo", "up", "--workdir", str(folder), "--port", "0", *options]
    said = folder / "up.txt"
    with said.open("wb") as output:
        process = Child(command, cwd=TEMPLATE.parent, stdout=output, stderr=subprocess.STDOUT)
        try:
            eventually(lambda: (folder / "cloud.json").exists() or process.poll() is not None, "the laptop cloud")
            assert process.poll() is None, said.read_text(encoding="utf-8")
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()
