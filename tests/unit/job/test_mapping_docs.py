"""The mappings that the docs and the tests show can be used with the job's own model."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest

from fanout_job.mapping import Mapping
from fanout_job.standard import check
from fanout_job.standardizer import Record, Standardizer
from standardize import MODEL

ROOT = Path(__file__).parents[3]
PAGES = ("standardize.md", "reference/mappings.md")
PAGE = "".join((ROOT / "docs" / name).read_text(encoding="utf-8") for name in PAGES)
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
DATA = ROOT / "tests" / "data"
ORDERS = sorted((DATA / "orders").glob("*.yaml"))
PROVIDERS = [path.name.removeprefix("provider=") for path in sorted((DATA / "documents").glob("provider=*"))]


@pytest.mark.parametrize("text", BLOCKS)
def test_a_mapping_of_the_docs_matches_the_model(text: str) -> None:
    assert Standardizer(Mapping.parse(text.encode(), "docs.yaml"), MODEL).wanted


@pytest.mark.parametrize("path", ORDERS, ids=lambda path: path.stem)
def test_a_mapping_of_the_sample_orders_matches_the_model(path: Path) -> None:
    assert Standardizer(Mapping.parse(path.read_bytes(), path.name), MODEL).wanted


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_mapping_of_the_public_documents_of_a_provider_matches_the_model(provider: str) -> None:
    path = DATA / "documents" / f"{provider}.yaml"
    assert Standardizer(Mapping.parse(path.read_bytes(), path.name), MODEL).wanted


def test_the_docs_begin_with_a_public_document_its_mapping_and_its_table() -> None:
    page = (ROOT / "docs" / "standardize.md").read_text(encoding="utf-8")
    before, _, _ = page.partition("## Try it on your machine")
    document, mapping = (
        (DATA / "documents" / name).read_text(encoding="utf-8")
        for name in ("provider=orders/orders.json", "orders.yaml")
    )
    assert f"```json\n{document}```" in before
    assert mapping.partition("\n")[2] in before
    parsed = Mapping.parse(mapping.encode(), "orders.yaml")
    table = [row for _, row in check(parsed, MODEL, io.BytesIO(document.encode()), "orders.json")]
    lines = [re.sub(r"[ |]+", " ", line).split() for line in before.splitlines() if line.startswith("| #10")]
    shown = [
        [str(row[name]) for name in ("order_id", "customer", "product", "quantity", "unit_price", "currency")]
        for row in table
        if isinstance(row, dict)
    ]
    assert lines == [[text.replace("None", "-") for text in row] for row in shown]


def test_the_docs_show_mappings_of_several_formats() -> None:
    assert {type(Mapping.parse(text.encode(), "m.yaml").format_of).__name__ for text in BLOCKS} >= {
        "Csv",
        "Json",
        "Xml",
    }


def test_the_transform_of_the_docs_works_as_described() -> None:
    [code] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, Any] = {"Record": Record}
    exec(code, names)  # noqa: S102 - it is in the docs of this repository
    transform = names["transform"]
    british = {"order_id": "1", "country": None, "phone": "+44 1"}
    assert transform(british) == british | {"country": "GB"}
    assert transform(british | {"country": "FR"})["country"] == "FR"
    assert transform(british | {"phone": None})["country"] is None
