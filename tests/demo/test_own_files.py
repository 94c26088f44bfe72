"""`make run CHANGE_LOG=…`: which of the user's files are used, and what is said about the others."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from demo import DemoError
from demo.plan import Files, own_plan
from demo.verify import lines_of, row_ids

LINE = json.dumps({"eventID": "e1"}).encode() + b"\n"


def write(folder: Path, **files: bytes) -> None:
    for key, body in files.items():
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)


@pytest.mark.fault(41)
def test_the_files_that_the_stack_reads_are_used_and_the_others_are_ignored(tmp_path: Path) -> None:
    export = "provider=acme/AWSDynamoDB/01690000000000-abcdef01"
    write(
        tmp_path,
        **{
            f"{export}/_started": b"",
            f"{export}/manifest-files.json": b"{}",
            f"{export}/manifest-summary.checksum": b"x",
            f"{export}/data/abc.json.gz": gzip.compress(LINE),
            "provider=b/plain.jsonl": LINE * 2,
            "provider=b/without-suffix": gzip.compress(LINE * 3),
            "provider=b/damaged.gz": b"\x1f\x8bxx",
            "provider=b/upload.gz.part": gzip.compress(LINE),
            "other/x.json.gz": gzip.compress(LINE),
            "x.json.gz": gzip.compress(LINE),
        },
    )

    plan = own_plan(tmp_path)

    assert {
        name: [(part.key.partition("/")[2], part.rows) for part in parts] for name, parts in plan.first.items()
    } == {
        "acme": [("AWSDynamoDB/01690000000000-abcdef01/data/abc.json.gz", 1)],
        "b": [("damaged.gz", 0), ("plain.jsonl", 2), ("without-suffix", 3)],
    }
    assert [part.key for part in plan.ignored] == [
        f"{export}/_started",
        f"{export}/manifest-files.json",
        f"{export}/manifest-summary.checksum",
        "provider=b/upload.gz.part",
    ]
    assert plan.refused == ()


@pytest.mark.fault(40)
def test_folders_whose_name_is_refused_are_named_with_the_rule(tmp_path: Path) -> None:
    write(tmp_path, **{"provider=/1": LINE, "provider=Tenant Ölhafen/1": LINE, "provider=ok/1": LINE})

    plan = own_plan(tmp_path)

    assert plan.providers == ["ok"]
    assert [text.partition(": ")[0] for text in plan.refused] == [
        "provider= is left out",
        r"provider=Tenant \xd6lhafen is left out",
    ]
    assert all("use 1 to 64 ASCII letters, digits" in text for text in plan.refused)


@pytest.mark.fault(40)
def test_a_folder_with_refused_names_only_is_an_error_with_the_rule(tmp_path: Path) -> None:
    write(tmp_path, **{"provider=Tenant Ölhafen/1": LINE})

    with pytest.raises(DemoError, match="use 1 to 64 ASCII letters, digits"):
        Files.of(tmp_path)


def test_a_folder_without_a_change_log_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, **{"x/1": LINE, "provider=a/_SUCCESS": b""})

    with pytest.raises(
        DemoError, match="No data found in .*, 1 files ignored. It needs files in folders provider=NAME/"
    ):
        own_plan(tmp_path)


def test_lines_that_are_no_change_records_have_ids_too() -> None:
    ids = row_ids(lines_of(b'[1]\n\xff\n\n{"eventID": "e"}'), "log/key")

    assert len(set(ids)) == 3
    assert ids[2] == "e"
    assert lines_of(gzip.compress(LINE)[:-9]) == []
