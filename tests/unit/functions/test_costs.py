from __future__ import annotations

import pytest

from fanout.costs import PRICES, glue_dollars, lambda_dollars, queue_dollars


def test_a_glue_run_of_a_second_is_billed_as_a_minute() -> None:
    assert glue_dollars(1, workers=2) == pytest.approx(0.0103, abs=0.0001)
    assert glue_dollars(1, workers=2) == glue_dollars(60, workers=2)


def test_a_longer_glue_run_is_billed_by_seconds_and_dpus() -> None:
    assert glue_dollars(3600, workers=10) == pytest.approx(3.08)
    assert glue_dollars(120.2, workers=2) == glue_dollars(121, workers=2)
    assert glue_dollars(600, workers=2, worker_type="G.2X") == pytest.approx(2 * glue_dollars(600, workers=2))


def test_a_provider_every_fifteen_minutes_on_glue_costs_360_dollars_a_year() -> None:
    assert 365 * 96 * glue_dollars(30, workers=2) == pytest.approx(360, abs=1)


def test_a_lambda_run_costs_about_a_sixtieth_of_the_glue_minimum() -> None:
    assert glue_dollars(5, workers=2) / lambda_dollars(6, memory_mb=1769) == pytest.approx(59.4, abs=0.1)


def test_a_lambda_run_is_billed_by_milliseconds_and_requests() -> None:
    assert lambda_dollars(0, 1024) == PRICES["lambda_request"]
    assert lambda_dollars(1.0001, 1024) == pytest.approx(1.001 * PRICES["lambda_gb_second"] + PRICES["lambda_request"])


@pytest.mark.parametrize(
    ("messages", "mean_bytes", "requests"), [(0, 1024, 0), (1, 1024, 1), (10, 1024, 1), (11, 1024, 2), (10, 6554, 2)]
)
def test_messages_are_billed_by_batch_and_by_64_kib_of_it(messages: int, mean_bytes: float, requests: int) -> None:
    assert queue_dollars(messages, mean_bytes) == pytest.approx(requests * PRICES["sqs_request"])


def test_a_message_has_a_kibibyte_unless_another_size_is_given() -> None:
    assert queue_dollars(64, batch=64) == PRICES["sqs_request"]
    assert queue_dollars(65, batch=65) == 2 * PRICES["sqs_request"]
