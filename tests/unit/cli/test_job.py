"""`fanout job try`: the code of a job on local files."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cli import jobs
from cli.command import Operator
from cli.commands import job
from cli.deployment import Where
from cli.errors import Exit, UsageError
from cli.main import app
from tests.unit.job.records import export, kinesis, line, stream

ORDERS = Path(__file__).parents[2] / "data/orders"
CORRECT_INPUT = "Correct the object, or set OnBadRecord=quarantine and run the provider again."
CORRECT_JOB = "Correct the job's script and deploy again. The run's log shows the line of the error."


@pytest.fixture
def glue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for the job scripts `mine` and `shop`, in place of glue/."""
    folder = tmp_path / "glue"
    folder.mkdir()
    monkeypatch.setattr(jobs, "GLUE", folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield folder
    for name in ("mine", "shop"):
        sys.modules.pop(name, None)


def tried(capsys: pytest.CaptureFixture[str], *files: Path, status: Exit = Exit.OK, **options: Any) -> Any:
    """The report as JSON."""
    operator = Operator(Where(None), json=True)
    assert job.try_job(SimpleNamespace(obj=operator), list(files), **options) == status  # type: ignore[arg-type]
    return json.loads(capsys.readouterr().out)


def write(path: Path, *lines: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    body = b"\n".join(lines)
    path.write_bytes(gzip.compress(body) if path.suffix == ".gz" else body)
    return path


def test_the_messages_of_files_and_folders_are_shown(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    plain = write(tmp_path / "plain.jsonl", line(stream()), b"", line(stream("REMOVE", NewImage=None)))
    write(tmp_path / "log/provider=acme/a b\n.gz", line(kinesis()))
    write(tmp_path / "log/provider=acme/_SUCCESS")
    (tmp_path / "log/link").symlink_to(tmp_path)
    (tmp_path / "log/nowhere").symlink_to("no such file")

    report = tried(capsys, plain, tmp_path / "log", rows=2)

    assert (report["kind"], report["files"], report["made"], report["bad"], report["errors"]) == (
        "message",
        2,
        3,
        0,
        [],
    )
    assert report["ignored"] == [str(tmp_path / "log" / name) for name in ("link", "nowhere", "provider=acme/_SUCCESS")]
    first, second = report["shown"]
    assert (first["type"], first["provider"]) == ("dynamodb.modify", "example")
    assert first["source"] == "/glue-fanout/dev/change_log/example"
    assert first["data"]["new"] == {"pk": "a", "sk": 7, "price": 1.5}
    assert second["type"] == "dynamodb.remove"
    assert [one["provider"] for one in tried(capsys, tmp_path / "log")["shown"]] == ["acme"]


def test_a_number_with_more_digits_than_a_float_is_shown_as_text(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    digits, large = "0.1234567890123456789012345678901234567", 2**70
    file = write(tmp_path / "a", line(stream(NewImage={"n": {"N": digits}, "i": {"N": str(large)}})))
    assert tried(capsys, file)["shown"][0]["data"]["new"] == {"n": digits, "i": large}


@pytest.mark.parametrize(
    ("name", "body", "where", "message"),
    [
        ("csv", b"id,name\n1,2\n", 1, "is CSV, not JSON lines"),
        ("parquet", b"PAR1\x15\x04\0\0", 1, "is Parquet, which the job does not read; write text"),
        ("x.gz", gzip.compress(line(stream()))[:-9], 1, "is truncated gzip"),
        ("plain.gz", line(stream()), 1, "is named .gz but is not gzip"),
    ],
)
def test_a_bad_file_is_an_error_and_the_others_are_tried(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, body: bytes, where: int, message: str
) -> None:
    (tmp_path / name).write_bytes(body)

    report = tried(capsys, tmp_path / name, write(tmp_path / "good", line(export())), status=Exit.UNHEALTHY)

    assert (report["made"], report["bad"]) == (1, 1)
    (error,) = report["errors"]
    assert error["raised"] is None
    assert error["failure"] == {
        "type": "CorruptObjectError",
        "message": message,
        "cause": message,
        "advice": CORRECT_INPUT,
        "object": str(tmp_path / name),
        "line": where,
        "unit": "line",
        "transient": False,
    }


def test_an_empty_file_has_no_messages(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    report = tried(capsys, write(tmp_path / "empty"))
    assert (report["files"], report["made"], report["bad"]) == (1, 0, 0)


def test_all_bad_lines_are_counted_and_the_first_are_listed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = write(tmp_path / "a", line(stream()), *[b"{"] * 250, line(stream()))

    report = tried(capsys, file, status=Exit.UNHEALTHY)

    assert (report["made"], report["bad"]) == (2, 250)
    assert [error["failure"]["line"] for error in report["errors"]] == list(range(2, 102))


TRANSFORM = """
def transform(change):
    print("a line of the user")
    if change.operation == "remove":
        return {"price": change.new["price"]}
    if change.operation == "insert":
        return {"unit": {1, 2}}
    return change.data
"""


def test_errors_of_the_user_s_function_have_their_text_and_the_user_s_line(
    glue: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (glue / "mine.py").write_text(TRANSFORM)
    removed, inserted = stream("REMOVE", NewImage=None), stream("INSERT", OldImage=None)
    file = write(tmp_path / "a", line(removed), line(inserted), line(stream()))

    report = tried(capsys, file, job="mine", status=Exit.UNHEALTHY)

    assert (report["made"], report["bad"]) == (1, 2)
    first, second = report["errors"]
    assert first["failure"]["message"] == "transform raised TypeError at mine.py:5"
    assert first["raised"] == "TypeError: 'NoneType' object is not subscriptable"
    assert (first["failure"]["line"], first["failure"]["advice"]) == (1, CORRECT_JOB)
    assert second["failure"]["message"] == (
        "the payload cannot be written as JSON, or is nested too deeply: transform at mine.py:2"
    )
    assert "set" in second["raised"]


def test_the_answer_as_text_ends_with_what_to_do(
    glue: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (glue / "mine.py").write_text(TRANSFORM)
    file = write(tmp_path / "a", line(stream("REMOVE", NewImage=None)), line(stream()), line(stream()))

    operator = SimpleNamespace(obj=Operator(Where(None)))
    assert job.try_job(operator, [file], job="mine", rows=1) == Exit.UNHEALTHY  # type: ignore[arg-type]

    said = capsys.readouterr()
    assert said.err == "a line of the user\n" * 3
    head, _, tail = said.out.partition("\n}\n\n")
    assert json.loads(head + "}")["type"] == "dynamodb.modify"
    assert tail.splitlines() == [
        "2 messages from 1 file, 1 bad; 1 shown",
        f"{file}, line 1: transform raised TypeError at mine.py:5 (TypeError: 'NoneType' object is not subscriptable)",
        CORRECT_JOB,
    ]


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("def transform(change)\n", r"mine\.py cannot be imported: SyntaxError: .*\(mine.py, line 1\)"),
        ("import sys\n1 / 0\n", r"mine\.py cannot be imported: ZeroDivisionError at mine.py:2: division by zero"),
        ("import no_such\n", r"ModuleNotFoundError at mine.py:1: No module named 'no_such'; run `make setup`"),
        ("x = 1\n", "glue/mine.py has no MODEL, no `transform` and no `handler`"),
    ],
)
def test_a_script_that_cannot_be_used_is_an_error_that_names_the_line(
    glue: Path, tmp_path: Path, script: str, message: str
) -> None:
    (glue / "mine.py").write_text(script)
    with pytest.raises(UsageError, match=message):
        job.try_job(SimpleNamespace(obj=None), [write(tmp_path / "a")], job="mine")  # type: ignore[arg-type]


def test_native_spark_code_is_not_called(glue: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (glue / "mine.py").write_text("def transform(change): return change.data\ndef etl(changes): return changes\n")
    operator = SimpleNamespace(obj=Operator(Where(None), json=True))
    assert job.try_job(operator, [write(tmp_path / "a", line(stream()))], job="mine") == Exit.OK  # type: ignore[arg-type]
    assert "`etl` needs Spark, so it is not called" in capsys.readouterr().err


def test_the_rows_of_a_mapping_are_shown_with_the_errors_of_the_user_s_function(
    glue: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (glue / "shop.py").write_text(
        "from standardize import MODEL\n\ndef transform(record):\n    assert record['quantity'] != 2, 'two'\n"
        "    return record\n"
    )
    bad = tmp_path / "provider=semicolons/bad.csv"
    write(bad, b"no such columns")

    report = tried(
        capsys,
        ORDERS / "semicolons.csv",
        bad,
        job="shop",
        mapping=ORDERS / "semicolons.yaml",
        status=Exit.UNHEALTHY,
    )

    assert (report["kind"], report["files"], report["made"], report["bad"]) == ("row", 2, 2, 2)
    assert [row["order_id"] for row in report["shown"]] == ["D-2", "D-3"]
    transform, columns = report["errors"]
    assert transform["failure"]["type"] == "TransformError"
    assert transform["failure"]["message"] == "transform, or what it returned, raised AssertionError at shop.py:4"
    assert (transform["failure"]["unit"], transform["raised"]) == ("row", "AssertionError: two")
    assert columns["failure"]["object"] == str(bad)


def test_a_whole_job_runs_and_what_it_writes_is_shown(
    glue: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    page = (Path(__file__).parents[3] / "docs/how-to/your-own-job.md").read_text(encoding="utf-8")
    (glue / "mine.py").write_text(page.partition("```python\n")[2].partition("```")[0])
    rows = [
        b'{"time": "2026-11-24T23:59:00Z"}',
        b'{"time": "2026-11-25T00:01:00Z"}',
        b'{"time": "2026-11-25T08:00:00Z"}',
    ]
    good = write(tmp_path / "provider=acme/good.gz", *rows)
    bad = write(tmp_path / "provider=b/bad.jsonl", rows[0], b"{}", b"x", rows[1])

    report = tried(capsys, bad, good, job="mine", status=Exit.UNHEALTHY)

    assert (report["kind"], report["files"], report["made"], report["bad"]) == ("output", 2, 2, 2)
    assert report["shown"] == [
        {"key": f"output/{good}.json", "content": {"2026-11-24": 1, "2026-11-25": 2}},
        {"key": f"output/{bad}.json", "content": {"2026-11-24": 1, "2026-11-25": 1}},
    ]
    assert [(error["failure"]["object"], error["failure"]["line"]) for error in report["errors"]] == [
        (str(bad), 2),
        (str(bad), 3),
    ]
    assert {error["failure"]["message"] for error in report["errors"]} == {"has no time"}


def test_a_whole_job_that_raises_names_the_file_and_the_user_s_line(
    glue: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (glue / "mine.py").write_text(
        "from fanout_job import run\n\ndef one(source):\n    return {}[source.object.size]\n\n"
        "def work(this):\n    this.each_object(one)\n\n"
        "def handler(event, context):\n    return run.in_lambda(event, context, work)\n"
    )
    file = write(tmp_path / "a", b"x")

    report = tried(capsys, file, job="mine", status=Exit.UNHEALTHY)

    assert (report["made"], report["bad"]) == (0, 1)
    (error,) = report["errors"]
    assert (error["failure"]["object"], error["failure"]["message"]) == (str(file), "KeyError at mine.py:4")


def test_a_job_that_needs_another_service_is_named(
    glue: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (glue / "mine.py").write_text(
        "from fanout_job import run\nfrom fanout_job.clients import aws_client\n\n"
        "def handler(event, context):\n    return run.in_lambda(event, context, lambda this: aws_client('sqs'))\n"
    )
    (error,) = tried(capsys, write(tmp_path / "a"), job="mine", status=Exit.UNHEALTHY)["errors"]
    assert error["failure"]["message"] == "the job uses sqs, which a trial on local files does not have"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"job": "no_such"}, "there is no job no_such for --job; it may be change_log, standardize"),
        ({"job": "../cli/main"}, "there is no job .* for --job; it may be change_log, standardize"),
        ({"job": "library"}, "there is no job .* for --job; it may be change_log, standardize"),
        ({"job": "standardize"}, "glue/standardize.py reads files by a mapping; add --mapping FILE"),
        ({"mapping": ORDERS / "semicolons.yaml"}, "glue/change_log.py has no MODEL, so it does not use --mapping"),
    ],
)
def test_options_that_do_not_fit_are_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        job.try_job(SimpleNamespace(obj=None), [write(tmp_path / "a")], **options)  # type: ignore[arg-type]


def test_a_folder_without_data_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "_SUCCESS")
    with pytest.raises(UsageError, match="no file is data, 1 ignored"):
        job.try_job(SimpleNamespace(obj=None), [tmp_path])  # type: ignore[arg-type]


def test_a_file_that_cannot_be_read_is_bad(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked, good = write(tmp_path / "locked", b"x"), write(tmp_path / "good", line(stream()))
    opened = Path.open

    def guarded(self: Path, *how: Any, **more: Any) -> Any:
        if self == locked:
            raise PermissionError(13, "Permission denied")
        return opened(self, *how, **more)

    monkeypatch.setattr(Path, "open", guarded)

    report = tried(capsys, locked, good, status=Exit.UNHEALTHY)

    assert report["made"] == 1
    (error,) = report["errors"]
    assert (error["failure"]["object"], error["failure"]["type"]) == (str(locked), "UnreadableObjectError")
    assert error["failure"]["message"] == "cannot be read (Permission denied)"
    assert error["failure"]["advice"] == "Let your user read the file."


def test_a_missing_file_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        app(["job", "try", "no/such/folder"])
    assert left.value.code == 2
    assert "does not exist" in capsys.readouterr().err
