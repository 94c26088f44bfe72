"""What moto 5.2.5 does differently from AWS and this project depends on, put right.

One function a repair; its docstring says what stock moto does and what AWS does. test_moto_repairs.py shows for each
that the fault is still there without the repair, so that a newer moto tells us which ones can go.

moto's state and classes are global to the process, so repairs are applied once a process. What they need from the
running laptop cloud they ask of the `Hooks` it connects.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from laptop_cloud.aws.repairs import data, executions, runs

REPAIRS: tuple[Callable[[], None], ...] = (
    data.services_are_known,
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
