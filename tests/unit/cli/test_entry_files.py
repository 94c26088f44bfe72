"""Import, export and sync of the list of providers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cli.entry_files import parse, write
from cli.errors import UsageError
from fanout.errors import ConfigApiUnavailableError
from tests.unit.cli.api import Api, fanout, use

FORMATS = ("json", "yaml", "csv")
REPORTED = {"status": "succeeded", "last_success": "Tue, 08 Nov 2022 15:47:17 GMT"}

texts = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00"), max_size=20)
values = st.recursive(
    st.booleans() | st.integers(-(10**15), 10**15) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=4,
)
entries = st.dictionaries(
    st.from_regex(r"[A-Za-z0-9]{1,8}", fullmatch=True),
    st.fixed_dictionaries(
        {"frequency": st.integers(1, 500_000)},
        optional={
            "group": st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=9),
            "at": st.sampled_from(["06:00", "16:00"]),
            "paused": st.booleans(),
            "owner": values,
        },
    ),
    max_size=4,
)


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Api:
    found = Api({"kept": {"frequency": "15", **REPORTED}, "other": {"frequency": 60, "owner": "sales", **REPORTED}})
    use(found, monkeypatch)
    return found


@pytest.mark.parametrize("form", FORMATS)
@given(given_entries=entries)
@example(given_entries={"a": {"frequency": 1, "owner": "\x85"}})
def test_what_is_written_is_read_back(form: str, given_entries: dict[str, Any]) -> None:
    assert parse(write(given_entries, form).encode(), form, "file") == given_entries


def test_a_csv_of_a_spreadsheet_is_read() -> None:
    content = "\ufeffprovider;frequency;group;at;paused;limits\r\nacme;15;007;16:00;true;[1]\r\n;;;;;\r\nb;60;;;;\r\n"

    assert parse(content.encode(), "csv", "file") == {
        "acme": {"frequency": 15, "group": "007", "at": "16:00", "paused": True, "limits": [1]},
        "b": {"frequency": 60},
    }


def test_a_csv_has_no_formulas() -> None:
    text = write({"a": {"frequency": 1, "group": "=1+1", "owner": "@SUM(A1)"}}, "csv")

    assert text.splitlines()[1] == 'a,1,"""=1+1""","""@SUM(A1)"""'


def test_yaml_takes_no_time_for_a_number_and_no_word_for_a_boolean() -> None:
    content = b"no: {frequency: 15, at: 16:00, owner: yes, since: 2026-01-01, paused: true}"

    assert parse(content, "yaml", "file") == {
        "no": {"frequency": 15, "at": "16:00", "owner": "yes", "since": "2026-01-01", "paused": True}
    }


@pytest.mark.parametrize(
    ("form", "content", "reason"),
    [
        ("json", b'{"a": {"frequency": 1}, "a": {"frequency": 2}}', "a appears more than once"),
        ("json", b'{"a": {"frequency": NaN}}', "NaN is not JSON"),
        ("json", b"[" * 100_000, "nested too deeply"),
        ("json", b"[]", "must contain one object"),
        ("json", b'{"a": {"frequency": "often"}}', "invalid entries: a: frequency"),
        ("json", b'{"../a": {"frequency": 1}}', "is not allowed"),
        ("json", b"\xff\xfe", "is not UTF-8 at byte 0; save it as UTF-8"),
        ("json", b'{"a": 5}', "invalid entries: a: "),
        ("json", b'{"a": {"frequency": 1, "paused": "yes"}}', "a: paused: must be true or false"),
        ("json", b'{"a": {"frequency": 1, "note": 1e999}}', "a: Out of range float values"),
        ("json", b'{"a": {"frequency": 1, "note": "%s"}}' % (b"x" * 65536), "a: the entry is longer than 64 KB"),
        ("yaml", b"a: {frequency: 1}\na: {frequency: 2}", "a appears more than once"),
        ("yaml", b"1: {frequency: 1}", "the name 1 must be text; write it in quotes"),
        ("yaml", b"a: &x {frequency: 1}\nb: *x", "aliases are not supported"),
        ("yaml", b"a: !!python/object:os.system {}", "is not valid YAML"),
        ("yaml", b"a: {frequency: 1, d: !!timestamp 2026-01-01}", "a: Object of type date is not JSON serializable"),
        ("yaml", b"[" * 5000, "is not valid YAML"),
        ("csv", b"", "one of them must be provider"),
        ("csv", b"name,frequency\na,1\n", "one of them must be provider"),
        ("csv", b"provider,frequency\na,1,2\n", "line 2 has 3 values for 2 columns"),
        ("csv", b"provider,frequency\na,1\na,2\n", "a appears more than once, again in line 3"),
        ("csv", b"provider,frequency\na,1e999\nb,often\n", "b: frequency: must be a number of minutes"),
        ("csv", b"provider,frequency,paused\na,1,maybe\n", "a: paused: must be true or false"),
        ("csv", b"provider,frequency,frequency\na,1,1\n", "a column appears more than once"),
        ("csv", b'provider,frequency\n"a,1\n', "is not valid CSV"),
        ("csv", b"provider,frequency\n\x1b[2J,1\n", "is not allowed"),
        ("csv", b"provider,frequency\n,1\n", "is not allowed"),
    ],
)
def test_an_invalid_file_is_refused_with_the_reason(form: str, content: bytes, reason: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse(content, form, "file")

    assert reason in str(refused.value)
    assert "\x1b" not in str(refused.value)


def test_an_import_shows_differences_and_keeps_what_the_file_lacks(api: Api, tmp_path: Path) -> None:
    file = tmp_path / "tenants.csv"
    file.write_text("provider,frequency,group\nkept,15,\nother,30,europe\nnew,60,\n")

    dry = fanout("providers", "import", str(file), "--dry-run")
    assert dry.stdout.splitlines() == [
        "1 would be added: new",
        "1 would be changed: other",
        "  fields of those added: frequency",
        "1 provider unchanged",
        "  other: frequency: 60 -> 30, group: - -> europe",
    ]
    assert fanout("providers", "import", str(file)).exit_code == 2
    assert api.changes == []

    done = fanout("providers", "import", str(file), "--yes")

    assert (done.exit_code, done.stdout.splitlines()[:2]) == (0, ["1 added: new", "1 changed: other"])
    assert api.listed["other"] == {"frequency": 30, "owner": "sales", "group": "europe", **REPORTED}
    assert api.listed["new"] == {"frequency": 60}
    assert fanout("providers", "import", str(file)).stdout == "3 providers unchanged\n"


def test_sync_makes_the_list_equal_to_the_file(api: Api, tmp_path: Path) -> None:
    file = tmp_path / "tenants.yaml"
    file.write_text("other: {frequency: 60}\nnew: {frequency: 5}\n")

    done = fanout("providers", "sync", str(file), "--yes", "--json")

    report = json.loads(done.stdout)
    assert (report["added"], report["changed"], report["removed"]) == (
        ["new"],
        {"other": {"owner": ["sales", None]}},
        ["kept"],
    )
    assert api.listed == {"other": {"frequency": 60, **REPORTED}, "new": {"frequency": 5}}


def test_sync_with_a_file_without_providers_removes_nothing(api: Api, tmp_path: Path) -> None:
    file = tmp_path / "tenants.json"
    file.write_text("{}")

    refused = fanout("providers", "sync", str(file), "--yes")

    assert (refused.exit_code, api.changes) == (2, [])
    assert "fanout remove --all" in refused.stderr


@pytest.mark.parametrize("suffix", FORMATS)
def test_an_export_is_equal_to_the_list(api: Api, tmp_path: Path, suffix: str) -> None:
    file = tmp_path / "new" / f"providers.{suffix}"

    assert fanout("providers", "export", str(file)).exit_code == 0

    assert "succeeded" not in file.read_text()
    assert fanout("providers", "sync", str(file), "--yes").stdout == "2 providers unchanged\n"


def test_an_export_can_include_reports_and_names_what_it_leaves_out(api: Api) -> None:
    api.listed |= {"../evil\x1b[2J": {"frequency": 1}, "broken": None}

    done = fanout("providers", "export", "--reports", "--format", "yaml")

    assert done.exit_code == 1
    assert "left out 2 invalid entries: ../evil\\x1b[2J, broken" in done.stderr
    assert parse(done.stdout.encode(), "yaml", "-")["other"] == api.listed["other"]


def test_5000_providers_are_imported_from_standard_input_and_failures_are_named(api: Api) -> None:
    wanted = {f"p{number:04}": {"frequency": 15} for number in range(5000)}
    api.refuse = lambda method, provider: ConfigApiUnavailableError("down") if provider == "p4321" else None

    done = fanout("providers", "import", "-", "--yes", "--json", stdin=json.dumps(wanted))

    report = json.loads(done.stdout)
    assert (done.exit_code, len(report["added"]), report["failed"]) == (1, 4999, {"p4321": "down"})
    api.refuse = lambda method, provider: None
    again = fanout("providers", "import", "-", "--yes", stdin=json.dumps(wanted))
    assert (again.exit_code, again.stdout.splitlines()[0]) == (0, "1 added: p4321")


def test_a_provider_that_was_added_meanwhile_is_not_overwritten(api: Api, tmp_path: Path) -> None:
    file = tmp_path / "one.json"
    file.write_text('{"new": {"frequency": 5}}')
    listed = api.listed

    def added_by_another(method: str, provider: str) -> None:
        listed.setdefault("new", {"frequency": 99})

    api.refuse = added_by_another
    done = fanout("providers", "import", str(file), "--yes")

    assert (done.exit_code, listed["new"]) == (2, {"frequency": 99})
    assert "new exists already" in done.stderr


def test_an_unknown_format_or_a_missing_file_is_an_error(api: Api, tmp_path: Path) -> None:
    assert "use .json, .yaml or .csv" in fanout("providers", "import", str(tmp_path / "a.txt")).stderr
    assert "No such file" in fanout("providers", "sync", str(tmp_path / "a.csv")).stderr
    assert fanout("providers", "export", "--format", "xml").exit_code == 2


def test_the_cells_of_a_csv_are_read_without_surrounding_spaces_and_with_the_booleans_of_spreadsheets() -> None:
    content = b"provider, frequency, group, paused, note\nacme , 15, retail, TRUE, TRUE\nb,15,r, False ,\n"

    assert parse(content, "csv", "file") == {
        "acme": {"frequency": 15, "group": "retail", "paused": True, "note": "TRUE"},
        "b": {"frequency": 15, "group": "r", "paused": False},
    }


@pytest.mark.parametrize("place", ["a file/x.csv", f"{'x' * 300}.csv"])
def test_an_export_that_cannot_be_written_is_an_error(api: Api, tmp_path: Path, place: str) -> None:
    (tmp_path / "a file").touch()

    done = fanout("providers", "export", str(tmp_path / place))

    assert (done.exit_code, "cannot be written: " in done.stderr) == (2, True)


def test_a_preview_counts_the_changed_providers_that_it_does_not_list(api: Api, tmp_path: Path) -> None:
    names = [f"p{number:02}" for number in range(22)]
    api.listed.update({name: {"frequency": 15} for name in names})
    file = tmp_path / "all.json"
    file.write_text(json.dumps({name: {"frequency": 30} for name in names}))

    lines = fanout("providers", "import", str(file), "--dry-run").stdout.splitlines()

    assert (len([line for line in lines if "15 -> 30" in line]), lines[-1]) == (20, "  and 2 more; --json has all")
