"""Reads the orders in tests/data/orders with only Python's standard library: the rows that the job must write.

Uses no mapping. Each function reads exactly one file.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from zoneinfo import ZoneInfo

Row = dict[str, Any]


def cents(value: Decimal) -> Decimal:
    return value.quantize(Decimal("0.01"), ROUND_HALF_EVEN)


def semicolons(path: Path) -> Iterator[Row]:
    with path.open(encoding="latin-1", newline="") as file:
        next(file)
        for number, placed, who, where, what, many, price, grams, gift, due, _ in csv.reader(file, delimiter=";"):
            date_part, hour = placed.split(" ")
            day, month, year = map(int, date_part.split("."))
            local = datetime(year, month, day, *map(int, hour.split(":")), tzinfo=ZoneInfo("Europe/Berlin"))
            yield {
                "order_id": number,
                "ordered_at": local.astimezone(UTC),
                "customer": who or None,
                "country": {"Deutschland": "DE", "Österreich": "AT", "Schweiz": "CH"}[where],
                "product": what,
                "quantity": int(many.replace(".", "")),
                "unit_price": cents(Decimal(price.replace(".", "").replace(",", "."))),
                "currency": "EUR",
                "weight_kg": (Decimal(grams) / 1000).quantize(Decimal("0.001")) if grams else None,
                "gift": {"ja": True, "nein": False, "": None}[gift],
                "delivery_date": date(*(int(part) for part in reversed(due.split(".")))) if due else None,  # type: ignore[arg-type]
            }


def quoted(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            placed = datetime.fromisoformat(row["created"])
            due: date | None = None
            if "/" in row["due"]:
                month, day, year = map(int, row["due"].split("/"))
                due = date(year, month, day)
            elif row["due"]:
                due = date.fromisoformat(row["due"])
            yield {
                "order_id": row["id"],
                "ordered_at": (placed if placed.tzinfo else placed.replace(tzinfo=UTC)).astimezone(UTC),
                "customer": None if row["name"] in ("", "N/A") else row["name"],
                "country": "US",
                "product": row["description"] or None,
                "quantity": int(row["qty"]),
                "unit_price": cents(Decimal(row["price"].replace(",", ""))),
                "currency": "USD",
                "weight_kg": None,
                "gift": {"true": True, "false": False, "": None}[row["gift"]],
                "delivery_date": due,
            }


def array(path: Path) -> Iterator[Row]:
    for order in json.loads(path.read_bytes(), parse_float=Decimal)["result"]["orders"]:
        buyer, line = order["buyer"] or {}, order["lines"][0]
        yield {
            "order_id": str(order["number"]),
            "ordered_at": datetime.fromisoformat(order["placed"]).astimezone(UTC),
            "customer": buyer.get("name"),
            "country": buyer.get("address", {}).get("country"),
            "product": line["sku"],
            "quantity": line["quantity"],
            "unit_price": cents(line["price"]["amount"]),
            "currency": line["price"]["currency"],
            "weight_kg": None,
            "gift": order.get("options", {}).get("gift"),
            "delivery_date": None,
        }


def lines(path: Path) -> Iterator[Row]:
    for line in filter(str.strip, path.read_text(encoding="utf-8").splitlines()):
        order = json.loads(line, parse_float=Decimal)
        yield {
            "order_id": order["o"],
            "ordered_at": datetime.fromisoformat(order["t"]),
            "customer": None,
            "country": None,
            "product": order.get("p"),
            "quantity": int(order["q"]),
            "unit_price": cents(Decimal(order["cents"]) / 100),
            "currency": order["c"],
            "weight_kg": order["w"] if order.get("w") is not None else None,
            "gift": None,
            "delivery_date": None,
        }


def namespaces(path: Path) -> Iterator[Row]:
    o, p = "{urn:example:orders}", "{urn:example:party}"
    for order in ElementTree.parse(path).getroot().iter(f"{o}Order"):  # noqa: S314 - a file of this repository
        item = order.find(f"{o}Item")
        assert item is not None
        buyer, weight = order.find(f"{p}Buyer"), item.findtext(f"{o}Weight")
        price, due = item.find(f"{o}Price"), order.findtext(f"{o}Due")
        assert price is not None
        placed = datetime.strptime(order.findtext(f"{o}Placed", "").replace("Z", "+0000"), "%Y-%m-%dT%H:%M:%S%z")
        yield {
            "order_id": order.get("number"),
            "ordered_at": placed.astimezone(timezone(timedelta(0))),
            "customer": None if buyer is None else buyer.findtext(f"{p}Name"),
            "country": None if buyer is None else buyer.find(f"{p}Country").get("code"),  # type: ignore[union-attr]
            "product": item.get("sku"),
            "quantity": int(item.findtext(f"{o}Quantity", "").strip()),
            "unit_price": cents(Decimal(price.text or "")),
            "currency": price.get("currency"),
            "weight_kg": (Decimal(weight) * Decimal("0.45359237")).quantize(Decimal("0.001")) if weight else None,
            "gift": None,
            "delivery_date": date.fromisoformat(due) if due else None,
        }


READERS = {
    "semicolons.csv": semicolons,
    "quoted.csv": quoted,
    "array.json": array,
    "lines.jsonl": lines,
    "namespaces.xml": namespaces,
}
