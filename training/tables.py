"""Markdown tables, and the file of results that several commands write their part of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def markdown(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table; a bar inside a cell is escaped."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def put_section(path: Path, name: str, text: str) -> None:
    """Write `text` between the markers of section `name`, in place of what was there; the other sections stay."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    section = f"{begin}\n{text.strip()}\n{end}"
    old = path.read_text(encoding="utf-8") if path.is_file() else ""
    before, found, rest = old.partition(begin)
    if found:
        _, closed, after = rest.partition(end)
        if not closed:
            raise ValueError(f"{path.name}: section {name} begins and does not end")
        path.write_text(before + section + after, encoding="utf-8")
    else:
        path.write_text(f"{old.rstrip()}\n\n{section}\n".lstrip(), encoding="utf-8")
