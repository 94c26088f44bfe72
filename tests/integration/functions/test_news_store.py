"""One contract for `NewsStore`, held to by the fake that the other tests use and by DynamoDB (moto)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import boto3
import pytest
from moto import mock_aws

from fanout.adapters import DynamoNews
from fanout.errors import LedgerUnavailableError
from fanout.ledger import ProviderState
from fanout.news import News, NewsStore
from fanout.runs import Report
from tests.harness.fakes import MemoryNews
from tests.harness.faults import Clock, Faults
from tests.integration.functions.test_ledger_store import table

NOW = datetime(2026, 11, 22, 7, 30, 0, 123456, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)


@pytest.fixture(params=["memory", "dynamodb"])
def store(request: pytest.FixtureRequest) -> Iterator[NewsStore]:
    if request.param == "memory":
        yield MemoryNews(Faults(Clock()))
        return
    with mock_aws():
        client = boto3.client("dynamodb", region_name="us-east-1")
        table(client)
        yield DynamoNews(client, "ledger")


def test_a_provider_that_nobody_told_of_has_no_news(store: NewsStore) -> None:
    assert store.of("a") == News()
    assert store.waiting() == {}


def test_marks_are_added_up_and_the_first_says_since_when(store: NewsStore) -> None:
    store.mark("a", 2, 100, NOW)
    store.mark("a", 1, 20, LATER)

    assert store.of("a") == News(3, 3, 120, NOW)
    assert store.waiting() == {"a": News(3, 3, 120, NOW)}


def test_news_is_cleared_when_the_count_is_still_the_one_that_was_seen(store: NewsStore) -> None:
    store.mark("a", 2, 100, NOW)

    store.clear("a", 2, LATER)

    assert store.of("a") == News(marks=2)
    assert store.waiting() == {}


def test_news_that_came_since_stays_and_is_as_old_as_the_claim(store: NewsStore) -> None:
    store.mark("a", 2, 100, NOW)
    store.mark("a", 1, 20, LATER)

    store.clear("a", 2, LATER)

    assert store.of("a") == News(3, 0, 0, LATER)
    assert store.waiting().keys() == {"a"}


def test_a_clearing_that_comes_again_late_clears_nothing_that_came_meanwhile(store: NewsStore) -> None:
    store.mark("a", 1, 100, NOW)
    store.clear("a", 1, NOW)
    store.mark("a", 1, 20, LATER)

    store.clear("a", 1, NOW)

    assert store.of("a") == News(2, 1, 20, LATER)


def test_the_count_never_goes_down(store: NewsStore) -> None:
    for n in range(1, 4):
        store.mark("a", 1, 1, NOW)
        store.clear("a", n, NOW)

    assert store.of("a").marks == 3


def test_all_that_wait_are_found_whatever_their_shard(store: NewsStore) -> None:
    for n in range(100):
        store.mark(f"p{n}", 1, 1, NOW)
    store.clear("p7", 1, NOW)

    assert store.waiting().keys() == {f"p{n}" for n in range(100)} - {"p7"}


def test_marks_and_ledger_items_of_one_table_do_not_meet() -> None:
    with mock_aws():
        client = boto3.client("dynamodb", region_name="us-east-1")
        ledger = table(client)
        news = DynamoNews(client, "ledger")
        news.mark("a", 1, 1, NOW)
        ledger.put(ProviderState(provider="a", report=Report(run_id="r", status="failed")))
        news.mark("a", 1, 1, NOW)

        assert ledger.get("a").version == 1, "marks leave the version of the ledger item alone"
        assert [state.provider for state in ledger.attention()] == ["a"]
        assert news.waiting() == {"a": News(2, 2, 2, NOW)}


def test_an_error_of_the_service_is_transient() -> None:
    with mock_aws():
        news = DynamoNews(boto3.client("dynamodb", region_name="us-east-1"), "no-such-table")

        for call in (
            lambda: news.mark("a", 1, 1, NOW),
            lambda: news.of("a"),
            lambda: news.clear("a", 1, NOW),
            news.waiting,
        ):
            with pytest.raises(LedgerUnavailableError):
                call()
