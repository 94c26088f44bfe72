"""The sentences, charts and links on the console's pages of a provider and of a run."""

from __future__ import annotations

import importlib
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import NoCredentialsError

from cli.commands.runs import RunLine, RunsReport
from cli.commands.trace import ExecutionPart, Step
from contract.failure import Failure
from fanout.health import Condition, Decision, Health
from fanout.run_state import RunState
from fanout.runs import RunRecord
from tests.unit.cli.test_console import Stack, Visitor

NOW = datetime(2026, 11, 30, 8, 0, tzinfo=UTC)


def page(module: str) -> Any:
    """A module of the console; see `tests.unit.cli.test_console.watch`."""
    return importlib.import_module(f"cli.console.{module}")


def plain(part: Any) -> str:
    """The text of a component."""
    if isinstance(part, list | tuple):
        return "".join(map(plain, part))
    return plain(part.children) if hasattr(part, "children") else "" if part is None else str(part)


def found(part: Any, kind: str) -> list[Any]:
    """The components of a kind in a component."""
    if isinstance(part, list | tuple):
        return [one for child in part for one in found(child, kind)]
    inside = found(part.children, kind) if hasattr(part, "children") else []
    return [part, *inside] if type(part).__name__ == kind else inside


def health(condition: Condition, **more: Any) -> Health:
    return Health("acme", condition, Decision.DUE, since=NOW - timedelta(minutes=90), **more)


SINCE = "since 2026-11-30 06:30:00Z (1h 30m ago)"
AT_ONE = "in 5h, at 2026-11-30 13:00:00Z"
LATE = Failure(type="LateDataError", message="came too late", advice="Run `fanout replay acme`.")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            health(Condition.IDLE, next_due=NOW + timedelta(hours=5)),
            f"Healthy: idle {SINCE}. Next: a run starts if objects arrive; otherwise, the full check is due {AT_ONE}.",
        ),
        (
            health(Condition.FAILING, failures=3, next_due=NOW + timedelta(hours=5)),
            f"Needs attention: failing {SINCE}, 3 failed runs. Next: the next attempt is due {AT_ONE}.",
        ),
        (
            health(Condition.FAILING, failures=1, next_due=NOW - timedelta(minutes=1)),
            f"Needs attention: failing {SINCE}, 1 failed run. Next: the next attempt is due at the next tick.",
        ),
        (
            health(Condition.LATE_DATA, failure=LATE),
            f"Needs attention: late data {SINCE}. Next: Run `fanout replay acme`.",
        ),
        (
            Health("acme", Condition.PAUSED, Decision.PAUSED),
            "On hold: paused. Next: no run starts until the provider is resumed.",
        ),
    ],
    ids=lambda value: value.condition if isinstance(value, Health) else "",
)
def test_the_first_line_of_a_provider_says_whether_it_is_healthy_since_when_and_what_is_next(
    given: Health, sentence: str
) -> None:
    assert plain(page("standing").standing(given, NOW)) == sentence


@pytest.mark.parametrize("condition", Condition)
def test_every_condition_has_a_next_step(condition: Condition) -> None:
    given = health(condition, failure=Failure(type="SomeError", message="why", advice="Do this."))

    sentence = plain(page("standing").standing(given, NOW))

    assert len(sentence.partition("Next: ")[2]) > len("Do this"), sentence
    assert "{" not in sentence


def line(number: int, seconds: float, status: Any = "succeeded", engine: Any = "lambda") -> RunLine:
    at = NOW + timedelta(minutes=number)
    record = RunRecord(
        run_id=f"acme-{number}", status=status, started_at=at, ended_at=at, engine=engine, seconds=seconds, rows=10
    )
    return RunLine(record.run_id, at, RunState(status), replay=False, record=record)


HISTORY = [  # the newest first
    *(line(8, 1, "failed"), line(7, 0, engine="none"), line(6, 31), line(5, 30), line(4, 10), line(3, 9), line(2, 3)),
    *(line(1, 10), RunLine("acme-0", NOW, RunState.RUNNING, replay=False)),
]


