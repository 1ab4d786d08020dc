"""The sickest patient: a lung nine tenths white is measured as such or refused by name, never a quiet small number.

Whatever fills the roles: the classical methods, the bundles that are shipped, and what the configuration names by
default.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from models import zoo
from tests.integration.worker_house import Counting, House, settings
from training.phantom.case import Phantom
from training.phantom.pathology import Pathology
from training.phantom.study import SMALL, Options, WrittenStudy, small_study
from triaged.clock import now
from triaged.config import Analysis
from triaged.records import Grade, Reading, Reason, StudyState
from triaged.store import Store
from triaged.worklist.board import read_board

# Fine enough to be a scan that a network may be asked about.
SCAN = replace(SMALL, slices=40, rows=172, columns=200, slice_mm=6.2, pixel_mm=(1.9, 1.9))
WHITE, LITTLE = 0.9, 0.05
LUNGS = {"right": (WHITE, LITTLE), "left": (LITTLE, WHITE), "both": (WHITE, WHITE)}


def fillings() -> list[tuple[str, str]]:
    """What can fill the two roles here, each pair once."""
    found = [("classical-lungs", "thresholding"), (Analysis().lungs, Analysis().triage)]
    shipped = [card for card in zoo.cards() if card.architecture]
    for lungs in (card for card in shipped if "lungs" in card.roles):
        found += [(lungs.name, "thresholding")]
        found += [(lungs.name, card.name) for card in shipped if "triage" in card.roles and "lesions" in card.outputs]
    return list(dict.fromkeys(found))


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, WrittenStudy]:
    folder = tmp_path_factory.mktemp("opaque")
    return {
        name: small_study(
            folder / name,
            phantom=Phantom(seed=seed, pathology=Pathology(right=right, left=left, consolidation_share=0.97)),
            options=Options(scans=(SCAN,)),
        )
        for seed, (name, (right, left)) in enumerate(LUNGS.items(), 41)
    }


@pytest.mark.parametrize("models", fillings(), ids=" + ".join)
def test_an_opaque_lung_is_never_ranked_low_in_silence(
    models: tuple[str, str], studies: dict[str, WrittenStudy], tmp_path: Path
) -> None:
    config = settings(tmp_path)
    filled = config.analysis.model_copy(update={"lungs": models[0], "triage": models[1]})
    config = config.model_copy(update={"analysis": filled})
    with Store(config.database) as store:
        house = House(config, store, Counting(config))
        for study in studies.values():
            house.put(study.paths)
        assert house.work() == len(studies)
        items = {item.study.study_uid: item for item in read_board(store, config, now()).items}
        for name, written in studies.items():
            study = house.study(written)
            assert study.reading is Reading.UNREAD
            why = items[study.study_uid].why
            if study.state is StudyState.NOT_ANALYSED:
                assert study.reason_code == Reason.LUNG_OPAQUE, (name, study.reason)
                assert "opaque" in why
                assert study.place.due == study.place.baseline_due, "it keeps its place: nothing says that it may wait"
                continue
            assert study.state is StudyState.ANALYSED, (name, study.reason)
            found = study.findings
            assert found is not None
            fractions = {"right": found.affected_fraction_right, "left": found.affected_fraction_left}
            for side in ("right", "left") if name == "both" else (name,):
                fraction = fractions[side]
                assert fraction is not None
                assert fraction >= 0.5, (name, side)
            assert found.ct_grade in {Grade.CT3, Grade.CT4}, name
            assert study.place.due < study.place.baseline_due, "promoted"
