"""Log lines: a fact and its study, as text or as JSON. Never an identity: the records' header is not loggable."""

from __future__ import annotations

import json
import logging
import sys
import threading
import traceback
import warnings
from types import TracebackType
from typing import Any

log = logging.getLogger(__name__)

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


def _printable(text: str) -> str:
    """One line, whatever a peer put into its AE title: control characters as escapes."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


class TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        extra = " ".join(f"{k}={_printable(str(v))}" for k, v in _extra(record).items())
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
    sys.excepthook = _process_ended
    threading.excepthook = _thread_ended


def _process_ended(kind: type[BaseException], error: BaseException, frames: TracebackType | None) -> None:
    log.critical("process ended by an error", exc_info=(kind, error, frames))


def _thread_ended(ended: threading.ExceptHookArgs) -> None:
    if ended.exc_value is not None:
        detail = {"which": None if ended.thread is None else ended.thread.name}
        log.error(
            "thread ended by an error", extra=detail, exc_info=(ended.exc_type, ended.exc_value, ended.exc_traceback)
        )


class NoQuotes:
    """What ends a child process inside this block is told by class and place; multiprocessing would print it whole."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, frames: object) -> None:
        if isinstance(error, Exception):
            log.critical("process ended by an error: %s", where(error))  # perhaps before set_up: nothing but a message
            raise SystemExit(1) from None