def test_a_chart_marks_runs_that_differ_from_the_median_by_more_than_a_factor_of_three() -> None:
    duration, rows, _cost = found(page("charts").charts(HISTORY, "acme"), "BarChart")

    assert [one.get("succeeded", one) for one in duration.data] == [
        *(10, {"started": "11-30 08:02:00Z", "outlier": 3}, 9, 10, 30, {"started": "11-30 08:06:00Z", "outlier": 31}),
        *(0, {"started": "11-30 08:08:00Z", "failed": 1}),
    ]
    assert [set(one) - {"started"} for one in rows.data] == [{"succeeded"}] * 7 + [{"failed"}]
    assert (duration.referenceLines[0]["y"], rows.referenceLines[0]["y"]) == (10, 10)


def test_the_caption_of_a_chart_names_the_median_and_links_to_the_latest_outliers() -> None:
    shown = page("charts").charts(HISTORY, "acme")

    assert [plain(caption) for caption in found(shown, "Figcaption")] == [
        "Duration of 8 runs; median 10.0 s; 2 outliers, the latest: 31.0 s, 3.0 s",
        "Rows of 8 runs; median 10; 0 outliers",
        "Cost of 8 runs; median $0.00; 0 outliers",
    ]
    assert [link.href for link in found(shown, "Link")] == ["/run/acme-6?provider=acme", "/run/acme-2?provider=acme"]


def test_fewer_than_five_runs_have_no_outliers() -> None:
    runs = [line(1, 1), line(2, 1), line(3, 1), line(4, 100), line(5, 1, "failed")]

    (duration, *_) = found(page("charts").charts(runs, "acme"), "Figure")

    assert plain(found(duration, "Figcaption")) == "Duration of 5 runs"
    assert found(duration, "BarChart")[0].referenceLines == []


def test_a_provider_without_a_finished_run_has_no_charts() -> None:
    assert page("charts").charts([RunLine("acme-0", NOW, RunState.RUNNING, replay=False)], "acme") is None


RUN = "acme-20261130T080000Z"
ARN = f"arn:aws:states:eu-west-1:123456789012:execution:fanout-change_log:{RUN}"
STEPS = (Step("Claim Partition", NOW, 2.0), Step("Choose Engine", NOW + timedelta(seconds=2), 0.0))


def trace(arn: str = ARN, ended: datetime | None = None, last: float | None = None, **more: Any) -> Any:
    steps = (*STEPS, Step("Run change_log in Lambda", NOW + timedelta(seconds=2), last))
    execution = ExecutionPart(arn, "RUNNING", NOW, ended, "{}", steps)
    return SimpleNamespace(run_id=RUN, execution=execution, job_run=None, **more)


def test_the_timeline_of_a_run_in_progress_ends_now() -> None:
    shown = page("pages")._states(trace(), NOW + timedelta(seconds=10))

    assert [plain(row) for row in found(shown, "Tr")] == [
        "StateEnteredDurationTimeline of 10s",
        "Claim Partition2026-11-30 08:00:00Z (10s ago)2.0 s",
        "Choose Engine2026-11-30 08:00:02Z (8s ago)0.0 s",
        "Run change_log in Lambda2026-11-30 08:00:02Z (8s ago)in progress",
    ]
    assert [(bar.style["marginLeft"], bar.style["width"]) for bar in bars(shown)] == [
        *(("0.0%", "20.0%"), ("20.0%", "0.0%"), ("20.0%", "80.0%"))
    ]


def test_the_last_state_of_an_ended_run_is_not_in_progress() -> None:
    shown = page("pages")._states(trace(ended=NOW + timedelta(seconds=4)), NOW + timedelta(hours=1))

    assert plain(found(shown, "Tr")[-1]) == "Run change_log in Lambda2026-11-30 08:00:02Z (59m 58s ago)-"
    assert (bars(shown)[0].style["width"], bars(shown)[-1].style["width"]) == ("50.0%", "0.0%")


def bars(part: Any) -> list[Any]:
    return [one for one in found(part, "Div") if getattr(one, "className", None) == "bar"]


def stack(**more: Any) -> Any:
    outputs = {"FunctionLogGroup": "/aws/lambda/fanout", "GlueJobName": "etl/dev-change_log"}
    return SimpleNamespace(output=outputs.__getitem__, is_local=False, job_log_group="/aws-glue/fanout/output", **more)


