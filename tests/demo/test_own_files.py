"""`make run CHANGE_LOG=…`: which of the user's files are used, and what is said about the others."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from demo import DemoError, standardize
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


def test_files_that_the_laptop_cloud_cannot_store_or_read_are_left_out_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = ["-dash", "a&b<c>\"'%2F+;?#[x]", "back\\slash", "tab\tand\x01control", "with space", "x" * 250, "żółw-日本"]
    write(tmp_path, **{f"provider=a/{name}": LINE for name in [*kept, "new\nline", "locked", "_SUCCESS\n"]})
    deep, limit = "/".join(["y" * 200] * 5), "an S3 key has at most 1,024, with the prefix"
    write(tmp_path, **{f"provider=a/{deep}/z": LINE})
    Path(tmp_path, "provider=a", os.fsdecode(b"\xff")).write_bytes(LINE)
    Path(tmp_path, "provider=a", "nowhere").symlink_to("no such file")
    (tmp_path / "provider=a/link").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "provider=a/pipe")
    opened = Path.read_bytes

    def read(self: Path) -> bytes:
        if self.name == "locked":
            raise PermissionError(13, "Permission denied", str(self))
        return opened(self)

    monkeypatch.setattr(Path, "read_bytes", read)

    plan = own_plan(tmp_path)

    assert [part.key for part in plan.first["a"]] == [f"provider=a/{name}" for name in kept]
    breaks = "the laptop cloud does not store names with line breaks"
    assert plan.refused == (
        rf"provider=a/_SUCCESS\n is left out: {breaks}",
        "provider=a/link is left out: it is not a file",
        "provider=a/locked is left out: Permission denied",
        rf"provider=a/new\nline is left out: {breaks}",
        "provider=a/nowhere is left out: it is not a file",
        "provider=a/pipe is left out: it is not a file",
        f"{f'provider=a/{deep}'[:100]}… is left out: its path has 1017 bytes; {limit}",
        r"provider=a/\udcff is left out: its name is not UTF-8",
    )


@pytest.mark.parametrize("name", ["no such folder", "a file", "x" * 300])
def test_what_is_not_a_folder_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "a file").write_bytes(LINE)
    with pytest.raises(DemoError, match=f"{name} (is not a folder|cannot be read: File name too long)"):
        own_plan(tmp_path / name)


def test_a_folder_of_mappings_that_does_not_exist_is_named(tmp_path: Path) -> None:
    write(tmp_path, **{"provider=a/1": LINE})
    with pytest.raises(DemoError, match="nowhere cannot be read: No such file or directory"):
        standardize.own_plan(tmp_path, tmp_path / "nowhere")


def test_no_row_is_expected_of_a_file_with_a_bad_row(tmp_path: Path) -> None:
    orders = Path(__file__).parents[1] / "data/orders"
    good = (orders / "quoted.csv").read_bytes()
    write(tmp_path, **{"provider=a/good.csv": good, "provider=a/bad.csv": good.replace(b"12,0.5", b"twelve,0.5")})
    write(
        tmp_path, **{"provider=a/cut.csv.gz": gzip.compress(good)[:-9], "a.yaml": (orders / "quoted.yaml").read_bytes()}
    )

    plan = standardize.own_plan(tmp_path, tmp_path)

    assert {key: len(rows) for key, rows in plan.expected.items()} == {
        "provider=a/bad.csv": 0,
        "provider=a/cut.csv.gz": 0,
        "provider=a/good.csv": 3,
    }


def test_lines_that_are_no_change_records_have_ids_too() -> None:
    ids = row_ids(lines_of(b'[1]\n\xff\n\n{"eventID": "e"}'), "log/key")

    assert len(set(ids)) == 3
    assert ids[2] == "e"
    assert lines_of(gzip.compress(LINE)[:-9]) == []
