"""The common parts of the jobs' benchmarks: command line, environment of Spark, and report."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

Figures = dict[str, Any]


def targets_table(figures: Figures, bound: str) -> list[str]:
    """Return the targets as lines of a Markdown table; `bound` is the heading of their column, such as "at most"."""
    lines = ["", f"| target | measured | {bound} | met |", "|---|--:|--:|---|"]
    for name, found in figures["targets"].items():
        lines.append(f"| {name} | {found['measured']:,} | {found['target']:,} | {'yes' if found['met'] else 'NO'} |")
    return lines


def report(
    name: str,
    about: str | None,
    rows: int,
    what: str,
    measure: Callable[[Path, int], Figures],
    table: Callable[[Figures], str],
    plot: Callable[[Figures, Path], None] | None = None,
) -> int:
    """Measure, print and write; return 0 if the targets are met.

    Parameters
    ----------
    name
        Name of the output files: NAME.json, NAME.md and, with `plot`, NAME.png.
    about
        The benchmark's docstring.
    rows, what
        Default number of rows, and their description.
    measure
        Called with a folder for its files and the number of rows.
    """
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=rows, help=f"rows of {what}")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "docs" / "bench", help=f"folder for {name}.json and the other files"
    )
    given = parser.parse_args()
    from laptop_cloud.aws.spark_jvm import spark_environment

    os.environ.update(
        spark_environment()
        | {
            "AWS_ACCESS_KEY_ID": "bench",
            "AWS_SECRET_ACCESS_KEY": "bench",
            "AWS_DEFAULT_REGION": "us-east-1",
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "glue")]),
            "SPARK_JVM_OPTIONS": "-Xmx1g",  # these runs are long enough for the JVM's second compiler
        }
    )
    with tempfile.TemporaryDirectory(prefix=f"{name}-bench-") as folder:
        start = time.perf_counter()
        figures = measure(Path(folder), given.rows)
        figures["seconds"] = round(time.perf_counter() - start)
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / f"{name}.json").write_text(json.dumps(figures, indent=2) + "\n")
    (given.out / f"{name}.md").write_text(table(figures) + "\n")
    if plot is not None:
        plot(figures, given.out / f"{name}.png")
    print(table(figures))
    return 0 if all(found["met"] for found in figures["targets"].values()) else 1
