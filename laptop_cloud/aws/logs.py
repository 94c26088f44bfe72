"""CloudWatch Logs: copies the log files of functions and job runs to their log groups."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from pathlib import Path

from moto.logs.models import logs_backends

from laptop_cloud.aws.account import ACCOUNT_ID, REGION

_MAX_EVENTS = 1000
"""Log events in one call. CloudWatch Logs allows ten times as many, but only 1 MiB."""


class LogWriter:
    """Writes the new lines of files to log streams."""

    def __init__(self) -> None:
        self._logs = logs_backends[ACCOUNT_ID][REGION]
        self._lock = threading.Lock()
        self._read: dict[Path, int] = defaultdict(int)

    def put(self, group: str, stream: str, file: Path) -> None:
        """Write a file's new complete lines to a stream; creates the group and the stream if they do not exist."""
        with self._lock:
            with file.open("rb") as log:
                log.seek(self._read[file])
                new = log.read()
            whole = new[: new.rfind(b"\n") + 1]
            self._read[file] += len(whole)
            now = int(time.time() * 1000)
            events = [{"timestamp": now, "message": line.decode("utf-8", "replace")} for line in whole.splitlines()]
            if group not in self._logs.groups:
                self._logs.create_log_group(group, {})
            if stream not in self._logs.groups[group].streams:
                self._logs.create_log_stream(group, stream)
            for first in range(0, len(events), _MAX_EVENTS):
                self._logs.put_log_events(group, stream, events[first : first + _MAX_EVENTS])
