"""Numbers of docs/limits.md and docs/security.md that the template sets: `make docs` writes them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from laptop_cloud.stack.template import Template
from tools.expand import expanded
from tools.iam import EVERYTHING
from tools.sections import renewed

TEMPLATE = Path(__file__).parents[1] / "template.yaml"


def page(text: str) -> str:
    """Return a page with the numbers of the template in those of its sections that it has."""
    found = {name: number for name, number in numbers().items() if f"<!-- {name} -->" in text}
    return renewed(text, found)


@cache
def numbers() -> dict[str, str]:
    """Section name -> its content."""
    parameters: tuple[dict[str, str], ...] = ({}, {"Profile": "prod"}, {**EVERYTHING, "Job": "standardize"})
    dev, prod, most = (expanded(TEMPLATE, given)["Resources"] for given in parameters)
    properties: dict[str, dict[str, Any]] = {name: resource["Properties"] for name, resource in dev.items()}
    throttle = properties["ConfigApiUsagePlan"]["Throttle"]
    return {
        "usage-plan": f"{throttle['RateLimit']:,} requests per second, burst {throttle['BurstLimit']:,}",
        "resources": f"{len(dev)} in dev, {len(prod)} in prod, up to {len(most)} with all options",
        "slots": str(Template.load(TEMPLATE, {}).parameter("MaxConcurrentRuns")),
        "glue-timeout": f"{properties['ChangeLogJob']['Timeout']} min",
        "claim-timeout": f"{properties['ClaimFunction']['Timeout'] // 60} minutes",
        "dispatch-timeout": f"{properties['DispatchFunction']['Timeout'] // 60}",
    }
