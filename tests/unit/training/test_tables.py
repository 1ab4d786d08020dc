"""One file of results, written by several commands, each its own part."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.tables import markdown, put_section


def test_a_bar_in_a_cell_does_not_break_the_table() -> None:
    assert markdown(["a", "b"], [[1, "x|y"]]) == "| a | b |\n| --- | --- |\n| 1 | x\\|y |"


def test_a_section_is_replaced_and_the_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "RESULTS.md"
    put_section(path, "first", "one\n")
    put_section(path, "second", "two")
    by_hand = path.read_text() + "\nwritten by hand\n"
    path.write_text(by_hand)
    put_section(path, "first", "three")
    assert path.read_text() == by_hand.replace("one", "three")
    put_section(path, "first", "three")
    assert path.read_text().count("three") == 1


def test_a_file_cut_off_within_a_section_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "RESULTS.md"
    path.write_text("<!-- first: begin -->\nhalf")
    with pytest.raises(ValueError, match="does not end"):
        put_section(path, "first", "new")
    assert path.read_text() == "<!-- first: begin -->\nhalf"
