"""Repairs of moto 5.2.5, where it differs from AWS in a way that matters, or is too slow.

Each function is one repair, whose docstring says what moto does and what AWS does. test_moto_repairs.py shows that moto
still needs each repair, so that repairs can be removed after an upgrade.

moto's state and classes are global, so repairs are applied once per process. They call the running laptop cloud through
the `Hooks` that it connects.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from laptop_cloud.aws.repairs import data, executions, runs

REPAIRS: tuple[Callable[[], None], ...] = (
    data.services_are_known,
    data.models_are_not_kept,
    runs.lambda_functions_run,
    runs.lambda_qualifiers,
    runs.lambda_account_settings,
    runs.lambda_polls_queues,
    runs.glue_job_runs_run,
    runs.glue_batch_stop_job_run,
    runs.glue_update_job,
    executions.step_functions_clients,
    executions.glue_sync_tasks,
    executions.glue_times_in_milliseconds,
    executions.execution_output_is_json,
    executions.execution_status_events,
    executions.states_runtime_is_not_caught,
    executions.definitions_are_parsed_once,
    executions.paths_are_parsed_once,
    executions.threads_of_tasks_are_not_kept,
    executions.unnamed_executions,
    executions.one_start_at_a_time,
    data.dynamodb_writes_are_atomic,
    data.dynamodb_items_are_answered_as_they_are,
    data.sqs_messages_are_received_once,
    data.sqs_cost_does_not_grow,
    data.sqs_messages_move_back,
)


@cache
def apply_all() -> None:
    """Apply every repair; a second call does nothing."""
    for repair in REPAIRS:
        repair()
