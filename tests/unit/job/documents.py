"""Public document types in tests/data/documents: the model of each table."""

from __future__ import annotations

from pathlib import Path

from fanout_job.model import Field, Model
from standardize import MODEL as ORDERS

DOCUMENTS = Path(__file__).parents[2] / "data" / "documents"


def model(**types: str) -> Model:
    """Return a model of these fields."""
    return Model("documents", {name: Field(kind, "") for name, kind in types.items()})


FEED = model(
    feed="string", id="string", title="string", url="string", published="timestamp", author="string", topics="string"
)

TABLES: dict[str, tuple[str, str, Model]] = {
    "ubl": ("provider=ubl-invoice/ubl-invoice.xml", "ubl-invoice.yaml", ORDERS),
    "camt.053": (
        "provider=payments/camt053.xml",
        "camt053.yaml",
        model(
            message="string",
            statement="string",
            account="string",
            entry="string",
            amount="decimal(12,2)",
            currency="string",
            credit="boolean",
            booked="timestamp",
            text="string",
            note="string",
        ),
    ),
    "gtfs": (
        "gtfs-calendar-dates.txt",
        "gtfs-calendar-dates.yaml",
        model(service="string", day="date", runs="boolean"),
    ),
    "rss": ("rss.xml", "rss.yaml", FEED),
    "atom": ("atom.xml", "atom.yaml", FEED),
    "osm": (
        "osm.xml",
        "osm.yaml",
        model(
            id="integer", lat="decimal(10,7)", lon="decimal(10,7)", name="string", kind="string", changed="timestamp"
        ),
    ),
    "osm tags": ("osm.xml", "osm-tags.yaml", model(id="integer", name="string", kind="string")),
    "geojson": (
        "places.geojson",
        "places.yaml",
        model(
            layer="string",
            id="string",
            name="string",
            population="integer",
            country="string",
            lon="decimal(10,7)",
            lat="decimal(10,7)",
        ),
    ),
    "socrata": (
        "provider=permits/socrata.json",
        "socrata.yaml",
        model(
            view="string",
            id="string",
            created="timestamp",
            permit="string",
            issued="date",
            fee="decimal(9,2)",
            expired="boolean",
        ),
    ),
    "orders": ("provider=orders/orders.json", "orders.yaml", ORDERS),
    "french csv": (
        "communes.csv",
        "communes.yaml",
        model(
            code="string",
            name="string",
            since="date",
            population="integer",
            budget="decimal(15,2)",
            rate="decimal(7,4)",
        ),
    ),
    "german csv": (
        "bevoelkerung.csv",
        "bevoelkerung.yaml",
        model(code="string", name="string", before="integer", after="integer"),
    ),
    "excel": (
        "provider=spreadsheet/excel.csv",
        "excel.yaml",
        model(
            order="string",
            ordered="timestamp",
            item="string",
            quantity="integer",
            amount="decimal(12,2)",
            discount="decimal(7,4)",
            remark="string",
        ),
    ),
    "log": (
        "log.ndjson",
        "log.yaml",
        model(
            at="timestamp",
            written="timestamp",
            level="string",
            service="string",
            text="string",
            status="integer",
            tags="string",
        ),
    ),
}
"""Name -> the file, its mapping and the model of its table."""
