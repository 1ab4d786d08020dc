"""Log lines: one fact per line, and never what a message or a data set quotes."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from typing import Any

import pytest

from triaged.logs import JsonFormatter, TextFormatter, where

SECRET = "Mustermann^Erika"


def record(message: str = "study ready", *, error: Exception | None = None, **extra: object) -> logging.LogRecord:
    made = logging.getLogger("triaged.test").makeRecord(
        "triaged.test", logging.WARNING, "file.py", 1, message, (), None, extra=extra
    )
    if error is not None:
        made.exc_info = (type(error), error, error.__traceback__)
    return made


def raised() -> Exception:
    """An error that quotes a patient's name, with the cause it came from."""
    try:
        try:
            int(SECRET)
        except ValueError as cause:
            raise KeyError(f"no place for {SECRET}") from cause
    except KeyError as error:
        return error


def test_a_json_line_is_one_object_with_its_extras() -> None:
    line = JsonFormatter().format(record(study="1.2.3", waited_s=47, series=3))
    said: dict[str, Any] = json.loads(line)
    assert "\n" not in line
    assert said.pop("at")
    assert said == {
        "level": "WARNING",
        "logger": "triaged.test",
        "message": "study ready",
        "study": "1.2.3",
        "waited_s": 47,
        "series": 3,
    }


def test_a_text_line_holds_the_fact_and_its_study() -> None:
    line = TextFormatter().format(record(study="1.2.3"))
    assert line.endswith("WARNING triaged.test: study ready study=1.2.3")


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
def test_an_error_is_its_class_and_place_without_its_message(formatter: logging.Formatter) -> None:
    line = formatter.format(record("analysis failed", error=raised(), study="1.2.3"))
    assert "KeyError < raised:" in line
    assert SECRET not in line
    assert "\n" not in line


def test_where_names_the_deepest_place_first() -> None:
    assert where(raised()).startswith("KeyError < raised:")
    assert where(ValueError(SECRET)) == "ValueError"


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
def test_a_peer_cannot_forge_a_line(formatter: logging.Formatter) -> None:
    """AE titles and the like come from outside."""
    line = formatter.format(record(calling_ae="CT1\n2026-01-01 ERROR triaged: all is lost\x1b[2J"))
    assert "\n" not in line
    assert "\x1b" not in line


def test_letters_beyond_ascii_stay_readable() -> None:
    assert TextFormatter().format(record(by="dr.müller")).endswith("by=dr.müller")


PROGRAM = f"""
import logging, threading, warnings
from triaged import logs
logs.set_up("DEBUG", json_lines={{json_lines}})
logging.getLogger("triaged.x").info("a fact", extra={{{{"study": "1.2.3"}}}})
logging.getLogger("pydicom").error("bad value {SECRET}")
logging.getLogger("pynetdicom.acse").info("{SECRET}")
warnings.warn("{SECRET}")
def fail():
    raise ValueError("{SECRET}")
thread = threading.Thread(target=fail, name="beat")
thread.start()
thread.join()
fail()
"""


@pytest.mark.parametrize("json_lines", [True, False])
def test_nothing_that_a_process_writes_by_itself_quotes_a_data_set(json_lines: bool) -> None:
    """Warnings, libraries, threads that end by an error, and the end of the process itself."""
    program = PROGRAM.format(json_lines=json_lines)
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert SECRET not in ran.stderr + ran.stdout
    lines = ran.stderr.splitlines()
    assert len(lines) == 3, ran.stderr
    assert "a fact" in lines[0]
    assert "ValueError < fail:" in lines[1]
    assert "ValueError < fail:" in lines[2]
    if json_lines:
        assert [json.loads(line)["level"] for line in lines] == ["INFO", "ERROR", "CRITICAL"]
