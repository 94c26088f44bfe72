"""`fanout` commands about runs."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest

from cli.command import connection, utc_now
from cli.commands.run import watch
from cli.commands.trace import gather
from cli.console.overview import live
from cli.console.pages import provider_live, run_live
from cli.console.watch import Rows, Watch
from cli.overview import look_at
from cli.registry import call
from tests.integration.cli.conftest import Fanout


def test_a_run_sends_new_rows_and_is_in_the_history(fanout: Fanout, provider: str) -> None:
    fanout.drop(provider, "one.json.gz", 3)

    ran = fanout("run", provider, "--json")

    assert ran.status == 0
    assert ran.json["record"]["messages"] == 3
    assert "Run change_log in Lambda" in ran.error
    assert fanout.ids() == ["one.json.gz-0", "one.json.gz-1", "one.json.gz-2"]
    (line,) = fanout.json("runs", provider)["runs"]
    assert (line["status"], line["record"]["engine"], line["record"]["rows"], line["run_id"]) == (
        "succeeded",
        "lambda",
        3,
        ran.json["run_id"],
    )
    assert line["record"]["dollars"] > 0


def test_a_run_of_an_unknown_provider_starts_nothing(fanout: Fanout, provider: str) -> None:
    before = len(fanout.cloud.executions())

    refused = fanout("run", provider[:-1])

    assert refused.status == 2
    assert f"did you mean {provider}?" in refused.error
    assert len(fanout.cloud.executions()) == before


def test_trace_shows_a_run_from_claim_to_commit(fanout: Fanout, provider: str) -> None:
    fanout.drop(provider, "one.json.gz", 2)
    run_id = fanout.json("run", provider)["run_id"]

    traced = fanout("trace", run_id, "--json")

    found = traced.json
    assert traced.status == 0
    assert (found["provider"], found["execution"]["status"]) == (provider, "SUCCEEDED")
    assert found["claim"]["decision"] == "lambda"
    assert found["manifest"]["objects"] == 1
    assert found["result"]["messages"] == found["record"]["messages"] == 2
    assert found["commit"]["committed"] is True
    assert next(step["state"] for step in found["execution"]["steps"]) == "Claim Partition"
    assert any(run_id in line for line in found["log"])


@pytest.mark.parametrize(
    ("given", "words"),
    [("null", "start the execution with an object"), ('{"provider": "../etc"}', "is not allowed"), ("{}", "provider")],
)
def test_an_execution_with_an_invalid_input_fails_and_trace_shows_the_claim_s_error(
    fanout: Fanout, given: str, words: str
) -> None:
    states, machine = fanout.cloud.client("stepfunctions"), fanout.cloud.outputs["StateMachineArn"]
    arn = states.start_execution(stateMachineArn=machine, input=given)["executionArn"]
    execution, last = watch(states, arn, lambda state: None, 0.2)

    traced = fanout("trace", arn)

    assert (execution["status"], last) == ("FAILED", "Input Refused")
    assert words in execution["cause"]
    assert traced.status == 1
    assert re.search(rf"^error .*{words}", traced.out, re.MULTILINE), traced.out
    assert given in traced.out


@pytest.mark.fault(43)
def test_a_failed_run_is_shown_explained_corrected_and_repeated(fanout: Fanout, provider: str) -> None:
    fanout.drop(provider, "good.json.gz", 1)
    for name in ("broken", "worse"):
        fanout.drop_bytes(provider, f"{name}.json.gz", b"no gzip")

    failed = fanout("run", provider, "--json")
    run_id = failed.json["run_id"]

    assert failed.status == 1
    assert "fanout trace" in failed.json["explanation"]
    status = fanout("status", "--json")
    assert status.status == 1
    assert [
        (s["condition"], s["run_id"], s["failure_count"]) for s in status.json["shown"] if s["provider"] == provider
    ] == [("failing", run_id, 2)]
    assert " (and 1 more)" in fanout("status").out
    causes = fanout.json("failed")["causes"]
    cause = next(cause for cause in causes if provider in cause["providers"])
    assert cause["cause"] == "CorruptObjectError: is named .gz but is not gzip"
    assert (cause["example"]["object"].rpartition("/")[2], cause["example"]["line"]) == ("broken.json.gz", 1)
    assert "OnBadRecord=quarantine" in cause["advice"]
    traced = fanout("trace", run_id)
    assert traced.status == 1
    assert "nothing was committed" in traced.out
    assert "2 failures, of which the first 2:" in traced.out
    assert traced.out.count("worse.json.gz  ") == 1
    named = fanout("trace", run_id, "--json").json["record"]["failures"]
    assert [one["object"].rpartition("/")[2] for one in named] == ["broken.json.gz", "worse.json.gz"]
    stack = connection(local=True).stack
    for page in (
        run_live(gather(stack, run_id, None, 0), utc_now()),
        provider_live(stack, SimpleNamespace(rows=Rows()), provider, utc_now()),  # type: ignore[arg-type]
    ):
        assert "The first 2 of 2 failures" in str(page)
        assert str(page).count("CorruptObjectError: is named .gz but is not gzip") >= 2

    for name in ("broken", "worse"):
        fanout.drop(provider, f"{name}.json.gz", 1)
    assert fanout("run", provider).status == 0
    assert provider not in [s["provider"] for s in fanout.json("status")["shown"]]
    assert [run["status"] for run in fanout.json("runs", provider)["runs"]] == ["succeeded", "failed"]


@pytest.mark.guarantee("G6")
@pytest.mark.fault(43)
def test_quarantined_and_foreign_objects_are_shown_until_they_are_deleted(fanout: Fanout, provider: str) -> None:
    functions, name = fanout.cloud.client("lambda"), fanout.cloud.outputs["LambdaRunFunctionName"]
    s3, bucket = fanout.cloud.client("s3"), fanout.cloud.outputs["DataBucketName"]
    for prefix in ("quarantine/", "unassigned/"):  # of the tests of other files, which share this cloud
        fanout.delete(prefix)
    environment = functions.get_function_configuration(FunctionName=name)["Environment"]
    changed = {"Variables": {**environment["Variables"], "ON_BAD_RECORD": "quarantine"}}
    functions.update_function_configuration(FunctionName=name, Environment=changed)
    fanout.drop(provider, "good.json.gz", 1)
    fanout.drop_bytes(provider, "broken.json.gz", b"no gzip")
    fanout.drop_bytes(provider, "line.json", b"no json\n")
    s3.put_object(Bucket=bucket, Key="quarantine/foreign/provider=other/1.json.gz.note.json", Body=b"{}")
    s3.put_object(Bucket=bucket, Key="unassigned/1.json.gz", Body=b"x")
    try:
        run_id = fanout.json("run", provider)["run_id"]
    finally:
        functions.update_function_configuration(FunctionName=name, Environment=environment)

    (line,) = fanout.json("runs", provider)["runs"]
    found = fanout.json("trace", run_id)
    stack = connection(local=True).stack
    watch = Watch(connection(local=True))
    watch.look()
    page = str(run_live(gather(stack, run_id, None, 0), utc_now()))
    status, doctor = fanout("status"), fanout("doctor")
    for prefix in ("quarantine/", "unassigned/"):
        fanout.delete(prefix)

    assert (line["status"], line["record"]["quarantined"]) == ("succeeded", 2)
    assert [(one["type"], one["object"].rpartition("/")[2], one["line"]) for one in found["quarantined"]] == [
        ("CorruptObjectError", "broken.json.gz", 1),
        ("RecordError", "line.json", 1),
    ]
    for shown in (status.out, doctor.out, str(live(watch, utc_now()))):
        assert f"bad lines or objects of 1 provider ({provider})" in shown
        assert "damaged or foreign objects of 1 provider (other)" in shown
        assert "records without a provider" in shown
    assert "2 quarantined, such as" in page
    assert page.count("RecordError: not JSON") == 1
    assert fanout.json("status")["quarantine"] == {"providers": [], "foreign": [], "unassigned": False}


def test_a_replay_sends_the_same_ids_again_and_leaves_the_bookmark(fanout: Fanout, provider: str) -> None:
    fanout.drop(provider, "one.json.gz", 2)
    fanout("run", provider)
    first = fanout.ids()
    bookmark = fanout.json("bookmark", "show", provider)

    plan = fanout.json("replay", provider, "--from", "1h", "--dry-run")
    assert ([one["objects"] for one in plan["plans"]], fanout.ids()) == ([1], [])

    assert fanout("replay", provider, "--from", "1h", "--yes").status == 0
    assert fanout.ids() == first
    assert fanout.json("bookmark", "show", provider) == bookmark
    assert fanout.json("runs", provider)["runs"][0]["replay"] is True


def test_a_replay_needs_a_confirmation_unless_its_range_is_empty(fanout: Fanout, provider: str) -> None:
    fanout.drop(provider, "one.json.gz", 1)

    assert fanout("replay", provider, "--from", "1h").status == 2
    assert fanout("replay", provider, "--from", "2020-01-01", "--to", "2020-01-02", "--yes").status == 0
    assert "must not be later" in fanout("replay", provider, "--from", "now", "--to", "1h").error
    assert "is not a valid time" in fanout("replay", provider, "--from", "soon").error
    assert fanout.ids() == []


def test_after_a_reset_of_the_bookmark_everything_is_sent_again(fanout: Fanout, provider: str) -> None:
    fanout.drop(provider, "one.json.gz", 2)
    fanout("run", provider)
    assert "no new objects" in fanout.json("run", provider)["explanation"]
    first = fanout.ids()

    assert fanout("bookmark", "reset", provider).status == 2
    assert fanout.json("bookmark", "reset", provider, "--yes")["since"] is None
    fanout("run", provider)

    assert fanout.ids() == first


def test_objects_before_a_bookmark_that_was_set_forward_are_skipped_and_found_by_the_audit(
    fanout: Fanout, provider: str
) -> None:
    def audited() -> tuple[int, list[str], list[str]]:
        said = fanout("audit", provider, "--json")
        missed, waiting = ([one["key"].rpartition("/")[2] for one in said.json[name]] for name in ("missed", "waiting"))
        return said.status, missed, waiting

    fanout.drop(provider, "one.json.gz", 2)
    fanout.messages()
    assert audited() == (0, [], ["one.json.gz"])

    assert fanout("bookmark", "set", provider, "now", "--yes").status == 0
    in_future = fanout("bookmark", "set", provider, "2030-01-01T00:00:00Z", "--yes")
    assert (in_future.status, "the time is in the future" in in_future.error) == (2, True)

    assert audited() == (1, ["one.json.gz"], [])
    assert f"fanout replay {provider} --late" in fanout("audit", provider).out
    assert "no new objects" in fanout.json("run", provider)["explanation"]
    assert fanout.messages() == []


@pytest.mark.fault(44)
def test_one_command_sends_the_objects_that_arrived_too_late(fanout: Fanout, provider: str) -> None:
    fanout.drop(provider, "one.json.gz", 2)
    fanout.drop(provider, "two.json.gz", 3)
    assert fanout("bookmark", "set", provider, "now", "--yes").status == 0
    fanout.messages()

    dry = fanout.json("replay", provider, "--late", "--dry-run")
    refused = fanout("replay", provider, "--late", "--from", "1h")
    sent = fanout("replay", provider, "--late", "--yes")

    assert [one["key"].rpartition("/")[2] for one in dry["plans"][0]["objects"]] == ["one.json.gz", "two.json.gz"]
    assert (refused.status, fanout("replay", provider).status) == (2, 2)
    assert sent.status == 0, sent.error
    assert len(fanout.ids()) == 5
    assert fanout("audit", provider).status == 0
    assert "0 objects arrived too late" in fanout("replay", provider, "--late").out


def test_the_audit_lists_ignored_objects_with_the_reason(fanout: Fanout, provider: str) -> None:
    fanout.drop(provider, "one.json.gz", 2)
    bucket, _, prefix = fanout.cloud.outputs["ChangeLogDir"].removeprefix("s3://").partition("/")
    key = f"{prefix}/provider={provider}/one.json.gz.md5"
    fanout.cloud.client("s3").put_object(Bucket=bucket, Key=key, Body=b"x")
    refused = fanout("put", provider, str(fanout.folder / "object"), "--as", "two.tmp")

    (ignored,) = fanout.json("audit", provider)["ignored"]
    record = fanout.json("run", provider)["record"]

    assert (ignored["stored"]["key"], ignored["reason"]) == (key, "checksum")
    assert (record["objects"], record["ignored"]) == (1, 1)
    assert "runs would ignore two.tmp (temporary name of an upload)" in refused.error
    assert ", 1 ignored: s3://" in fanout("trace", record["run_id"]).out


def test_cost_is_measured_from_the_records(fanout: Fanout, provider: str) -> None:
    fanout.drop(provider, "one.json.gz", 2)
    record = fanout.json("run", provider)["record"]

    report = fanout.json("cost", "--from", "1d")

    (mine,) = [one for one in report["lines"] if one["name"] == provider]
    assert (mine["runs"], mine["rows"], mine["services"]["Lambda"]) == (1, 2, record["dollars"])
    assert report["dollars"] > 0
    assert report["dollars_a_year"] is None, "the first run was a moment ago"
    others = [fanout.json("cost", "--by", by) for by in ("day", "service", "engine")]
    assert [one["dollars"] for one in others] == [report["dollars"]] * 3
    assert sum(line["dollars"] for line in others[0]["lines"]) == pytest.approx(report["dollars"], abs=1e-8)


def test_without_a_laptop_cloud_the_error_says_how_to_start_it(
    fanout: Fanout, provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setenv("FANOUT_CLOUD_FILE", str(fanout.folder / "nothing.json"))
        refused = fanout("status")

    assert refused.status == 3
    assert "make up" in refused.error


@pytest.mark.fault(67)
def test_an_execution_that_failed_at_the_claim_has_one_state_everywhere(fanout: Fanout, provider: str) -> None:
    """The claim function fails before it takes the lease, so that the ledger has no record of the run."""
    functions = fanout.cloud.client("lambda")
    claim = fanout.cloud.outputs["ClaimFunctionName"]
    environment = functions.get_function_configuration(FunctionName=claim)["Environment"]
    broken = {**environment["Variables"], "RUN_LEDGER_TABLE": ""}
    functions.update_function_configuration(FunctionName=claim, Environment={"Variables": broken})
    try:
        run = fanout("run", provider, "--json")
    finally:
        functions.update_function_configuration(FunctionName=claim, Environment=environment)

    run_id = run.json["run_id"]
    assert (run.status, run.json["status"]) == (1, "failed")
    traced = fanout("trace", run_id, "--json")
    assert (traced.status, traced.json["state"], traced.json["record"]) == (1, "failed", None)
    (line,) = fanout.json("runs", provider)["runs"]
    assert (line["run_id"], line["status"]) == (run_id, "failed")
    shown = [one for one in fanout.json("status")["shown"] if one["provider"] == provider]
    assert [(one["condition"], one["run_id"], one["run_state"]) for one in shown] == [("failing", run_id, "failed")]
    stack = connection(local=True).stack
    on_page = look_at(stack, provider, call(stack, "GET", provider), stack.ledger.get(provider), utc_now())
    assert (on_page.condition, on_page.run_id, on_page.run_state) == ("failing", run_id, "failed")
