"""What a row says, and that it never reassures."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.web import sample
from triaged.clock import now
from triaged.records import Flag, Grade
from triaged.store import Store
from triaged.web import listing, view
from triaged.web.status import troubles
from triaged.worklist.board import Board, read_board


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Board:
    config = sample.config(tmp_path_factory.mktemp("board"))
    with Store(config.database) as store:
        sample.fill(store, config, now())
        return read_board(store, config, now())


def rows(board: Board, viewer_url: str | None = None) -> dict[str, view.Row]:
    items = [view.row(item, now=now(), reader="Dr. A", viewer_url=viewer_url) for item in board.items]
    return {row.patient.split(",")[0]: row for row in items}


def test_no_finding_not_analysed_failed_and_pending_are_four_kinds(board: Board) -> None:
    by_name = rows(board)
    kinds = {name: by_name[name].finding.kind for name in ("HADDAD", "SILVA", "ANDERSSON", "LINDQVIST")}
    assert kinds == {"HADDAD": "analysed", "SILVA": "not_analysed", "ANDERSSON": "failed", "LINDQVIST": "pending"}
    assert len({by_name[name].finding.words for name in kinds}) == 4


def test_an_uncalibrated_score_is_a_number_called_score(board: Board) -> None:
    finding = rows(board)["TANAKA"].finding
    assert (finding.score, finding.score_word) == ("0.97", "score")


def test_the_number_is_that_of_the_worse_lung(board: Board) -> None:
    finding = rows(board)["TANAKA"].finding
    assert (finding.worse, finding.worse_side, finding.grade) == ("62 %", "R", "CT-3")
    assert [(bar.side, bar.percent, bar.step) for bar in finding.bars] == [("R", 62.0, 3), ("L", 48.0, 2)]
    assert rows(board)["DUBOIS"].finding.worse_side == "L"
    assert rows(board)["HADDAD"].finding.worse_side == ""


@pytest.mark.parametrize(
    ("fraction", "grade"), [(0.25, Grade.CT1), (0.5, Grade.CT2), (0.75, Grade.CT3), (0.9, Grade.CT4)]
)
def test_bar_and_chip_agree_on_the_colour(fraction: float, grade: Grade) -> None:
    assert view.step(fraction) == view.GRADE_STEPS[grade]


def test_a_grade_beside_which_lung_may_be_missing_is_a_lower_bound(board: Board) -> None:
    study = next(item.study for item in board.items if item.study.findings is not None)
    assert study.findings is not None
    found = replace(study.findings, ct_grade=Grade.CT0, flags=(Flag.LUNG_MAY_BE_MISSING,))
    assert view.finding(replace(study, findings=found)).grade == "≥\u202fCT-0"
    assert view.finding(replace(study, findings=replace(found, flags=()))).grade == "CT-0"


def test_what_is_missing_is_said(board: Board) -> None:
    emergency = rows(board)["UNBEKANNT"]
    assert emergency.about == "age unknown · sex unknown · ID NA-20260003"
    assert rows(board)["HADDAD"].about_study.endswith("CTSCANNER1")  # no station: the AE title that sent it
    assert rows(board)["HADDAD"].priority == "unknown"


def test_the_viewer_link_quotes_what_it_is_given(board: Board) -> None:
    item = next(i for i in board.items if i.study.header.patient_id == "AUX-0000992871-7")
    link = view.viewer_link("https://v/?s={study_uid}&a={accession_number}&p={patient_id}", item.study)
    assert link == f"https://v/?s={sample.uid(3)}&a=A202603&p=AUX-0000992871-7"
    header = sample.replace(item.study.header, patient_id="7 & 8/<x>")
    odd = sample.replace(item.study, header=header)
    assert view.viewer_link("https://v/?p={patient_id}", odd) == "https://v/?p=7%20%26%208%2F%3Cx%3E"


def test_no_row_reassures(board: Board) -> None:
    said = " ".join(str(row) for row in rows(board).values()).casefold()
    for word in ("normal", "healthy", "clear", "unremarkable", "ok'", "✓", "✔", "no covid"):
        assert word not in said


def test_groups_count_all_their_studies_not_only_those_shown(board: Board) -> None:
    part = listing.shown(board, q="", compare=False, show=5, now=now(), reader="", viewer_url=None)
    assert sum(len(group.rows) for group in part.groups) == 5
    whole = listing.shown(board, q="", compare=False, show=500, now=now(), reader="", viewer_url=None)
    totals = {group.name: group.total for group in whole.groups}
    assert all(totals[group.name] == group.total for group in part.groups)
    assert (part.total, sum(totals.values())) == (20, 20)


def test_side_by_side_every_study_stands_once_at_its_other_rank(board: Board) -> None:
    whole = listing.shown(board, q="", compare=True, show=500, now=now(), reader="", viewer_url=None)
    pairs = [pair for group in whole.groups for pair in group.rows]
    others = [other for _, other in pairs]
    assert {other.uid for other in others if other} == {row.uid for row, _ in pairs}
    baseline = {item.study.study_uid: item.baseline_position for item in board.items}
    assert [baseline[other.uid] for other in others if other] == list(range(1, 21))


def test_a_search_needs_every_word_and_ignores_case(board: Board) -> None:
    def found(q: str) -> list[str]:
        shown = listing.shown(board, q=q, compare=False, show=500, now=now(), reader="", viewer_url=None)
        return sorted(row.patient for group in shown.groups for row, _ in group.rows)

    assert found("tanaka") == ["TANAKA, HIROSHI"]
    assert found("meier 4472001") == ["MEIER, HANS"]
    assert found("polytrauma") == ["UNBEKANNT, NOTFALL 3"]
    assert found("tanaka rossi") == []


def test_troubles_are_said_worst_first_and_none_when_all_is_up() -> None:
    assert troubles(sample.status()) == []
    said = troubles(
        sample.status(listener_up=False, workers_up=0, disk_filling=True, disk_free_mb=2048, outbox_up=False)
    )
    assert [line.split(":")[0] for line in said] == [
        "The listener is down",
        "Analysis is down",
        "The disk is filling",
        "Delivery is down",
    ]
    assert "order is by arrival" in said[1]
    assert "2.0 GB" in said[2]
    assert troubles(sample.status(workers_up=1, workers_wanted=3)) == ["Analysis is slow: 1 of 3 workers are up."]
    assert troubles(sample.status(outbox_up=None)) == []
    refusal = "the PACS rejects our association permanently: calling AE title TRIAGED not recognised"
    assert troubles(sample.status(pacs_refusal=refusal)) == [f"Results are waiting: {refusal}."]
    (void,) = troubles(sample.status(void_studies=1))
    assert "results of 1 study whose images are of several patients" in void