def test_a_run_on_aws_links_to_its_execution_and_to_the_lines_of_its_functions() -> None:
    links = page("aws_links").aws_links(stack(), trace(ended=NOW + timedelta(seconds=30)))

    root, times = "https://eu-west-1.console.aws.amazon.com", "$26start$3D1796025600000$26end$3D1796025690000"
    lines = f"log-events$3FfilterPattern$3D$2522acme-20261130T080000Z$2522{times}"
    assert links == [
        ("Execution", f"{root}/states/home?region=eu-west-1#/v2/executions/details/{ARN}"),
        (
            "Log of the functions",
            f"{root}/cloudwatch/home?region=eu-west-1#logsV2:log-groups/log-group/$252Faws$252Flambda$252Ffanout/{lines}",
        ),
    ]


def test_a_glue_run_links_to_its_job_run_and_log_streams() -> None:
    given = trace(arn=ARN.replace("arn:aws:", "arn:aws-cn:").replace("eu-west-1", "cn-north-1"))
    given.job_run = {"Id": "jr_12ab"}

    links = dict(page("aws_links").aws_links(stack(), given))

    root = "https://cn-north-1.console.amazonaws.cn"
    assert links["Job run"] == f"{root}/gluestudio/home?region=cn-north-1#/job/etl%2Fdev-change_log/run/jr_12ab"
    assert links["Log streams of the job run"] == (
        f"{root}/cloudwatch/home?region=cn-north-1#logsV2:log-groups/log-group/"
        "$252Faws-glue$252Ffanout$252Foutput$3FlogStreamNameFilter$3Djr_12ab"
    )
    assert links["Log of the functions"].endswith("$26start$3D1796025600000")


def test_a_run_has_no_links_on_the_laptop_cloud_or_without_an_execution() -> None:
    local, gone = stack(), trace()
    local.is_local, gone.execution = True, None

    assert page("aws_links").aws_links(local, trace()) == []
    assert page("aws_links").aws_links(stack(), gone) == []


def raises(error: Exception) -> Any:
    def call(*_: Any) -> Any:
        raise error

    return call


def run_line(run_id: str, state: RunState) -> RunLine:
    return RunLine(run_id, datetime(2026, 11, 30, 8, 15, tzinfo=UTC), state, replay=False)


def test_the_overview_gets_the_last_six_runs_of_the_providers_on_the_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {
        "acme": (run_line("acme-2", RunState.RUNNING), run_line("acme-1", RunState.FAILED)),
        "beta": (run_line("beta-1", RunState.SUCCEEDED),),
        "other": (run_line("other-1", RunState.SUCCEEDED),),
    }
    monkeypatch.setattr(
        "cli.console.last_runs.history", lambda stack, name, limit: RunsReport(name, found[name] if limit == 6 else ())
    )

    answer = Visitor(Stack()).get("/last-runs?of=acme&of=beta")

    assert answer.json == {
        "acme": [
            {"run": "acme-1", "state": "failed", "at": 1796026500000},
            {"run": "acme-2", "state": "running", "at": 1796026500000},
        ],
        "beta": [{"run": "beta-1", "state": "succeeded", "at": 1796026500000}],
    }


def test_the_overview_gets_no_runs_while_the_stack_cannot_be_read() -> None:
    down = SimpleNamespace(get=raises(NoCredentialsError()))

    answer = Visitor(Stack(ledger=down)).get("/last-runs?of=acme")

    assert (answer.status_code, answer.json) == (200, {})


@pytest.mark.fault(38)
def test_only_a_console_that_may_change_something_has_buttons_and_boxes_in_the_overview() -> None:
    shown, read_only = page("overview").frame(read_only=False), page("overview").frame(read_only=True)

    assert [plain(button) for button in found(shown, "Button")] == ["Run now", "Retry", "Pause", "Resume"]
    assert found(read_only, "Button") == []
    assert [found(one, "AgGrid")[0].dashGridOptions["rowSelection"] for one in (shown, read_only)] == [
        {"mode": "multiRow", "selectAll": "filtered", "checkboxes": allowed, "headerCheckbox": allowed}
        for allowed in (True, False)
    ]
