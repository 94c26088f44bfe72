"""Pictures of the console's page for the docs: real runs on a laptop cloud, shown in a real Chromium.

    python tests/pictures.py

Writes docs/pictures/. Needs Chromium: `apt-get install --yes chromium`.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "functions"), str(ROOT / "glue")]

from demo import STACK_NAME  # noqa: E402
from laptop_cloud.cloud import LaptopCloud  # noqa: E402
from tests.end_to_end.conftest import ConfigApi  # noqa: E402
from tests.harness.browser import Browser, browser, served  # noqa: E402
from tests.integration.cli.conftest import change  # noqa: E402

OUT = ROOT / "docs/pictures"
PROVIDERS = ("orders-eu", "orders-us", "payments", "inventory", "returns", "loyalty", "shipping", "catalog", "reviews")
FAILING, PAUSED, LARGE = "payments", "loyalty", "orders-eu"
TICKS, GLUE_ABOVE_BYTES = 6, 200_000


def main() -> int:
    """Run the providers and take the pictures."""
    os.environ.update(AWS_ACCESS_KEY_ID="pictures", AWS_SECRET_ACCESS_KEY="pictures", AWS_DEFAULT_REGION="us-east-1")
    OUT.mkdir(parents=True, exist_ok=True)
    overrides = {"LambdaMaxBytes": GLUE_ABOVE_BYTES}
    with (
        tempfile.TemporaryDirectory() as folder,
        LaptopCloud(ROOT / "template.yaml", overrides, folder, STACK_NAME) as cloud,
    ):
        work(cloud)
        with served(cloud.workdir / "cloud.json") as address, browser(address) as seen:
            take(cloud, seen)
    return 0


def work(cloud: LaptopCloud) -> None:
    """Register providers and start their runs by ticks."""
    api, made, now = ConfigApi(cloud), random.Random(1), datetime.now(UTC)
    for number, name in enumerate(PROVIDERS):
        api.call("PUT", f"/{name}", {"frequency": 15, "group": "shop" if number % 2 else "finance"})
    for tick in range(TICKS):
        for name in PROVIDERS:
            put(cloud, name, tick, made.randrange(50, 2000))
        cloud.tick(now - (TICKS - tick) * timedelta(minutes=16))
        cloud.wait()
    api.call("PATCH", f"/{PAUSED}", {"paused": True})
    put(cloud, FAILING, TICKS, 3, b'{"eventID": "half a rec')
    cloud.tick(now)
    cloud.wait()


def put(cloud: LaptopCloud, provider: str, number: int, rows: int, more: bytes = b"") -> None:
    """Write an object of this many changes."""
    bucket, prefix = cloud.outputs["ChangeLogDir"].removeprefix("s3://").split("/", 1)
    lines = b"".join(json.dumps(change(f"{provider}-{number}-{n}")).encode() + b"\n" for n in range(rows))
    key = f"{prefix}/provider={provider}/part-{number:04d}.json.gz"
    cloud.client("s3").put_object(Bucket=bucket, Key=key, Body=gzip.compress(lines + more))
    cloud.deliver_events()


def take(cloud: LaptopCloud, seen: Browser) -> None:
    """Take each page, and the overview during a Glue run."""
    failed = next(e["name"] for e in reversed(cloud.executions()) if e["name"].startswith(FAILING))
    seen.page.set_viewport_size({"width": 1600, "height": 900})
    pages = {
        "provider": (f"/provider/{FAILING}", "Entry in the config API"),
        "run": (f"/run/{failed}?provider={FAILING}", "Last log lines"),
        "cost": ("/cost", "Runs by the UTC day of their claim"),
    }
    for name, (path, text) in pages.items():
        seen.open(path)
        seen.sees(text)
        picture(seen, name)
    put(cloud, LARGE, TICKS, 60_000)
    seen.open("/")
    seen.sees("providers shown")
    states = cloud.client("stepfunctions")
    given = json.dumps({"provider": LARGE})
    states.start_execution(stateMachineArn=cloud.outputs["StateMachineArn"], name=f"{LARGE}-by-hand", input=given)
    seen.page.locator("#providers [role=row]").filter(has_text="running").filter(has_text="glue").first.wait_for()
    picture(seen, "overview")
    seen.page.emulate_media(color_scheme="dark")
    picture(seen, "overview-dark")
    cloud.wait(600)


def picture(seen: Browser, name: str) -> None:
    """Save a picture of the window."""
    seen.page.wait_for_timeout(500)  # the styles of another color scheme load with a delay
    seen.page.screenshot(path=OUT / f"{name}.png", animations="disabled")
    print(f"docs/pictures/{name}.png")


if __name__ == "__main__":
    sys.exit(main())
