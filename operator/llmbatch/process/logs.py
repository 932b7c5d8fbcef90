"""JSON logs on standard error: one object a line, the members of `extra` beside the message."""

import json
import logging
import sys
from datetime import UTC, datetime

from llmbatch.common import about

STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """Formats a record as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record."""
        told: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        told |= about.told()
        told |= {key: value for key, value in vars(record).items() if key not in STANDARD}
        if record.exc_info:
            told["trace"] = self.formatException(record.exc_info)
        return json.dumps(told, default=str)


def configure(level: str) -> None:
    """Send all logs to standard error as JSON, from the given level on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Their DEBUG lines hold bodies and headers, Secrets among them: never below INFO, whatever is asked for.
    for name in ("httpx", "httpcore", "aiohttp", "kubernetes", "urllib3", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)
