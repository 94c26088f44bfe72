"""Makes up orders, and writes them as five providers would: what `make run JOB=standardize` puts in and expects back.

Everything follows from the seed. The truth is the rows themselves; nothing here reads a mapping.
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
"""An order by field of the model: str, int, Decimal, bool, date, datetime in UTC, or None."""

_GOODS = ['Stuhl "Öse"', "Lampe; klein", "chair\nwith arms", "crate <XL> & lid", "pen, blue", "table"]
_PEOPLE = ["Jörg Müller", 'Ann "Bee" O\'Neil', "Smith & Sons", "Ärztehaus; Süd", None]
_BERLIN = ZoneInfo("Europe/Berlin")


@dataclass(frozen=True)
class Style:
    """How a provider writes, and the mapping that says so.

    Attributes
    ----------
    suffix
        Of its objects' names.
    write
        Orders -> the bytes of an object.
    country, currency
        The one of all its orders, where its format has no field for it.
    weights, gifts, dates
        Whether its format has these fields.
    mapping
        YAML.
    """

    suffix: str
    write: Callable[[list[Row]], bytes]
    mapping: str
    country: str | None = None
    currency: str | None = None
    weights: bool = True
    gifts: bool = True
    dates: bool = True


def orders(style: Style, count: int, seed: str) -> list[Row]:
    """Make up orders that this provider could have."""
    draw = random.Random(seed)
    start = datetime(2026, 1, 5, tzinfo=UTC)
    return [
        {
            "order_id": f"{seed}-{number}",
            "ordered_at": start + timedelta(minutes=draw.randrange(300_000)),  # no hour of it comes twice in Berlin
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
    "german-shop": Style(".csv", _semicolons, currency="EUR", mapping="""\
# Semicolons, Latin-1, decimal commas, local time, grams.
csv: {delimiter: ";", encoding: latin-1}
decimal: ","
thousands: "."
timezone: Europe/Berlin
fields:
  order_id: Nr
  ordered_at: {from: Bestellt am, format: "%d.%m.%Y %H:%M"}
  customer: Kunde
  country: {from: Land, values: {Deutschland: DE, Österreich: AT, Schweiz: CH}}
  product: Artikel
  quantity: Menge
  unit_price: Preis
  currency: {value: EUR}
  weight_kg: {from: Gramm, factor: 0.001}
  gift: {from: Geschenk, values: {ja: true, nein: false}}
  delivery_date: {from: Lieferung, format: "%d.%m.%Y"}
"""),
    "us-shop": Style(".csv", _quoted, country="US", currency="USD", weights=False, mapping="""\
# Quoted line breaks, dollars with commas, a word that means: nothing.
csv:
thousands: ","
nulls: ["", "N/A"]
fields:
  order_id: id
  ordered_at: created
  customer: name
  country: {value: US}
  product: description
  quantity: qty
  unit_price: price
  currency: {value: USD}
  gift: gift
  delivery_date: {from: due, format: "%m/%d/%Y"}
"""),
    "marketplace": Style(".json", _array, weights=False, dates=False, mapping="""\
# One document; the records are an array inside of it.
json: {records: result.orders}
fields:
  order_id: number
  ordered_at: placed
  customer: buyer.name
  country: buyer.address.country
  product: lines.0.sku
  quantity: lines.0.quantity
  unit_price: lines.0.price.amount
  currency: lines.0.price.currency
  gift: options.gift
"""),
    "stream": Style(".jsonl", _lines, gifts=False, dates=False, mapping="""\
# One record a line, prices in cents.
json_lines:
fields:
  order_id: o
  ordered_at: t
  customer: who
  country: to
  product: p
  quantity: q
  unit_price: {from: cents, factor: 0.01}
  currency: c
  weight_kg: w
"""),
    "erp": Style(".xml", _namespaces, gifts=False, mapping="""\
# Namespaces and attributes.
xml:
  record: o:Order
  namespaces: {o: "urn:example:orders", p: "urn:example:party"}
fields:
  order_id: "@number"
  ordered_at: o:Placed
  customer: p:Buyer/p:Name
  country: p:Buyer/p:Country/@code
  product: o:Item/o:Name
  quantity: o:Item/o:Quantity
  unit_price: o:Item/o:Price
  currency: o:Item/o:Price/@currency
  weight_kg: o:Item/o:Weight
  delivery_date: o:Due
"""),
}  # fmt: skip
"""Provider -> how it writes."""
