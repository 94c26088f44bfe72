"""Measures the console's overview and Cost page with 10,000 providers, in a real Chromium on the laptop cloud.

    python tests/benchmarks/console_bench.py

Writes docs/bench/console.json. Needs Chromium: `apt-get install --yes chromium`.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from bisect import bisect_left
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "functions"), str(ROOT / "glue")]

from cli.console.watch import SAMPLE  # noqa: E402
from contract.uris import record_uri, run_dir, split_uri  # noqa: E402
from fanout.runs import RunRecord  # noqa: E402
from laptop_cloud.aws.account import ACCOUNT_ID  # noqa: E402
from laptop_cloud.cloud import LaptopCloud  # noqa: E402
from tests.benchmarks.test_status import PROVIDERS, seed  # noqa: E402
from tests.harness.browser import Browser, browser, served  # noqa: E402
from tests.template.reading import TEMPLATE  # noqa: E402

USABLE_SECONDS, FILTER_MILLISECONDS = 2.0, 200.0
DAYS, DAILY = 7, 100
"""Each provider has a run on one of the latest 7 days, and each hundredth one on all of them."""
OPENED = 9
"""How often each page is opened. The median is judged: on shared cores, single times vary by a factor of two."""
LOOK_SECONDS = 10.0
SHOWN = f"{PROVIDERS:,} of {PROVIDERS:,} providers shown"
TYPED = ("provider-00", "provider-001", "provider-0012", "line 7", "nothing like it", "")
"""Each text matches a different number of providers than the text before it."""
FILTERED = """async (text) => {
  const input = document.querySelector('#search'), shown = document.querySelector('#shown');
  const set = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set;
  const began = performance.now();
  const changed = new Promise((done, late) => {
    setTimeout(() => late('nothing changed'), 10000);
    new MutationObserver(done).observe(shown, { childList: true, characterData: true, subtree: true });
  });
  set.call(input, text);
  input.dispatchEvent(new Event('input', { bubbles: true }));
  await changed;
  await new Promise(requestAnimationFrame);
  return performance.now() - began;
}"""
"""Enters a text, waits for the frame after the table shows the matches, and returns the milliseconds."""


def opened(seen: Browser) -> float:
    """Open the overview; return the seconds until all providers are in the table and can be searched."""
    seen.open("/")
    seen.sees(SHOWN, "#shown")
    seen.page.locator("#providers .ag-row").first.wait_for()
    return float(seen.page.evaluate("performance.now()")) / 1000


def seed_runs(cloud: LaptopCloud, now: datetime) -> int:
    """Add records of runs within the period of the Cost page; return their number.

    Writes directly into moto. For a listing, moto reads the keys of the whole bucket, which would make the measurement
    of 10,000 providers take 10 minutes; here it finds those of a provider by bisection.
    """
    from moto.s3.models import s3_backends

    backend: Any = s3_backends[ACCOUNT_ID]["aws"]
    bucket = cloud.outputs["DataBucketName"]
    runs = [
        (f"provider-{number:05d}", age)
        for number in range(PROVIDERS)
        for age in (range(DAYS) if number % DAILY == 0 else [number % DAYS])
    ]
    for name, age in runs:
        at = now - timedelta(days=age)
        run_id, rows = f"{name}-{age}", 100 * (age + 1)
        record = RunRecord(
            run_id=run_id,
            status="succeeded",
            started_at=at,
            ended_at=at,
            engine="lambda",
            rows=rows,
            messages=rows,
            dollars=rows / 1e6,
        )
        key = split_uri(record_uri(run_dir(bucket, name, at, run_id)))[1]
        backend.put_object(bucket, key, record.model_dump_json().encode())
    keys, listed = backend.get_bucket(bucket).keys, backend.list_objects
    names = sorted(keys)

    def of_one_provider(found: Any, prefix: str | None, *rest: Any, **options: Any) -> Any:
        if prefix and prefix.startswith("runs/provider="):
            some = takewhile(lambda name: name.startswith(prefix), names[bisect_left(names, prefix) :])
            found = SimpleNamespace(keys={name: keys[name] for name in some})
        return listed(found, prefix, *rest, **options)

    backend.list_objects = of_one_provider
    return len(runs)


def measure(seen: Browser) -> None:
    """Have the console measure all providers, with the page closed most of the time, as it takes minutes."""
    seen.open("/cost")
    seen.press("Measure all providers")
    seen.sees("Measuring;", "#cost-state")
    while seen.page.locator("#cost-state").inner_text():
        seen.page.goto("about:blank")
        time.sleep(LOOK_SECONDS)
        cost_opened(seen)


def cost_opened(seen: Browser) -> float:
    """Open the Cost page; return the seconds until it shows the chart and the table."""
    seen.open("/cost")
    seen.page.locator("figure .recharts-bar-rectangle").first.wait_for()
    seen.page.locator("#costs .ag-row").first.wait_for()
    return float(seen.page.evaluate("performance.now()")) / 1000


def main() -> int:
    """Measure, print, write; return 0 if the medians meet the targets."""
    os.environ.update(AWS_ACCESS_KEY_ID="bench", AWS_SECRET_ACCESS_KEY="bench", AWS_DEFAULT_REGION="us-east-1")
    with tempfile.TemporaryDirectory() as folder, LaptopCloud(TEMPLATE, workdir=folder) as cloud:
        now = datetime.now(UTC)
        seed(cloud, now)
        runs = seed_runs(cloud, now)
        with served(cloud.workdir / "cloud.json") as address, browser(address) as seen:
            seen.sees(SHOWN, "#shown")  # the first visit also starts the config API's Lambda
            opening = [opened(seen) for _ in range(OPENED)]
            filtering = [float(seen.page.evaluate(FILTERED, text)) for _ in range(3) for text in TYPED]
            measure(seen)
            seen.page.goto("about:blank")
            time.sleep(SAMPLE.total_seconds())  # so that the cost is evaluated again while the page opens
            costs = [cost_opened(seen) for _ in range(OPENED)]
            rows = seen.page.evaluate("dash_ag_grid.getApiAsync('costs').then((api) => api.getDisplayedRowCount())")
            faults = seen.faults if rows == PROVIDERS else [f"the Cost page has {rows} providers", *seen.faults]
    measured = {
        "usable_seconds": (opening, USABLE_SECONDS),
        "filter_milliseconds": (filtering, FILTER_MILLISECONDS),
        "cost_usable_seconds": (costs, USABLE_SECONDS),
    }
    figures: dict[str, Any] = {"machine": f"{os.cpu_count()} shared cores", "providers": PROVIDERS, "runs": runs}
    for name, (found, _) in measured.items():
        figures[name] = {"median": round(median(found), 2), "best": round(min(found), 2), "worst": round(max(found), 2)}
        print(f"{name} with {PROVIDERS:,} providers: {figures[name]}")
    figures["targets"] = {
        f"{name}, median": {"target": target, "met": median(found) <= target}
        for name, (found, target) in measured.items()
    }
    (ROOT / "docs/bench/console.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    met = all(target["met"] for target in figures["targets"].values())
    print("\n".join(faults) or "no error in the browser, no request to another host")
    return 0 if met and not faults else 1


if __name__ == "__main__":
    sys.exit(main())
