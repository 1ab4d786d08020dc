"""A study in words: its tables as Markdown or JSON, and its section in the file of results."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from training.comparison import Study
from training.precision import FLOAT32
from training.realreport import machine
from training.reproduce import RESULTS
from training.study import Done, Settings
from training.tables import put_section

LIMITS = """What this can say is little: these chests and those that were trained on come from one generator, by rules
that we wrote; the second test set has kernels, spacings and textures that nobody trained on. The reference row is what
the true lesions' count, size, density and place give. An ordering is claimed only where the paired interval over cases
and seeds leaves zero out; three seeds are few, and the intervals are not corrected for the number of pairs."""


def as_markdown(done: Done) -> str:
    parts = [table.as_markdown() for table in done.tables]
    if done.trained:
        parts.append("\n".join(["Trained:", "", *(f"- {row}: {words}" for row, words in done.trained.items())]))
    return "\n\n".join(parts)


def as_json(done: Done) -> list[dict[str, object]]:
    """A list of tables, as `triaged tables` prints it."""
    return [table.as_json() | {"trained": dict(done.trained)} for table in done.tables]


def put(results: Path, study: Study, done: Done, command: str, on: date, minutes: float) -> None:
    """Write the study's section of a file of results anew and, beside that file, what `triaged tables` reads."""
    put_section(results, section_name(study), section(study, done, command, on, minutes))
    kept = results.parent / RESULTS.name / f"{study.name}.json"
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(as_json(done), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def section_name(study: Study) -> str:
    return f"study-{study.name}"


def section(study: Study, done: Done, command: str, on: date, minutes: float) -> str:
    """`minutes`: of this run; what was kept from a run before is not in it."""
    return "\n\n".join(
        [
            f"## Study {study.name}: the methods of {study.title} on the same phantoms",
            f"`{command}`, {on.isoformat()}, {machine()}; {minutes:.0f} min, less what was kept from a run before.",
            LIMITS,
            as_markdown(done),
        ]
    )


def command(study: Study, settings: Settings, rows: Sequence[str]) -> str:
    """What makes the section again; of folders nothing is said."""
    chosen = ["--rows", ",".join(rows)] if rows else []
    lungs = ["--lungs", settings.lungs] if settings.lungs else []
    computing = ["--precision", settings.precision] if settings.precision != FLOAT32 else []
    words = ["triaged study", study.name, "--scale", settings.scale, "--out DIR", f"--seeds {settings.seeds}"]
    return " ".join([*words, f"--cap-minutes {settings.cap_minutes:g}", *computing, *chosen, *lungs])
