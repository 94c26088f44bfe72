"""Run parliament over policy documents from standard input, `{name: document}`; exit 1 if it finds anything.

It runs in the environment of the checks, which has parliament but not this project:

    python -m tools.iam template.yaml | .venv-checkov/bin/python tools/check_policies.py
"""

from __future__ import annotations

import json
import sys

from parliament import analyze_policy_string  # type: ignore[import-not-found]  # only the checks' environment has it

_BY_SAM = "SAM writes this policy for the on-failure destination, without a Version and without variables that need one"
EXPECTED = {
    "NoNetworkPolicy: UNKNOWN_CONDITION_FOR_ACTION": (
        "Lambda puts lambda:SourceFunctionArn into the credentials of a function, so requests to any service have it"
    ),
    "DispatchFunctionRole.DispatchFunctionEventInvokeConfigOnFailureSQSPolicy: NO_VERSION": _BY_SAM,
    "UpdateStatusFunctionRole.UpdateStatusFunctionEventInvokeConfigOnFailureSQSPolicy: NO_VERSION": _BY_SAM,
    "DispatchFunctionRole.DispatchFunctionRolePolicy2: RESOURCE_MISMATCH": (
        "DescribeExecution takes a standard or an express execution; parliament expects both; the machine is standard"
    ),
    "ProducerFunctionRole.ProducerFunctionRolePolicy2: RESOURCE_MISMATCH": (
        "the stream is of DynamoDB or of Kinesis, which no condition can tell; the other actions have no effect"
    ),
}
"""Correct findings that are intended: "policy: issue" -> reason."""


def main() -> int:
    """Print findings that are not expected, and expected findings that no longer occur."""
    found = {
        f"{name}: {finding.issue}": finding
        for name, document in json.load(sys.stdin).items()
        for finding in analyze_policy_string(json.dumps(document)).findings
    }
    for key, finding in found.items():
        if key not in EXPECTED:
            print(f"{key} {finding.detail} {finding.location}", file=sys.stderr)
    for key in EXPECTED.keys() - found.keys():
        print(f"{key} is expected in tools/check_policies.py, but no longer found", file=sys.stderr)
    if set(found) != set(EXPECTED):
        return 1
    print(f"parliament finds nothing wrong; {len(EXPECTED)} findings are explained")
    return 0


if __name__ == "__main__":
    sys.exit(main())
