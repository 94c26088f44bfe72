"""`make up`: the summary of a tick, and the folders of `make up` and `make run`."""

from __future__ import annotations

from demo.__main__ import RUN_WORKDIR, parser
from demo.up import summarize_tick

REPORT = {
    "providers": 7,
    "due": 4,
    "started": 2,
    "deferred": 1,
    "failed_starts": 1,
    "invalid": 1,
    "faults": [],
    "invalid_providers": ["a b: is no name"],
}


def test_a_tick_is_summarized_in_a_sentence() -> None:
    assert summarize_tick(REPORT) == (
        "4 of 7 providers were due: 2 started, 1 deferred, 1 failed starts, 1 entries invalid. a b: is no name"
    )
    quiet = {**REPORT, "due": 0, "started": 0, "deferred": 0, "failed_starts": 0, "invalid": 0}
    assert summarize_tick({**quiet, "invalid_providers": []}) == "0 of 7 providers were due: 0 started."


def test_the_result_of_another_function_is_shown_as_json() -> None:
    assert summarize_tick({"event": "x"}) == '{"event": "x"}'


def test_make_run_has_its_own_folder() -> None:
    workdir = parser().parse_args(["up"]).workdir
    assert workdir != RUN_WORKDIR
    assert RUN_WORKDIR.name not in ("logs", "functions")  # which a cloud that starts in the other folder empties


def test_make_up_names_the_stack_as_samconfig_does() -> None:
    assert parser().parse_args(["up"]).stack_name == "glue-fanout-dev"
