"""CloudWatch Logs: what functions and job runs print, which is in files, is put into their log groups as well."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from pathlib import Path

from moto.logs.models import logs_backends

from laptop_cloud.aws.account import ACCOUNT_ID, REGION

_MOST_EVENTS = 1000
"""Log events in one call; CloudWatch Logs takes ten times as many, but only 1 MiB."""


class LogWriter:
    """Puts new lines of files into log streams."""

    def __init__(self) -> None:
        self._logs = logs_backends[ACCOUNT_ID][REGION]
        self._lock = threading.Lock()
        self._read: dict[Path, int] = defaultdict(int)

    def put(self, group: str, stream: str, file: Path) -> None:
        """Put the whole lines that have come to a file since the last time; makes group and stream where needed."""
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
            for first in range(0, len(events), _MOST_EVENTS):
                self._logs.put_log_events(group, stream, events[first : first + _MOST_EVENTS])
