"""JSON logs with rotation: one file a process, since two processes cannot rotate the same file."""

import json
import logging
import time
from pathlib import Path
from typing import Any

LARGEST_BYTES = 10 * 1024**2
KEPT = 5
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """One JSON object a line: at (UTC), level, logger, message, what `extra` brought, and the traceback."""

    default_msec_format = "%s.%03dZ"

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": self.formatTime(record, "%Y-%m-%dT%H:%M:%S"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.process,
        }
        line |= {key: value for key, value in record.__dict__.items() if key not in _STANDARD and _is_plain(value)}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)

    def converter(self, seconds: float | None) -> time.struct_time:
        return time.gmtime(seconds)


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int | float | bool | None)


def configuration(folder: Path, process: str) -> dict[str, Any]:
    """Django's LOGGING. A process that was given a name (by `make run` or a service) writes `<folder>/<name>.jsonl`;
    one without (a command at a terminal) only speaks on stderr, warnings and worse."""
    handlers: dict[str, Any] = {
        "stderr": {"class": "logging.StreamHandler", "level": "WARNING", "formatter": "plain"},
    }
    if process:
        folder.mkdir(parents=True, exist_ok=True)
        handlers["file"] = {
            "class": "logging.handlers.RotatingFileHandler",
            "filename": str(folder / f"{process}.jsonl"),
            "maxBytes": LARGEST_BYTES,
            "backupCount": KEPT,
            "encoding": "utf-8",
            "delay": True,
            "formatter": "json",
        }
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "json": {"()": "flowcontrol.logs.JsonFormatter"},
            "plain": {"format": "%(levelname)s %(name)s: %(message)s"},
        },
        "handlers": handlers,
        "root": {"handlers": list(handlers), "level": "INFO"},
    }
