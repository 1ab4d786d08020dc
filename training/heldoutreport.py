"""The section of RESULTS.md on held-out phantoms: what was run, when and on what, what it can say, and the tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

from training.cases import Cases
from training.datasets.heldout import COUNT
from training.evaluate import Contender, Evaluation
from training.realreport import machine

SECTION = "held-out"
LIMITS = """What this can say is little. These cases and those that were trained on come from one generator, by rules
that we wrote, COVID-19 against CAP above all: the reference row is what the true lesions' count, size, density and
place give. Nothing here is comparable with a figure on patients. An ordering is claimed (\\*) only where the interval
of the paired difference leaves zero out; one training per model, so it says nothing of another seed's weights."""


def section(
    evaluation: Evaluation, contenders: Sequence[Contender], cases: Cases, command: str, on: date, minutes: float
) -> str:
    """`minutes`: of this run; what an earlier one measured is not in it."""
    return "\n\n".join(
        [
            "## Held-out phantoms",
            f"`{command}`, {on.isoformat()}, {machine()}; {minutes:.0f} min, less what was kept from a run before.",
            f"{cases.description[0].upper()}{cases.description[1:]}.",
            LIMITS,
            "\n".join(f"- **{contender.label}**: {contender.words}" for contender in contenders),
            evaluation.as_markdown(),
        ]
    )


def command(contenders: Sequence[Contender], cases: Cases) -> str:
    """What makes this section again; of a folder its name alone."""
    named = [f"{c.label}={Path(c.lungs).name},{Path(c.triage).name}" for c in contenders]
    count = [] if len(cases) == COUNT else [f"--cases {len(cases)}"]
    arguments = " ".join([*named, *count])
    return f'make held-out ARGS="{arguments}"' if arguments else "make held-out"
