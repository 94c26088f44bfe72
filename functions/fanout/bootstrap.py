"""The composition root: creates the parts of each handler from the environment, once per process, at first use."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from functools import cache
from typing import Any

import boto3
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.utilities import parameters
from aws_lambda_powertools.utilities.parameters.exceptions import GetParameterError
from botocore.config import Config

from fanout.adapters import DynamoLedger, DynamoPending, S3Objects, StepFunctions, concurrent_functions
from fanout.claims import Claims
from fanout.config_client import HttpConfigApi
from fanout.dispatcher import Dispatcher
from fanout.endings import Endings
from fanout.errors import ConfigApiUnavailableError
from fanout.maintenance_table import DynamoMaintenance
from fanout.pending import ObjectEvents
from fanout.production import Producer
from fanout.recovery import Recovery
from fanout.settings import ClaimSettings, DispatchSettings, ObjectEventsSettings, ProducerSettings, RunSettings
from fanout.starts import PARALLEL
from fanout.stream_records import ProviderAttribute

_AWS = Config(
    retries={"mode": "standard", "total_max_attempts": 4}, connect_timeout=3, read_timeout=10, max_pool_connections=32
)
_STARTS = Config(
    # `fanout.starts` repeats throttled calls; unlike botocore, it knows the deadline.
    retries={"mode": "standard", "total_max_attempts": 2},
    connect_timeout=2,
    read_timeout=5,
    max_pool_connections=PARALLEL,
    parameter_validation=False,  # validation takes a sixth of a call's CPU time
    user_agent="glue-fanout",  # botocore composes its own for each call, which takes a fifth of the call's CPU time
)

metrics = Metrics(namespace="glue-fanout")
logger = Logger(use_rfc3339=True)  # Lambda detects a line's level only with this format of time


def utc_now() -> datetime:
    """The current time."""
    return datetime.now(UTC)


@cache
def client(service: str, config: Config = _AWS) -> Any:
    """The client of an AWS service; one per service and process."""
    return boto3.client(service, config=config)  # type: ignore[call-overload]


def _config_api(settings: RunSettings) -> HttpConfigApi:
    def key(refused: bool) -> str:
        try:
            return str(parameters.get_secret(settings.config_api_key_secret, max_age=900, force_fetch=refused))
        except GetParameterError as error:
            raise ConfigApiUnavailableError(
                f"the secret {settings.config_api_key_secret} could not be read; check the function's role: {error}"
            ) from error

    return HttpConfigApi(settings.config_api_url, key)


def _ledger(settings: RunSettings) -> DynamoLedger:
    return DynamoLedger(client("dynamodb"), settings.run_ledger_table)


def _pending(table: str) -> DynamoPending:
    return DynamoPending(client("dynamodb"), table)


def _endings(settings: RunSettings, config_api: HttpConfigApi) -> Endings:
    pending = _pending(settings.run_ledger_table)
    return Endings(_ledger(settings), S3Objects(client("s3")), config_api, pending, settings, utc_now, logger.warning)


@cache
def dispatcher() -> Dispatcher:
    """The dispatcher."""
    settings = DispatchSettings.from_environment(os.environ)
    config_api, store = _config_api(settings), _ledger(settings)
    executions = StepFunctions(client("stepfunctions", _STARTS), settings.state_machine_arn)
    return Dispatcher(
        provider_list=config_api,
        store=store,
        pending=_pending(settings.run_ledger_table),
        maintenance=DynamoMaintenance(client("dynamodb"), settings.run_ledger_table),
        executions=executions,
        recovery=Recovery(store, executions, _endings(settings, config_api)),
        settings=settings,
        clock=utc_now,
        concurrent_functions=lambda: concurrent_functions(client("lambda")),
    )


@cache
def claims() -> Claims:
    """The rules behind *Claim Partition*."""
    settings = ClaimSettings.from_environment(os.environ)
    objects, pending = S3Objects(client("s3")), _pending(settings.run_ledger_table)
    return Claims(_ledger(settings), objects, _config_api(settings), pending, settings, utc_now, logger.warning)


@cache
def endings() -> Endings:
    """The rules behind *Update Status Success* and *Update Status Failed*."""
    settings = RunSettings.from_environment(os.environ)
    return _endings(settings, _config_api(settings))


@cache
def object_events() -> ObjectEvents:
    """The rules behind `object_events`."""
    settings = ObjectEventsSettings.from_environment(os.environ)
    return ObjectEvents(_pending(settings.run_ledger_table), settings, utc_now, logger.warning)


@cache
def producer_settings() -> ProducerSettings:
    """The settings of the producer."""
    return ProducerSettings.from_environment(os.environ)


@cache
def producer() -> Producer:
    """The rules behind the producer."""
    settings = producer_settings()
    attribute = ProviderAttribute.parse(settings.provider_attribute)
    data, objects = f"s3://{settings.data_bucket}", S3Objects(client("s3"))
    return Producer(objects, settings.change_log_dir, data, attribute, utc_now, logger.warning)
