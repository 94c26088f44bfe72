"""The console's page in a real Chromium, against the laptop cloud."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from contract.uris import record_uri, run_dir, split_uri
from fanout.runs import RunRecord
from laptop_cloud.cloud import LaptopCloud
from registry.document import NEVER_RAN
from tests.end_to_end.conftest import ConfigApi
from tests.harness.browser import WIDTHS, Browser, Opening, chromium, launched, served
from tests.harness.clouds import SharedCloud, delete_entries, write_entries
from tests.harness.waiting import HANG_SECONDS
from tests.integration.cli.conftest import change

# A provider is waiting until its next turn, which must not come before the test has looked.
DAILY = {"frequency": 1440}
HOSTILE = "<img src=x onerror=\"document.title='owned'\"><b>bold</b>\x1b[31m\u202e"


@pytest.fixture(scope="module")
def cloud(shared_cloud: SharedCloud, tmp_path_factory: pytest.TempPathFactory) -> LaptopCloud:
    chromium()
    return shared_cloud.up(tmp_path_factory.mktemp("cloud"))


@pytest.fixture(scope="module")
def address(cloud: LaptopCloud) -> Iterator[str]:
    with served(cloud.workdir / "cloud.json") as printed:
        yield printed


@pytest.fixture(scope="module")
def chrome() -> Iterator[Opening]:
    with launched() as opening:
        yield opening


@pytest.fixture
def opened(chrome: Opening, address: str) -> Iterator[Browser]:
    """A browser with the console open; the test fails if the page reports an error."""
    with chrome(address) as found:
        yield found
        assert found.faults == []


def put(cloud: LaptopCloud, provider: str, key: str, body: bytes) -> None:
    bucket, prefix = cloud.outputs["ChangeLogDir"].removeprefix("s3://").split("/", 1)
    cloud.client("s3").put_object(Bucket=bucket, Key=f"{prefix}/provider={provider}/{key}", Body=body)
    cloud.deliver_events()


def rows(provider: str, count: int) -> bytes:
    return gzip.compress(b"".join(json.dumps(change(f"{provider}-{n}")).encode() + b"\n" for n in range(count)))


def row(opened: Browser, provider: str, condition: str) -> None:
    """Wait until the overview shows a provider in a condition. The table only has the rows in the window."""
    name = opened.page.locator("#providers [role=row]").filter(has_text=provider).filter(has_text=condition)
    name.first.wait_for(timeout=HANG_SECONDS * 1000)


@pytest.mark.parametrize("width", WIDTHS)
def test_an_operator_sees_a_failure_repairs_it_and_replays(cloud: LaptopCloud, opened: Browser, width: int) -> None:
    provider, api = f"acme-{width}", ConfigApi(cloud)
    opened.resize(width)
    opened.sees("providers shown")
    api.call("PUT", f"/{provider}", DAILY)
    row(opened, provider, "due")

    # The page shows the start and the success of a run that was started elsewhere.
    put(cloud, provider, "good.json.gz", rows(provider, 30))
    opened.page.get_by_role("link", name=provider, exact=True).click()
    opened.sees("1 object")
    opened.press("Run now")
    opened.sees("sends one message for each changed row", "[role=dialog]")
    opened.press("Start run")
    opened.sees("Update Status Success")
    opened.sees("30 rows, 30 messages")
    opened.sees("Timeline of", "th")
    opened.sees("the bookmark moved to generation 1")
    opened.page.get_by_role("link", name="Overview").click()
    row(opened, provider, "waiting")

    # A run fails; the page says why, down to object and line.
    put(cloud, provider, "bad.json.gz", gzip.compress(json.dumps(change("fine")).encode() + b"\n{broken\n"))
    opened.page.get_by_role("link", name=provider, exact=True).click()
    opened.press("Run now")
    opened.press("Start run")
    opened.sees("OnBadRecord=quarantine")
    opened.sees(f"provider={provider}/bad.json.gz, line 2")
    opened.sees("nothing was committed")
    opened.page.get_by_role("link", name="Overview").click()
    row(opened, provider, "failing")
    opened.sees("RecordError: bad.json.gz, line 2", "#providers")

    # Its cells show a success and a failure; each leads to its run.
    cells = opened.page.locator("#providers [role=row]").filter(has_text=provider).get_by_role("link")
    cells.filter(has=opened.page.get_by_role("img", name="succeeded, ")).wait_for()
    cells.filter(has=opened.page.get_by_role("img", name="failed, ")).click()
    opened.sees(f"provider={provider}/bad.json.gz, line 2")
    opened.page.get_by_role("link", name="Overview").click()

    # After a repair, the provider is run again.
    put(cloud, provider, "bad.json.gz", rows(f"{provider}-mended", 2))
    opened.page.get_by_role("link", name=provider, exact=True).click()
    opened.sees("Needs attention: failing since", ".standing")
    opened.sees("Duration of 2 runs", "figcaption")
    opened.press("Run now")
    opened.press("Start run")
    opened.sees("the bookmark moved to generation 2")

    # A replay: a dry run shows the number of messages, and only the confirmation sends them.
    opened.page.get_by_role("link", name=provider, exact=True).first.click()
    opened.page.get_by_text("Replay", exact=True).click()
    opened.press("Dry run")
    opened.sees("2 objects")
    opened.press("Send again")
    opened.sees("The bookmark does not change", "[role=dialog]")
    opened.page.get_by_role("dialog").get_by_role("button", name="Send again").click()
    opened.sees("a replay: its messages were sent, and the bookmark did not change")

    # Pause and resume.
    opened.page.get_by_role("link", name=provider, exact=True).first.click()
    opened.press("Pause")
    opened.sees("is paused: no tick starts it")
    opened.page.get_by_role("link", name="Overview").click()
    row(opened, provider, "paused")
    opened.page.get_by_role("link", name=provider, exact=True).click()
    opened.press("Resume")
    opened.sees("is resumed: it starts at the next tick")


def test_the_page_shows_a_run_of_a_tick_without_reloading(cloud: LaptopCloud, opened: Browser) -> None:
    ConfigApi(cloud).call("PUT", "/by-tick", DAILY)
    put(cloud, "by-tick", "one.json.gz", rows("by-tick", 5))
    opened.sees("providers shown")
    row(opened, "by-tick", "due")

    ticked = cloud.tick()

    assert "by-tick" in ticked["started_providers"]
    row(opened, "by-tick", "waiting")
    opened.sees(ticked["scheduled_at"][:10], "#ticks")


def test_search_and_conditions_narrow_the_table(cloud: LaptopCloud, opened: Browser) -> None:
    api = ConfigApi(cloud)
    api.call("PUT", "/findable-one", {"frequency": 15, "group": "teal"})
    api.call("PUT", "/findable-two", {"frequency": 15, "paused": True})
    row(opened, "findable-one", "due")
    row(opened, "findable-two", "paused")

    opened.page.get_by_label("Search providers").fill("findable")
    opened.sees("2 of", "#shown")
    opened.page.get_by_text("paused", exact=False).first.click()
    opened.sees("1 of", "#shown")
    opened.page.get_by_label("Search providers").fill("teal")
    opened.sees("0 of", "#shown")


@pytest.mark.parametrize("width", WIDTHS)
def test_the_providers_that_match_a_search_are_changed_together(
    cloud: LaptopCloud, opened: Browser, width: int
) -> None:
    names = [f"many-{width}-{number}" for number in range(3)]
    opened.resize(width)
    for name in names:
        ConfigApi(cloud).call("PUT", f"/{name}", DAILY)
        put(cloud, name, "one.json.gz", rows(name, 2))
        row(opened, name, "due")
    opened.page.get_by_label("Search providers").fill(f"many-{width}-")
    opened.sees("3 of", "#shown")
    cells = opened.page.locator("#providers [role=row]").get_by_role("link")

    # A change needs a selection and a confirmation.
    opened.press("Pause")
    opened.sees("no provider is selected")
    opened.page.locator("#providers [role=columnheader]").get_by_role("checkbox").check()
    opened.press("Pause")
    opened.sees(f"3 providers would be paused: {', '.join(names)}. No tick starts them.", "[role=dialog]")
    assert opened.serious() == []
    opened.press("Cancel")
    opened.press("Pause")
    opened.press("Confirm")
    opened.sees("3 of 3 providers paused", "#outcome")
    for name in names:
        row(opened, name, "paused")

    # Without one of them, the others are resumed and run.
    opened.page.locator("#providers [role=row]").filter(has_text=names[0]).get_by_role("checkbox").uncheck()
    opened.press("Resume")
    opened.press("Confirm")
    opened.sees("2 of 2 providers resumed", "#outcome")
    opened.press("Run now")
    opened.sees("They have 2 pending objects.", "[role=dialog]")
    opened.press("Confirm")
    opened.sees("2 of 2 providers started", "#outcome")
    for name, condition in zip(names, ("paused", "waiting", "waiting"), strict=True):
        row(opened, name, condition)
    cells.filter(has=opened.page.get_by_role("img", name="succeeded, ")).nth(1).wait_for()


@pytest.fixture
def tenants(cloud: LaptopCloud) -> Iterator[list[str]]:
    """500 providers of one group, and 20 of another one; removed after the test."""
    names = [f"tenant-{number:03}" for number in range(520)]
    groups = {name: "energy" if name < "tenant-500" else "retail" for name in names}
    write_entries(cloud, {name: {"frequency": 60, "group": group, **NEVER_RAN} for name, group in groups.items()})
    yield names
    delete_entries(cloud, names)


def test_500_providers_that_match_are_paused_and_no_other(
    cloud: LaptopCloud, opened: Browser, tenants: list[str]
) -> None:
    api = ConfigApi(cloud)
    before = api.call("GET")
    search, table = opened.page.get_by_label("Search providers"), opened.page.locator("#providers")
    opened.sees(f"{len(before)} of {len(before)} providers shown", "#shown")

    # A provider of the other group is selected before the search hides it.
    search.fill("tenant-500")
    opened.sees("1 of", "#shown")
    table.locator("[role=row]").filter(has_text="tenant-500").get_by_role("checkbox").check()
    search.fill("energy")
    opened.sees(f"500 of {len(before)} providers shown", "#shown")
    table.locator("[role=columnheader]").get_by_role("checkbox").check()
    opened.press("Pause")
    opened.sees("500 providers would be paused: tenant-000, ", "[role=dialog]")
    assert api.call("GET") == before
    opened.press("Confirm")
    opened.sees("500 of 500 providers paused", "#outcome")

    assert api.call("GET") == before | {name: before[name] | {"paused": True} for name in tenants[:500]}
    search.fill("tenant-499")
    row(opened, "tenant-499", "paused")


def test_a_provider_is_opened_with_the_keyboard_alone(cloud: LaptopCloud, opened: Browser) -> None:
    ConfigApi(cloud).call("PUT", "/by-keyboard", {"frequency": 15})
    row(opened, "by-keyboard", "due")

    opened.page.get_by_label("Search providers").press_sequentially("by-keyboard")
    opened.sees("1 of", "#shown")
    for key in ("Tab", "ArrowDown", "ArrowRight", "Enter"):  # the table's head, the first row's name
        opened.page.keyboard.press(key)

    opened.sees("Entry in the config API")
    assert opened.page.get_by_role("heading", level=1).inner_text() == "by-keyboard"


@pytest.mark.fault(38)
def test_names_groups_and_errors_with_html_and_escape_sequences_are_shown_as_text(
    cloud: LaptopCloud, opened: Browser
) -> None:
    ConfigApi(cloud).call("PUT", "/hostile", {"frequency": 15, "group": HOSTILE[:60], "note": HOSTILE})
    put(cloud, "hostile", f"{HOSTILE[:40]}.json.gz", gzip.compress(b"{}\n"))
    cloud.tick()
    row(opened, "hostile", "failing")
    opened.sees("<img src=x onerror=", "#providers")
    opened.page.get_by_role("link", name="hostile", exact=True).click()
    opened.sees("<b>bold</b>")

    assert opened.page.title() == "glue-fanout console"
    assert opened.page.locator("main b, main img").count() == 0
    assert "\x1b" not in opened.page.content()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_is_accessible_and_fits_its_window(
    cloud: LaptopCloud, opened: Browser, width: int, scheme: str
) -> None:
    ConfigApi(cloud).call("PUT", "/seen", {"frequency": 15})
    put(cloud, "seen", "one.json.gz", gzip.compress(b"{broken\n"))
    cloud.tick()
    ended = [one for one in cloud.wait(HANG_SECONDS) if one["name"].startswith("seen-")]
    opened.resize(width)
    opened.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    pages = {
        "/": "providers shown",
        "/provider/seen": "Entry in the config API",
        f"/run/{ended[-1]['name']}?provider=seen": "Last log lines",
        "/failures": "Retry all",
        "/cost": "Runs by the UTC day of their claim",
        "/dead-letters": "ChangesDeadLetterQueue",
        "/nowhere": "Page not found",
    }
    for path, text in pages.items():
        opened.open(path)
        opened.sees(text)

        assert opened.serious() == [], path
        assert not opened.wider_than_the_window(), path


@pytest.fixture(scope="module")
def expensive_day(cloud: LaptopCloud) -> str:
    """A day on which a provider cost $2.00, among days on which it cost $0.10."""
    noon = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
    for age, amount in ((1, 0.1), (2, 2.0), (3, 0.1), (4, 0.1), (5, 0.1)):
        at, run_id = noon - timedelta(days=age), f"expensive-{age}"
        folder = run_dir(cloud.outputs["DataBucketName"], "expensive", at, run_id)
        record = RunRecord(
            run_id=run_id, status="succeeded", started_at=at, ended_at=at, engine="glue", dollars=amount - 5 * 0.000025
        )
        bucket, key = split_uri(record_uri(folder))
        cloud.client("s3").put_object(Bucket=bucket, Key=key, Body=record.model_dump_json().encode())
    ConfigApi(cloud).call("PUT", "/expensive", {"frequency": 15})
    return f"{noon - timedelta(days=2):%Y-%m-%d}"


@pytest.mark.parametrize("width", WIDTHS)
def test_the_cost_page_marks_an_expensive_day_and_names_its_provider_and_run(
    opened: Browser, expensive_day: str, width: int
) -> None:
    opened.resize(width)
    opened.sees("expensive", "#providers")
    opened.page.get_by_role("link", name="Cost", exact=True).click()

    opened.sees(
        f"{expensive_day} is an outlier: $2.00. The median of the other days is $0.10. expensive has the largest share:"
        " $2.00 (100%) in 1 run. The most expensive run cost $2.00; see `fanout trace expensive-2`"
    )
    explained = opened.page.get_by_role("paragraph").filter(has_text=f"{expensive_day} is an outlier")
    link = explained.get_by_role("link", name="expensive-2", exact=True)
    assert link.get_attribute("href") == "/run/expensive-2?provider=expensive"
    day = opened.page.locator("table tr").filter(has_text=expensive_day).get_by_role("cell").all_inner_texts()
    assert day == [expensive_day, "1", "0", "0", "$2.00", "$2.00", "$0.00", "$0.00", "$0.00013", "20.0 x the median"]
    opened.sees(f"{expensive_day[5:]}*", "figure")
    provider = opened.page.locator("#costs [role=row]").filter(has_text="expensive")
    assert provider.get_by_role("gridcell").all_inner_texts()[:5] == ["expensive", "5", "0", "0", "$2.40"]
    assert opened.serious() == []
    assert not opened.wider_than_the_window()


def test_all_providers_that_fail_for_one_cause_are_retried(cloud: LaptopCloud, opened: Browser) -> None:
    names = ("corrupt-1", "corrupt-2")
    for name in names:
        ConfigApi(cloud).call("PUT", f"/{name}", DAILY)
        put(cloud, name, "one.json.gz", b"not gzip")
    cloud.tick()
    cloud.wait(HANG_SECONDS)
    for name in names:
        put(cloud, name, "one.json.gz", rows(name, 1))

    opened.page.get_by_role("link", name="Failures", exact=True).click()
    cause = opened.page.locator("section").filter(has_text="CorruptObjectError: is named .gz but is not gzip")
    cause.get_by_role("button", name="Retry all (2)").click()
    opened.sees("2 providers would be started: corrupt-1, corrupt-2. They have ", "[role=dialog]")
    opened.press("Start runs")
    opened.sees("2 of 2 providers started", "#outcome")

    opened.page.get_by_role("link", name="Overview").click()
    opened.page.get_by_label("Search providers").fill("corrupt-")
    for name in names:
        row(opened, name, "waiting")


def test_dead_letters_are_shown_and_moved_back_only_after_confirmation(cloud: LaptopCloud, opened: Browser) -> None:
    sqs = cloud.client("sqs")
    changes, dead = cloud.outputs["ChangesQueueUrl"], cloud.physical_id("ChangesDeadLetterQueue")
    sqs.purge_queue(QueueUrl=changes)
    sqs.send_message(QueueUrl=dead, MessageBody=json.dumps({"id": "given up", "note": "<b>bold</b>"}))

    opened.open("/dead-letters")
    opened.sees("given up")
    opened.page.get_by_role("button", name="Redrive to").first.click()
    opened.sees("whose consumer receives them again", "[role=dialog]")
    opened.press("Cancel")
    assert "Messages" not in sqs.receive_message(QueueUrl=changes)
    opened.page.get_by_role("button", name="Redrive to").first.click()
    opened.press("Redrive")
    opened.sees("are being moved to")

    (message,) = sqs.receive_message(QueueUrl=changes, WaitTimeSeconds=5)["Messages"]
    assert json.loads(message["Body"])["id"] == "given up"


@pytest.mark.fault(38)
def test_the_page_says_that_the_stack_is_down_and_recovers_when_it_is_up(
    cloud: LaptopCloud, chrome: Opening, tmp_path: Path
) -> None:
    file = tmp_path / "cloud.json"
    with served(file) as printed, chrome(printed) as opened:
        opened.sees("start the laptop cloud with `make up`")
        opened.sees("The console keeps trying")
        file.write_text((cloud.workdir / "cloud.json").read_text())

        opened.sees("providers shown")
        opened.sees("As of", "#overview-live")
        assert opened.faults == []
