"""Several laptop clouds on one machine do not interfere with each other."""

from __future__ import annotations

import fcntl
import socket
from pathlib import Path

import pytest

from laptop_cloud.cloud import LaptopCloud
from laptop_cloud.errors import LaptopCloudError

from .conftest import FIXTURES


def test_a_folder_that_another_cloud_uses_is_rejected_and_not_changed(tmp_path: Path) -> None:
    state = tmp_path / "cloud.json"
    state.write_text("{}")
    with (tmp_path / "lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(LaptopCloudError, match=rf"Another laptop cloud uses {tmp_path}.*--workdir"):
            LaptopCloud(FIXTURES / "template.yaml", workdir=tmp_path).start()
    assert state.read_text() == "{}"


def test_a_port_in_use_is_an_error_that_says_how_to_choose_another(tmp_path: Path) -> None:
    with socket.socket() as used:
        used.bind(("127.0.0.1", 0))
        used.listen()
        port = used.getsockname()[1]
        with pytest.raises(LaptopCloudError, match=rf"Port {port} is in use\. Choose another with --port"):
            LaptopCloud(FIXTURES / "template.yaml", port=port, workdir=tmp_path).start()
