"""Public document types become the tables that people want: each value equals an independent reading of the file."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from xml.etree import ElementTree
from zoneinfo import ZoneInfo

import pytest

from fanout_job import standard
from fanout_job.mapping import Mapping
from tests.unit.job.documents import DOCUMENTS, TABLES

Table = list[dict[str, Any]]
BERLIN = ZoneInfo("Europe/Berlin")


def converted(name: str) -> list[Any]:
    file, mapping, model = TABLES[name]
    parsed = Mapping.parse((DOCUMENTS / mapping).read_bytes(), mapping)
    with (DOCUMENTS / file).open("rb") as sample:
        return [row if isinstance(row, dict) else str(row) for _, row in standard.check(parsed, model, sample, file)]


def tree(name: str) -> ElementTree.Element:
    return ElementTree.parse(DOCUMENTS / name).getroot()  # noqa: S314 - files of this repository


def text_of(element: ElementTree.Element, *paths: str, space: dict[str, str] | None = None) -> str | None:
    return next((found for path in paths if (found := element.findtext(path, None, space))), None)


def document(name: str) -> Any:
    return json.loads((DOCUMENTS / name).read_text(encoding="utf-8"), parse_float=Decimal)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def ubl() -> Table:
    root = tree("provider=ubl-invoice/ubl-invoice.xml")
    space = {
        "cac": "urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2",
        "cbc": "urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2",
    }
    buyer = root.find("cac:AccountingCustomerParty/cac:Party", space)
    assert buyer is not None
    return [
        {
            "order_id": text_of(root, "cbc:ID", space=space),
            "ordered_at": utc(f"{text_of(root, 'cbc:IssueDate', space=space)}T00:00:00+00:00"),
            "customer": text_of(buyer, "cac:PartyName/cbc:Name", space=space),
            "country": text_of(buyer, "cac:PostalAddress/cac:Country/cbc:IdentificationCode", space=space),
            "product": text_of(line, "cac:Item/cbc:Name", space=space),
            "quantity": int(Decimal(text_of(line, "cbc:InvoicedQuantity", space=space) or "")),
            "unit_price": Decimal(text_of(line, "cac:Price/cbc:PriceAmount", space=space) or ""),
            "currency": text_of(root, "cbc:DocumentCurrencyCode", space=space),
            "weight_kg": None,
            "gift": None,
            "delivery_date": None,
        }
        for line in root.findall("cac:InvoiceLine", space)
    ]


def camt() -> Iterator[dict[str, Any]]:
    root = tree("provider=payments/camt053.xml")
    space = {"": "urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"}
    for statement in root.findall("BkToCstmrStmt/Stmt", space):
        for entry in statement.findall("Ntry", space):
            amount = entry.find("Amt", space)
            assert amount is not None
            moment = text_of(entry, "BookgDt/DtTm", space=space)
            day = text_of(entry, "BookgDt/Dt", space=space)
            remittance = [e.text or "" for e in entry.findall("NtryDtls/TxDtls/RmtInf/Ustrd", space)]
            yield {
                "message": text_of(root, "BkToCstmrStmt/GrpHdr/MsgId", space=space),
                "statement": text_of(statement, "Id", space=space),
                "account": text_of(statement, "Acct/Id/IBAN", "Acct/Id/Othr/Id", space=space),
                "entry": text_of(entry, "NtryRef", space=space),
                "amount": Decimal(amount.text or ""),
                "currency": amount.get("Ccy"),
                "credit": text_of(entry, "CdtDbtInd", space=space) == "CRDT",
                "booked": utc(moment or f"{day}T00:00:00+02:00"),
                "text": " ".join(remittance) or text_of(entry, "AddtlNtryInf", space=space),
                "note": text_of(statement, "AddtlStmtInf", space=space),
            }


def gtfs() -> Table:
    with (DOCUMENTS / "gtfs-calendar-dates.txt").open(encoding="utf-8-sig", newline="") as file:
        return [
            {
                "service": row["service_id"],
                "day": datetime.strptime(row["date"], "%Y%m%d").date(),  # noqa: DTZ007 - a day
                "runs": row["exception_type"] == "1",
            }
            for row in csv.DictReader(file)
        ]


def rss() -> Iterator[dict[str, Any]]:
    root = tree("rss.xml")
    times = iter([utc("2024-05-06T07:08:09+00:00"), utc("2024-05-07T01:02:00+02:00")])
    for item in root.iter("item"):
        yield {
            "feed": root.findtext("channel/title"),
            "id": item.findtext("guid"),
            "title": item.findtext("title"),
            "url": item.findtext("link"),
            "published": next(times),
            "author": text_of(item, "{http://purl.org/dc/elements/1.1/}creator", "author"),
            "topics": ", ".join(one.text or "" for one in item.findall("category")) or None,
        }


def atom() -> Iterator[dict[str, Any]]:
    root = tree("atom.xml")
    space = {"": "http://www.w3.org/2005/Atom"}
    for entry in root.findall("entry", space):
        links = [
            link.get("href") for link in entry.findall("link", space) if link.get("rel", "alternate") == "alternate"
        ]
        yield {
            "feed": text_of(root, "title", space=space),
            "id": text_of(entry, "id", space=space),
            "title": text_of(entry, "title", space=space),
            "url": links[0],
            "published": utc(text_of(entry, "updated", space=space) or ""),
            "author": ", ".join(one.text or "" for one in entry.findall("author/name", space)) or None,
            "topics": ", ".join(one.get("term", "") for one in entry.findall("category", space)) or None,
        }


def osm() -> Iterator[dict[str, Any]]:
    for node in tree("osm.xml").findall("node"):
        tags = {tag.get("k"): tag.get("v") for tag in node.findall("tag")}
        yield {
            "id": int(node.get("id", "")),
            "lat": Decimal(node.get("lat", "")),
            "lon": Decimal(node.get("lon", "")),
            "name": tags.get("name:en") or tags.get("name"),
            "kind": tags.get("amenity"),
            "changed": utc(node.get("timestamp", "")),
        }


def osm_tags() -> Table:
    return [
        {"id": int(node.get("id", "")), "name": tag.get("k"), "kind": tag.get("v")}
        for node in tree("osm.xml").findall("node")
        for tag in node.findall("tag")
    ]


def geojson() -> Iterator[dict[str, Any]]:
    found = document("places.geojson")
    for feature in found["features"]:
        lon, lat, *_ = feature["geometry"]["coordinates"] if feature["geometry"] else (None, None)
        yield {
            "layer": found["name"],
            "id": feature["id"],
            "name": feature["properties"]["name"],
            "population": feature["properties"]["population"],
            "country": feature["properties"].get("addr:country"),
            "lon": lon,
            "lat": lat,
        }


def socrata() -> Iterator[dict[str, Any]]:
    found = document("provider=permits/socrata.json")
    view = found["meta"]["view"]
    for values in found["data"]:
        row = dict(zip((column["name"] for column in view["columns"]), values, strict=True))
        issued = row["Issue Date"]
        yield {
            "view": view["id"],
            "id": row["sid"],
            "created": datetime.fromtimestamp(row["created_at"], UTC),
            "permit": row["Permit Number"],
            "issued": None if issued is None else datetime.fromisoformat(issued).date(),
            "fee": Decimal(row["Fee Paid"]),
            "expired": row["Expired"],
        }


def orders() -> Iterator[dict[str, Any]]:
    for order in document("provider=orders/orders.json")["orders"]:
        for line in order["line_items"]:
            yield {
                "order_id": order["name"],
                "ordered_at": utc(order["created_at"]),
                "customer": (order["customer"] or {}).get("last_name"),
                "country": (order["shipping_address"] or {}).get("country_code"),
                "product": line["title"],
                "quantity": line["quantity"],
                "unit_price": Decimal(line["price"]),
                "currency": order["currency"],
                "weight_kg": Decimal(line["grams"]) / 1000,
                "gift": order.get("gift"),
                "delivery_date": None,
            }


def french_number(text: str) -> Decimal | None:
    digits = "".join(sign for sign in text if sign in "0123456789,-").replace(",", ".")
    return Decimal(digits) if digits else None


def communes() -> Iterator[dict[str, Any]]:
    with (DOCUMENTS / "communes.csv").open(encoding="cp1252", newline="") as file:
        for code, name, since, population, budget, rate in list(csv.reader(file, delimiter=";"))[1:]:
            percent = french_number(rate)
            yield {
                "code": code,
                "name": name,
                "since": date(*map(int, reversed(since.split("/")))) if since else None,
                "population": int(french_number(population) or 0),
                "budget": french_number(budget),
                "rate": None if percent is None else percent / 100,
            }


def population() -> Iterator[dict[str, Any]]:
    with (DOCUMENTS / "bevoelkerung.csv").open(encoding="cp1252", newline="") as file:
        for row in csv.reader(file, delimiter=";"):
            if len(row) == 4 and row[0]:
                before, after = (int(text) if text.isdigit() else None for text in row[2:])
                yield {"code": row[0], "name": row[1].strip(), "before": before, "after": after}


def excel() -> Iterator[dict[str, Any]]:
    with (DOCUMENTS / "provider=spreadsheet/excel.csv").open(encoding="utf-16", newline="") as file:
        for row in csv.reader(file, delimiter=";"):
            if not row[0].startswith("A-"):
                continue
            local = datetime(1899, 12, 30) + timedelta(days=float(row[1].replace(",", ".")))  # noqa: DTZ001
            amount = Decimal(row[4].strip("()$ ").replace(".", "").replace(",", "."))
            yield {
                "order": row[0],
                "ordered": local.replace(tzinfo=BERLIN).astimezone(UTC),
                "item": row[2],
                "quantity": int(row[3].split(",")[0]),
                "amount": -amount if row[4].startswith("(") else amount,
                "discount": Decimal(row[5].strip("%").replace(",", ".")) / 100 if row[5] else None,
                "remark": None,
            }


def log() -> Iterator[dict[str, Any]]:
    for line in (DOCUMENTS / "log.ndjson").read_text(encoding="utf-8").splitlines():
        if line:
            record = json.loads(line, parse_float=Decimal)
            yield {
                "at": utc(record["@timestamp"]),
                "written": datetime.fromtimestamp(0, UTC) + timedelta(microseconds=int(record["ts"] * 10**6)),
                "level": record["log.level"],
                "service": record["service"]["name"],
                "text": record.get("message") or record["error"]["message"],
                "status": record.get("http", {}).get("response", {}).get("status_code"),
                "tags": ",".join(record.get("tags", ())) or None,
            }


READINGS: dict[str, Callable[[], Any]] = {
    "ubl": ubl,
    "camt.053": camt,
    "gtfs": gtfs,
    "rss": rss,
    "atom": atom,
    "osm": osm,
    "osm tags": osm_tags,
    "geojson": geojson,
    "socrata": socrata,
    "orders": orders,
    "french csv": communes,
    "german csv": population,
    "excel": excel,
    "log": log,
}

ROWS = {"ubl": 3, "camt.053": 3, "gtfs": 3, "rss": 2, "atom": 2, "osm": 3, "osm tags": 5, "geojson": 3} | {
    "socrata": 2, "orders": 3, "french csv": 3, "german csv": 3, "excel": 3, "log": 3
}  # fmt: skip


@pytest.mark.fault(36)
@pytest.mark.parametrize("name", sorted(TABLES))
def test_a_public_document_equals_an_independent_reading(name: str) -> None:
    expected = list(READINGS[name]())
    assert len(expected) == ROWS[name]
    assert converted(name) == expected
