"""Generates orders, and writes them in the formats of five providers, for `make run JOB=standardize`.

The same seed gives the same orders. The expected result is the orders themselves: nothing here reads a mapping. The
providers' mappings are in demo/mappings/.
"""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from xml.sax.saxutils import escape, quoteattr
from zoneinfo import ZoneInfo

Row = dict[str, Any]
"""An order: field of the model -> str, int, Decimal, bool, date, datetime in UTC, or None."""

_GOODS = ['Stuhl "Öse"', "Lampe; klein", "chair\nwith arms", "crate <XL> & lid", "pen, blue", "table"]
_PEOPLE = ["Jörg Müller", 'Ann "Bee" O\'Neil', "Smith & Sons", "Ärztehaus; Süd", None]
_BERLIN = ZoneInfo("Europe/Berlin")


@dataclass(frozen=True)
class Style:
    """The format of a provider's objects.

    Attributes
    ----------
    suffix
        Suffix of the objects' names.
    write
        Orders -> the bytes of an object.
    country, currency
        The value for all orders if the format has no such field.
    weights, gifts, dates
        Whether the format has these fields.
    """

    suffix: str
    write: Callable[[list[Row]], bytes]
    country: str | None = None
    currency: str | None = None
    weights: bool = True
    gifts: bool = True
    dates: bool = True


def orders(style: Style, count: int, seed: str) -> list[Row]:
    """Generate orders that this format can represent."""
    draw = random.Random(seed)
    start = datetime(2026, 1, 5, tzinfo=UTC)
    return [
        {
            "order_id": f"{seed}-{number}",
            "ordered_at": start + timedelta(minutes=draw.randrange(300_000)),  # ends before an ambiguous hour in Berlin
            "customer": draw.choice(_PEOPLE),
            "country": style.country or draw.choice(["DE", "AT", "CH"]),
            "product": draw.choice(_GOODS),
            "quantity": draw.choice([1, 2, 12, 1_500]),
            "unit_price": Decimal(draw.randrange(1, 500_000)) / 100,
            "currency": style.currency or draw.choice(["EUR", "GBP", "PLN"]),
            "weight_kg": Decimal(draw.randrange(1, 90_000)) / 1000 if style.weights and draw.random() < 0.8 else None,
            "gift": draw.choice([True, False, None]) if style.gifts else None,
            "delivery_date": date(2026, 12, 1 + number % 28) if style.dates and draw.random() < 0.8 else None,
        }
        for number in range(1, count + 1)
    ]


def _german_number(value: Decimal | int) -> str:
    return f"{value:,}".translate(str.maketrans(",.", ".,"))


def _semicolons(rows: list[Row]) -> bytes:
    text = io.StringIO()
    table = csv.writer(text, delimiter=";")
    table.writerow(
        ["Nr", "Bestellt am", "Kunde", "Land", "Artikel", "Menge", "Preis", "Gramm", "Geschenk", "Lieferung"]
    )
    lands, gifts = {"DE": "Deutschland", "AT": "Österreich", "CH": "Schweiz"}, {True: "ja", False: "nein", None: ""}
    for row in rows:
        grams = "" if row["weight_kg"] is None else int(row["weight_kg"] * 1000)
        due = "" if row["delivery_date"] is None else f"{row['delivery_date']:%d.%m.%Y}"
        table.writerow([
            row["order_id"], f"{row['ordered_at'].astimezone(_BERLIN):%d.%m.%Y %H:%M}", row["customer"] or "",
            lands[row["country"]], row["product"], _german_number(row["quantity"]), _german_number(row["unit_price"]),
            grams, gifts[row["gift"]], due,
        ])  # fmt: skip
    return text.getvalue().encode("latin-1")


def _quoted(rows: list[Row]) -> bytes:
    text = io.StringIO()
    table = csv.writer(text, quoting=csv.QUOTE_ALL)
    table.writerow(["id", "created", "name", "description", "qty", "price", "gift", "due"])
    for row in rows:
        gift = {True: "true", False: "false", None: ""}[row["gift"]]
        due = "" if row["delivery_date"] is None else f"{row['delivery_date']:%m/%d/%Y}"
        name = row["customer"] or "N/A"
        price = f"{row['unit_price']:,}"
        moment = row["ordered_at"].isoformat()
        table.writerow([row["order_id"], moment, name, row["product"], row["quantity"], price, gift, due])
    return text.getvalue().encode()


def _number(value: Decimal | None) -> float | None:
    return None if value is None else float(value)


def _array(rows: list[Row]) -> bytes:
    records = [
        {
            "number": row["order_id"],
            "placed": row["ordered_at"].isoformat().replace("+00:00", "Z"),
            "buyer": {"name": row["customer"], "address": {"country": row["country"]}},
            "lines": [{"sku": row["product"], "quantity": row["quantity"],
                       "price": {"amount": _number(row["unit_price"]), "currency": row["currency"]}}],
            "options": {"gift": row["gift"]},
        }
        for row in rows
    ]  # fmt: skip
    return json.dumps({"page": 1, "result": {"orders": records}}, indent=1).encode()


def _lines(rows: list[Row]) -> bytes:
    records = [
        {"o": row["order_id"], "t": row["ordered_at"].isoformat(), "p": row["product"], "q": row["quantity"],
         "cents": int(row["unit_price"] * 100), "c": row["currency"], "w": _number(row["weight_kg"]),
         "to": row["country"], "who": row["customer"]}
        for row in rows
    ]  # fmt: skip
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def _namespaces(rows: list[Row]) -> bytes:
    parts = [
        '<?xml version="1.0" encoding="UTF-8"?>\n<Orders xmlns="urn:example:orders" xmlns:p="urn:example:party">\n'
    ]
    for row in rows:
        name = "" if row["customer"] is None else f"<p:Name>{escape(row['customer'])}</p:Name>"
        weight = "" if row["weight_kg"] is None else f"<Weight>{row['weight_kg']}</Weight>"
        due = "" if row["delivery_date"] is None else f"<Due>{row['delivery_date']}</Due>"
        parts.append(
            f"  <Order number={quoteattr(row['order_id'])}><Placed>{row['ordered_at'].isoformat()}</Placed>"
            f'<p:Buyer>{name}<p:Country code="{row["country"]}"/></p:Buyer>'
            f"<Item><Name>{escape(row['product'])}</Name><Quantity>{row['quantity']}</Quantity>"
            f'<Price currency="{row["currency"]}">{row["unit_price"]}</Price>{weight}</Item>{due}</Order>\n'
        )
    return "".join([*parts, "</Orders>\n"]).encode()


STYLES = {
    "german-shop": Style(".csv", _semicolons, currency="EUR"),
    "us-shop": Style(".csv", _quoted, country="US", currency="USD", weights=False),
    "marketplace": Style(".json", _array, weights=False, dates=False),
    "stream": Style(".jsonl", _lines, gifts=False, dates=False),
    "erp": Style(".xml", _namespaces, gifts=False),
}
"""Provider -> its format."""
