"""JSON logs with rotation: one file a process, since two processes cannot rotate the same file."""

import copy
import json
import logging
import time
from pathlib import Path
from typing import Any

from apps.common import masking

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
        if record.exc_info or record.exc_text:
            line["traceback"] = record.exc_text or self.formatException(record.exc_info)  # type: ignore[arg-type]
        return json.dumps(line, ensure_ascii=False, default=str)

    def converter(self, seconds: float | None) -> time.struct_time:
        return time.gmtime(seconds)


class MaskingFilter(logging.Filter):
    """Gives each handler a copy of the record without the secrets of any environment: message, extras and traceback."""

    def filter(self, record: logging.LogRecord) -> logging.LogRecord:
        masker = masking.current()
        shown = copy.copy(record)
        shown.msg, shown.args = masker.text(record.getMessage()), None
        if record.exc_info and not record.exc_text:
            shown.exc_text = logging.Formatter().formatException(record.exc_info)
        for name in ("exc_text", "stack_info"):
            if said := getattr(shown, name):
                setattr(shown, name, masker.text(said))
        for name, value in record.__dict__.items():
            if name not in _STANDARD and isinstance(value, str):
                setattr(shown, name, masker.text(value))
        return shown


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int | float | bool | None)


def configuration(folder: Path, process: str, to: str = "files") -> dict[str, Any]:
    """Django's LOGGING. A process that was given a name (by `make run` or a service) writes `<folder>/<name>.jsonl`;
    one without (a command at a terminal) only speaks on stderr, warnings and worse. In a container all goes `to` stderr, plain or json:
    its engine keeps and rotates it."""
    handlers: dict[str, Any] = {
        "stderr": {"class": "logging.StreamHandler", "level": "WARNING", "formatter": "plain"},
    }
    if to != "files":
        handlers["stderr"] |= {"level": "INFO", "formatter": to}
    elif process:
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
        "filters": {"masking": {"()": "flowcontrol.logs.MaskingFilter"}},
        "handlers": {name: {**handler, "filters": ["masking"]} for name, handler in handlers.items()},
        "root": {"handlers": list(handlers), "level": "INFO"},
    }
