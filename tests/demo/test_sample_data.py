from __future__ import annotations

import gzip
import json
import zlib

import pytest

from demo import DemoError
from demo.plan import generated_plan
from demo.sample_data import STYLES, Shape, Style, View, change_log


@pytest.mark.parametrize("style", STYLES, ids=str)
def test_the_bytes_depend_only_on_the_seed(style: Style) -> None:
    assert change_log("p", 50, 3, style, seed=1) == change_log("p", 50, 3, style, seed=1)
    assert change_log("p", 50, 3, style, seed=1) != change_log("p", 50, 3, style, seed=2)


@pytest.mark.parametrize("shape", Shape)
@pytest.mark.parametrize("view", View)
def test_a_record_has_only_the_images_of_its_view_type(shape: Shape, view: View) -> None:
    allowed = {
        View.KEYS_ONLY: set(),
        View.NEW_IMAGE: {"NewImage"},
        View.OLD_IMAGE: {"OldImage"},
        View.NEW_AND_OLD_IMAGES: {"NewImage", "OldImage"},
    }[view]
    seen: set[str] = set()
    for part in change_log("p", 60, 1, Style(shape, view)):
        for line in gzip.decompress(part.body).splitlines():
            record = json.loads(line)
            body = record if shape is Shape.EXPORT else record["dynamodb"]
            assert "Keys" in body
            seen |= {name for name in ("NewImage", "OldImage") if name in body}
    assert seen == allowed


def test_the_objects_contain_all_rows_and_their_keys_are_ordered_by_time() -> None:
    parts = change_log("p", 101, 7, STYLES[0])
    assert sum(part.rows for part in parts) == 101
    assert all(len(gzip.decompress(part.body).splitlines()) == part.rows for part in parts)
    assert [part.key for part in parts] == sorted(part.key for part in parts)
    assert parts[0].key == "provider=p/2026/01/05/00/part-00000.json.gz"


def test_some_objects_have_several_gzip_members() -> None:
    def members(body: bytes) -> int:
        count = 0
        while body:
            one = zlib.decompressobj(31)
            one.decompress(body)
            body, count = one.unused_data, count + 1
        return count

    assert [members(part.body) for part in change_log("p", 90, 3, STYLES[0])] == [1, 2, 3]


def test_event_ids_of_a_plan_are_unique() -> None:
    plan = generated_plan(6, 1200)
    ids = [
        json.loads(line).get("eventID")
        for parts in [*plan.first.values(), *plan.second.values()]
        for part in parts
        for line in gzip.decompress(part.body).splitlines()
    ]
    own = [event_id for event_id in ids if event_id]
    assert len(own) == len(set(own)) > 0


@pytest.mark.parametrize("providers", [5, 6, 12])
def test_a_plan_uses_both_engines(providers: int) -> None:
    plan = generated_plan(providers, providers * 100)
    large = [name for name in plan.first if plan.size(name) > plan.lambda_max_bytes]
    assert len(large) >= 3
    assert providers - len(large) >= 2
    assert plan.corrupt in plan.first


def test_a_plan_without_providers_is_rejected() -> None:
    with pytest.raises(DemoError, match="PROVIDERS=0"):
        generated_plan(0, 100)
