"""Log lines: a fact and its study, as text or as JSON. Never an identity: the records' header is not loggable."""

from __future__ import annotations

import json
import logging
import sys
import traceback
import warnings
from types import TracebackType
from typing import Any

# The attributes every LogRecord has; what is left of its dict is what the caller said in `extra`.
STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
# Libraries that would print headers, requests or elements at their chattier levels.
QUIET = ("pynetdicom", "pydicom", "highdicom", "uvicorn", "apscheduler", "PIL", "asyncio", "matplotlib")


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    return {k: v for k, v in vars(record).items() if k not in STANDARD}


def where(error: BaseException) -> str:
    """Class and place of an error, without its message: a message may quote an element of the data set."""
    frames = traceback.extract_tb(error.__traceback__)
    return " < ".join([type(error).__name__, *(f"{f.name}:{f.lineno}" for f in reversed(frames))][:8])


def _error(
    info: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None],
) -> str | None:
    return None if info[1] is None else where(info[1])


class TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        extra = " ".join(f"{k}={v}" for k, v in _extra(record).items())
        line = f"{self.formatTime(record)} {record.levelname:<7} {record.name}: {record.getMessage()} {extra}".rstrip()
        error = _error(record.exc_info) if record.exc_info else None
        return line if error is None else f"{line} error={error}"


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "at": self.formatTime(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_extra(record),
        }
        if record.exc_info and (error := _error(record.exc_info)):
            entry["error"] = error
        return json.dumps(entry, default=str)


def set_up(level: str, *, json_lines: bool) -> None:
    """Send log lines of this process to standard error. Called once per process."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if json_lines else TextFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.ERROR)
    # pydicom quotes bad values, in log lines and in warnings, and the log must hold no patient's name.
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    warnings.simplefilter("ignore")
