"""`fanout mapping`: checks of samples, and mappings in the data bucket."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from cli.command import Operator
from cli.commands import mapping
from cli.deployment import Where
from cli.errors import Exit, UsageError

ORDERS = Path(__file__).parents[2] / "data/orders"
BAD_FIRST_ROW = b"Bestellnr;Bestellt am;Menge;Einzelpreis\nX-1;31.12.2025 23:30;two;1,00\nX-2;31.12.2025 23:31;2;1,00\n"


class Stack:
    """A stack whose data bucket is versioned."""

    def __init__(self) -> None:
        self.s3 = boto3.client("s3", region_name="us-east-1")
        self.s3.create_bucket(Bucket="data")
        self.s3.put_bucket_versioning(Bucket="data", VersioningConfiguration={"Status": "Enabled"})

    def client(self, service: str) -> Any:
        return self.s3

    def output(self, name: str) -> str:
        return {"DataBucketName": "data"}[name]


@pytest.fixture
def ctx() -> Iterator[Any]:
    from moto import mock_aws

    with mock_aws():
        stack = Stack()
        operator = Operator(Where(None), json=True, connect=lambda where: stack)  # type: ignore[arg-type,return-value]
        yield SimpleNamespace(obj=operator)


def answer(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_a_check_shows_the_rows_that_the_job_would_write(ctx: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert mapping.check(ctx, ORDERS / "semicolons.yaml", ORDERS / "semicolons.csv", rows=1) == Exit.OK

    report = answer(capsys)
    assert (report["rows"], report["bad"], len(report["shown"])) == (3, 0, 1)
    assert report["shown"][0]["unit_price"] == "1249.90"
    assert report["empty"] == {"customer": 1, "weight_kg": 1, "gift": 1, "delivery_date": 1}
    assert report["shown"][0]["ordered_at"] == "2025-12-31T22:30:00Z"


def test_a_check_names_every_invalid_row_and_exits_with_status_1(
    ctx: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    rules = tmp_path / "shop.yaml"
    rules.write_text(
        'csv: {delimiter: ";"}\ndecimal: ","\nfields: {order_id: Bestellnr, quantity: Menge, unit_price: Einzelpreis, '
        'ordered_at: {from: Bestellt am, format: "%d.%m.%Y %H:%M"}, currency: {value: EUR}}\n'
    )
    sample = tmp_path / "sample.csv"
    sample.write_bytes(BAD_FIRST_ROW)

    assert mapping.check(ctx, rules, sample) == Exit.UNHEALTHY

    report = answer(capsys)
    assert (report["rows"], report["bad"]) == (1, 1)
    (invalid,) = report["errors"]
    assert invalid["failure"]["message"] == "quantity (from 'Menge') is not a valid integer"
    assert [invalid["failure"][name] for name in ("object", "line", "unit")] == [str(sample), 1, "row"]
    assert invalid["values"] == {"Menge": "two"}
    assert invalid["tried"] == "decimal separator ',', no thousands separator"


def test_a_check_shows_the_value_the_format_and_the_columns_of_the_sample(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = tmp_path / "shop.yaml"
    rules.write_text(
        'csv: {delimiter: ";"}\ndecimal: ","\nfields: {order_id: Bestellnr, quantity: Menge, unit_price: Einzelpreis, '
        'ordered_at: {from: Bestellt am, format: "%Y/%m/%d"}, currency: {value: EUR}}\n'
    )
    sample = tmp_path / "sample.csv"
    sample.write_bytes(BAD_FIRST_ROW)
    operator = Operator(Where(None), json=False, connect=lambda where: Stack())  # type: ignore[arg-type,return-value]

    assert mapping.check(SimpleNamespace(obj=operator), rules, sample) == Exit.UNHEALTHY  # type: ignore[arg-type]

    said = " ".join(capsys.readouterr().out.split())
    assert "0 valid rows, 2 invalid" in said
    assert "the sample has: Bestellnr, Bestellt am, Menge, Einzelpreis" in said
    assert "('Bestellt am' is '31.12.2025 23:31'; tried: format '%Y/%m/%d', time zone UTC)" in said


@pytest.mark.parametrize(
    ("records", "fields"),
    [
        ("xml: {record: Ntry, namespaces: {'': 'urn:iso:std:iso:20022:tech:xsd:camt.053.001.08'}}", "../Acct/Id/IBAN"),
        ("xml: {record: Entry}", "records: Ntry"),
    ],
)
def test_a_check_lists_the_paths_of_a_document_or_its_records(
    ctx: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path, records: str, fields: str
) -> None:
    rules = tmp_path / "bank.yaml"
    payments = (ORDERS.parent / "documents/payments.yaml").read_text().splitlines(keepends=True)
    rules.write_text("".join([records, "\nempty: allowed\n", *payments[2:]]))

    mapping.check(ctx, rules, ORDERS.parent / "documents/provider=payments/camt053.xml")

    assert fields in answer(capsys)["fields"]


def test_a_missing_column_is_reported_with_the_columns_that_exist(
    ctx: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    sample = tmp_path / "sample.csv"
    sample.write_bytes(BAD_FIRST_ROW)

    assert mapping.check(ctx, ORDERS / "semicolons.yaml", sample) == Exit.UNHEALTHY

    report = answer(capsys)
    assert report["fields"] == ["Bestellnr", "Bestellt am", "Menge", "Einzelpreis"]
    (error,) = report["errors"]
    assert error["failure"]["object"] == str(sample)
    assert error["failure"]["message"] == "its header has no column 'Kunde'"


def test_a_suggested_mapping_passes_the_check(ctx: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    sample = ORDERS.parent / "documents/provider=orders/orders.json"
    mapping.suggest_mapping(ctx, [sample])
    suggested = tmp_path / "shop.yaml"
    suggested.write_text(answer(capsys)["mapping"])
    assert mapping.check(ctx, suggested, sample) == Exit.OK


def test_no_mapping_is_suggested_for_a_workbook(ctx: Any, tmp_path: Path) -> None:
    book = tmp_path / "book.xls"
    book.write_bytes(b"\xd0\xcf\x11\xe0" + bytes(99))
    with pytest.raises(UsageError, match=r"no mapping can be suggested from .*book.xls: is an office document"):
        mapping.suggest_mapping(ctx, [book])


def test_an_invalid_mapping_is_rejected_with_its_line_and_not_uploaded(ctx: Any, tmp_path: Path) -> None:
    rules = tmp_path / "shop.yaml"
    rules.write_text("csv:\nfields:\n  hue: c\n")

    with pytest.raises(UsageError, match=r"shop\.yaml, line 3.*not a field of the model"):
        mapping.put_mapping(ctx, "acme", rules)
    assert mapping._stored(ctx.obj.stack, "") == []


def test_uploaded_mappings_are_listed_and_each_version_can_be_read(
    ctx: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    versions = []
    for name in ("semicolons", "quoted"):
        mapping.put_mapping(ctx, "acme", ORDERS / f"{name}.yaml")
        versions.append(answer(capsys)["version"])
    mapping.put_mapping(ctx, "acme2", ORDERS / "array.yaml")
    capsys.readouterr()

    mapping.list_mappings(ctx)
    assert [one["provider"] for one in answer(capsys)["mappings"]] == ["acme", "acme2"]
    mapping.get_mapping(ctx, "acme")
    assert answer(capsys)["text"] == (ORDERS / "quoted.yaml").read_text()
    mapping.get_mapping(ctx, "acme", versions[0])
    assert answer(capsys)["text"] == (ORDERS / "semicolons.yaml").read_text()


def test_a_second_mapping_of_a_provider_in_another_format_is_rejected(ctx: Any, tmp_path: Path) -> None:
    mapping.put_mapping(ctx, "acme", ORDERS / "array.yaml")
    other = tmp_path / "array.json"
    fields = ("order_id", "ordered_at", "quantity", "unit_price", "currency")
    other.write_text(json.dumps({"json": {}, "fields": {name: name for name in fields}}))

    with pytest.raises(UsageError, match=r"has mappings/acme\.yaml"):
        mapping.put_mapping(ctx, "acme", other)


def test_for_a_provider_without_a_mapping_the_error_says_how_to_upload_one(ctx: Any) -> None:
    with pytest.raises(UsageError, match="fanout mapping put acme FILE"):
        mapping.get_mapping(ctx, "acme")


@pytest.mark.parametrize(
    ("job", "why"),
    [("change_log", "has no MODEL"), ("nothing_here", "there is no job nothing_here for --job; it may be change_log")],
)
def test_a_job_without_a_model_has_no_mappings(ctx: Any, job: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        mapping.put_mapping(ctx, "acme", ORDERS / "array.yaml", job)
