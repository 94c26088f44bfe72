"""Measures the standardize job's reading of CSV, JSON and XML, with good and with bad rows, beside bare parsers.

standardize_bench.py starts each reader in a new process:

    python -m tests.benchmarks.standardize_formats FORMAT READER GOOD BAD

A reader gets one file with good rows and one in which no row fits the model. It prints the CPU seconds for each file,
the least of several runs, and the peak memory of its process. `glue-fanout` turns the bytes of a file into rows of the
model as Arrow tables. A bare parser only parses: it neither converts nor checks, and keeps nothing.
"""

from __future__ import annotations

import csv
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parents[2]
RUNS = 3
PIECE_BYTES = 2**20
OURS = "glue-fanout"
NAMES = ("id", "created", "name", "country", "description", "qty", "price", "currency", "kg", "gift", "due")
NUMBERS = ("qty", "price", "kg", "gift")
"""Columns whose texts are JSON without quotes; an empty one is null."""

FIELDS = """
fields:
  order_id: id
  ordered_at: created
  customer: name
  country: country
  product: description
  quantity: qty
  unit_price: price
  currency: currency
  weight_kg: kg
  gift: gift
  delivery_date: due
"""
MAPPINGS = {
    "csv": "csv:" + FIELDS,
    "json": "json: {records: orders}" + FIELDS,
    "json lines": "json_lines:" + FIELDS,
    "xml": "xml: {record: order}" + FIELDS,
}
BARE = {
    "csv": ("pyarrow, to texts",),
    "json": ("json.loads",),
    "json lines": ("json.loads of each line",),
    "xml": ("expat with empty handlers", "expat without handlers"),
}
"""Format -> its bare parsers. The first is the one that the target refers to."""
MOST_RATIO, MOST_MB = 2, 512
MOST_OF_A_BAD_ROW = 100
"""Targets: CPU compared with the bare parser, memory, and CPU for a bad row compared with a good one."""


def random_order(dice: random.Random) -> list[str]:
    """Return the texts of one order, without its id."""
    day = f"2026-{dice.randint(1, 12):02}-{dice.randint(1, 28):02}"
    hour = f"{dice.randint(0, 23):02}:{dice.randint(0, 59):02}:{dice.randint(0, 59):02}"
    customer = [f"customer-{dice.randint(1, 99_999)}", dice.choice(["DE", "US", "FR", "GB"])]
    product = [f"product {dice.randint(1, 5_000)} of the catalog", str(dice.randint(1, 99))]
    money = [f"{dice.randint(1, 99_999) / 100:.2f}", "EUR", f"{dice.randint(1, 99_999) / 1_000:.3f}"]
    return [f"{day}T{hour}Z", *customer, *product, *money, dice.choice(["true", "false", ""]), day]


def write(kind: str, path: Path, rows: int, bad: bool) -> None:
    """Write a file of random orders with unique ids. In a bad row, the day of delivery does not exist."""
    dice = random.Random(1)
    orders = ([f"{number:012d}", *random_order(dice)] for number in range(rows))
    if bad:
        orders = ([*texts[:-1], "2026-02-30"] for texts in orders)
    with path.open("w", encoding="utf-8", newline="") as file:
        _write(kind, file, orders)


def _write(kind: str, file: IO[str], orders: Iterator[list[str]]) -> None:
    if kind == "csv":
        csv.writer(file, lineterminator="\n").writerows([NAMES, *orders])
    elif kind == "xml":
        file.write("<?xml version='1.0' encoding='utf-8'?>\n<orders>\n")
        for texts in orders:
            fields = "".join(f"    <{name}>{text}</{name}>\n" for name, text in zip(NAMES, texts, strict=True))
            file.write(f"  <order>\n{fields}  </order>\n")
        file.write("</orders>\n")
    else:
        opening, between, closing = ("", "\n", "\n") if kind == "json lines" else ('{"orders": [', ", ", "]}")
        for number, texts in enumerate(orders):
            members = (
                f'"{name}": {(text or "null") if name in NUMBERS else json.dumps(text)}'
                for name, text in zip(NAMES, texts, strict=True)
            )
            file.write((between if number else opening) + "{" + ", ".join(members) + "}")
        file.write(closing)


def pieces(path: Path) -> Iterator[bytes]:
    """Yield the bytes of a file."""
    with path.open("rb") as file:
        yield from iter(lambda: file.read(PIECE_BYTES), b"")


def reader(kind: str, name: str) -> Callable[[Path], tuple[int, int]]:
    """Return a function that reads a file of a format and returns how many good and bad rows it finds. A bare parser
    finds no bad rows, and expat no rows at all.
    """
    if name == OURS:
        return _job(kind)
    if kind == "csv":
        return _pyarrow()
    if kind == "xml":
        return lambda path: _expat(path, name == BARE["xml"][0])
    if kind == "json":
        return lambda path: (len(json.loads(path.read_bytes())["orders"]), 0)
    return lambda path: (sum(json.loads(line) is not None for line in path.open("rb")), 0)


