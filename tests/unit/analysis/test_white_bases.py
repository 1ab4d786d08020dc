"""Dense bases that the lung mask loses: the sickest patient's quiet number must not pass for a small one."""

from __future__ import annotations

import pytest

from models.pipeline import Pipeline, Prediction
from models.severity import LEFT, RIGHT
from tests.white import painted
from training.phantom.case import Patient, Phantom
from training.phantom.scanner import Scan
from triaged.analysis.quality import Verdict, judge
from triaged.records import Flag, Reason

SCAN = Scan(slices=62, rows=112, columns=128, slice_mm=5.0, thickness_mm=5.0, pixel_mm=(3.0, 3.0))


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return Pipeline()


@pytest.fixture(scope="module")
def healthy(pipeline: Pipeline) -> Prediction:
    return pipeline.run(Patient(Phantom(seed=4)).scan(SCAN).volume)


def judged(prediction: Prediction) -> Verdict:
    return judge(prediction, partial=False, lossy=False, contrast=False)


def test_a_whole_chest_is_not_doubted(healthy: Prediction) -> None:
    assert judged(healthy) == Verdict()


@pytest.mark.parametrize("share", [0.15, 0.25, 0.35, 0.50])
@pytest.mark.parametrize("sides", [(LEFT,), (RIGHT,), (RIGHT, LEFT)])
def test_white_bases_are_refused_or_doubted(
    pipeline: Pipeline, healthy: Prediction, sides: tuple[int, ...], share: float
) -> None:
    found = pipeline.run(painted(healthy.volume, healthy.labels, sides, share))
    assert found.severity is not None
    assert found.severity.fraction < 0.03, "the mask does lose what was painted: nothing else would tell"
    verdict = judged(found)
    assert verdict.reason_code is Reason.LUNG_OPAQUE or Flag.LUNG_MAY_BE_MISSING in verdict.flags
