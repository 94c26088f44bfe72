"""Two laptop clouds on one machine do not get in each other's way, or are refused plainly."""

from __future__ import annotations

import fcntl
import socket
from pathlib import Path

import pytest

from demo.__main__ import RUN_WORKDIR, WORKDIR
from laptop_cloud.cloud import LaptopCloud
from laptop_cloud.errors import LaptopCloudError

from .conftest import FIXTURES


def test_a_folder_in_which_another_cloud_works_is_refused_and_left_alone(tmp_path: Path) -> None:
    state = tmp_path / "cloud.json"
    state.write_text("{}")
    with (tmp_path / "lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(LaptopCloudError, match=rf"Another laptop cloud works in {tmp_path}.*--workdir"):
            LaptopCloud(FIXTURES / "template.yaml", workdir=tmp_path).start()
    assert state.read_text() == "{}"


def test_make_run_has_a_folder_of_its_own() -> None:
    assert RUN_WORKDIR != WORKDIR
    assert RUN_WORKDIR.name not in ("logs", "functions")  # which a cloud that starts in WORKDIR empties


def test_a_port_that_is_taken_is_told_with_how_to_choose_another(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(LaptopCloudError, match=rf"Port {port} is taken.*make up ARGS='--port {port + 1}'"):
            LaptopCloud(FIXTURES / "template.yaml", port=port, workdir=tmp_path).start()
