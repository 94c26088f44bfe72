"""Log records as JSON lines."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

from fanout_job.settings import Settings

log = logging.getLogger("fanout_job")


class JsonLines(logging.Formatter):
    """Writes log records as JSON lines that name provider and run."""

    def __init__(self, settings: Settings | None) -> None:
        super().__init__()
        self.run = {"provider": settings.provider, "run_id": settings.run_id} if settings else {}

    def format(self, record: logging.LogRecord) -> str:
        """Return the line. Time and level have the names and formats that Lambda expects, as in the functions' logs.
        Without an RFC 3339 `timestamp`, Lambda would treat each line as INFO.
        """
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        return json.dumps({"timestamp": moment, "level": record.levelname, "message": record.getMessage(), **self.run})


def start_logging(settings: Settings | None, stream: Any = None) -> None:
    """Log JSON lines to `stream`, by default standard output. Spark tasks have only standard error."""
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(JsonLines(settings))
    log.handlers, log.propagate = [handler], False
    log.setLevel(settings.log_level if settings else "INFO")
