"""The mappings that the docs and the tests show can be used with the job's own model."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from fanout_job.mapping import Mapping
from fanout_job.standardizer import Record, Standardizer
from standardize import MODEL

ROOT = Path(__file__).parents[3]
PAGES = ("standardize.md", "reference/mappings.md")
PAGE = "".join((ROOT / "docs" / name).read_text(encoding="utf-8") for name in PAGES)
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
ORDERS = sorted((ROOT / "tests" / "data" / "orders").glob("*.yaml"))


@pytest.mark.parametrize("text", BLOCKS)
def test_a_mapping_of_the_docs_matches_the_model(text: str) -> None:
    assert Standardizer(Mapping.parse(text.encode(), "docs.yaml"), MODEL).wanted


@pytest.mark.parametrize("path", ORDERS, ids=lambda path: path.stem)
def test_a_mapping_of_the_sample_orders_matches_the_model(path: Path) -> None:
    assert Standardizer(Mapping.parse(path.read_bytes(), path.name), MODEL).wanted


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