def _job(kind: str) -> Callable[[Path], tuple[int, int]]:
    sys.path.insert(0, str(ROOT / "glue"))
    from fanout_job.mapping import Mapping
    from fanout_job.standardizer import Standardizer
    from standardize import MODEL

    mapping = Mapping.parse(MAPPINGS[kind].encode(), "bench.yaml")

    def read(path: Path) -> tuple[int, int]:
        bad = 0

        def count(error: object, content: bytes | None) -> None:
            nonlocal bad
            bad += 1

        good = sum(rows.num_rows for rows in Standardizer(mapping, MODEL).rows(pieces(path), count))
        return good, bad

    return read


def _pyarrow() -> Callable[[Path], tuple[int, int]]:
    import pyarrow as pa  # type: ignore[import-untyped]
    from pyarrow import csv as arrow_csv

    pa.set_cpu_count(1)
    texts = arrow_csv.ConvertOptions(column_types=dict.fromkeys(NAMES, pa.string()))
    blocks = arrow_csv.ReadOptions(use_threads=False, block_size=2**21)
    return lambda path: (sum(block.num_rows for block in arrow_csv.open_csv(path, blocks, convert_options=texts)), 0)


def _expat(path: Path, handlers: bool) -> tuple[int, int]:
    from xml.parsers import expat

    parser = expat.ParserCreate("utf-8", " ")
    parser.buffer_text = True
    if handlers:
        parser.StartElementHandler = lambda name, attributes: None
        parser.EndElementHandler = lambda name: None
        parser.CharacterDataHandler = lambda text: None
    for piece in pieces(path):
        parser.Parse(piece)
    parser.Parse(b"", True)
    return 0, 0


def measure_formats(folder: Path, rows: int) -> dict[str, Any]:
    """Measure all readers of all formats with files of this many rows."""
    folder.mkdir()
    figures: dict[str, Any] = {}
    for kind, bare in BARE.items():
        files = [folder / f"{quality}.{kind.replace(' ', '_')}" for quality in ("good", "bad")]
        for path in files:
            write(kind, path, rows, bad=path is files[1])
        found = figures[kind] = {"rows": rows, "bytes": files[0].stat().st_size, "readers": {}}
        for name in (*bare, OURS):
            command = [sys.executable, "-m", "tests.benchmarks.standardize_formats", kind, name, *map(str, files)]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(f"{name} failed on {kind}: {done.stderr[-2000:]}")
            found["readers"][name] = json.loads(done.stdout)
            print(f"  {kind}, {name}: {found['readers'][name]}", flush=True)
        for path in files:
            path.unlink()
    return figures


def format_targets(formats: dict[str, Any]) -> dict[str, tuple[float, float]]:
    """Return the name of each target, the measured figure and its limit."""
    found = {}
    for kind, figures in formats.items():
        ours, bare = figures["readers"][OURS], figures["readers"][BARE[kind][0]]
        if kind != "csv":  # its target is that of the whole job
            found[f"CPU for {kind}, ratio to {BARE[kind][0]}"] = (ours["good"] / bare["good"], MOST_RATIO)
        found[f"CPU for bad rows of {kind}, ratio to good rows"] = (ours["bad"] / ours["good"], MOST_OF_A_BAD_ROW)
        found[f"MB for {kind}"] = (ours["mb"], MOST_MB)
    return found


def formats_table(formats: dict[str, Any]) -> list[str]:
    """Return the figures as lines of a Markdown table."""
    lines = ["", "Reading alone, on one core, in CPU seconds. A bare parser only parses. glue-fanout also converts and"]
    lines[-1] += " checks every value, and, for each bad row, makes the error and the copy for the quarantine."
    lines += ["", "| format | rows | MB | reader | good rows | ratio | bad rows | ratio | peak MB |"]
    lines.append("|---|--:|--:|---|--:|--:|--:|--:|--:|")
    for kind, figures in formats.items():
        first = figures["readers"][BARE[kind][0]]
        for name, found in figures["readers"].items():
            size = f"{figures['rows']:,} | {figures['bytes'] / 1e6:.0f}"
            cpu = " | ".join(f"{found[q]:.2f} | {found[q] / first[q]:.2f}" for q in ("good", "bad"))
            lines.append(f"| {kind} | {size} | {name} | {cpu} | {found['mb']} |")
    return lines


def main(kind: str, name: str, *files: str) -> None:
    """Measure one reader with a good and a bad file, and print the figures as JSON."""
    read = reader(kind, name)
    figures: dict[str, float] = {}
    for quality, file in zip(("good", "bad"), files, strict=True):
        seconds = []
        for _ in range(RUNS):
            start = time.process_time()
            rows = read(Path(file))
            seconds.append(time.process_time() - start)
        figures[quality] = round(max(min(seconds), 1e-4), 4)
        figures[f"{quality}_rows"] = rows[quality == "bad"]
    # Not getrusage, whose maximum includes the memory of the process that started this one.
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    figures["mb"] = round(int(status["VmHWM"].split()[0]) * 1024 / 1e6)
    print(json.dumps(figures))


if __name__ == "__main__":
    main(*sys.argv[1:])
