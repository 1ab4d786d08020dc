"""The page tells the finding and its limits, never the patient, and keeps the view in proportion."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.unit.results import reader
from tests.unit.results.cases import case, with_network
from triaged.records import Flag, Grade, Role
from triaged.results.build import build_results, page_of, to_bytes
from triaged.results.picture import PICTURE_BOX, SIZE, compose, png_of


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every line of text that is drawn, while it is drawn as always."""
    lines: list[str] = []
    draw = ImageDraw.ImageDraw.text

    def note(self: ImageDraw.ImageDraw, xy: tuple[float, float], text: str, *args: object, **kwargs: object) -> None:
        lines.append(text)
        draw(self, xy, text, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", note)
    return lines


def test_the_page_tells_percentages_grade_volumes_method_and_warning(written: list[str]) -> None:
    wanted = case()
    page_of(replace(wanted, findings=replace(wanted.findings, affected_fraction=0.384, affected_fraction_left=0.384)))
    said = " | ".join(written)
    for words in ("38 %", "of the left lung is affected", "6.1 %", "CT-1", "region-growing 1.0", "10 slices"):
        assert words in said
    assert "AI triage, not for diagnosis" in said
    assert "synthetic" not in said
    assert "COVID" not in said


def test_an_uncalibrated_score_is_never_a_percentage(written: list[str]) -> None:
    wanted = case()
    page_of(replace(wanted, findings=with_network(wanted.findings)))
    assert "COVID-19 score 0.83" in written
    assert not any("83 %" in line for line in written)
    assert "Research weights: trained on synthetic data" in " ".join(written)


def test_a_calibrated_probability_is_one(written: list[str]) -> None:
    wanted = case()
    page_of(replace(wanted, findings=replace(with_network(wanted.findings), flags=())))
    assert "COVID-19 83 %" in written


def test_a_page_below_the_floor_of_the_grade_speaks_of_what_was_measured(written: list[str]) -> None:
    wanted = case()
    page_of(replace(wanted, findings=replace(wanted.findings, ct_grade=Grade.CT0)))
    assert "nothing above the floor of CT-1" in written
    assert not any("is affected" in line for line in written)


def test_a_page_beside_whose_number_lung_may_be_missing_says_so_there(written: list[str]) -> None:
    wanted = case()
    found = replace(wanted.findings, ct_grade=Grade.CT0, flags=(Flag.LUNG_MAY_BE_MISSING,))
    page_of(replace(wanted, findings=found))
    assert "at least: lung may be missing" in written
    assert "Lung may be missing from the" in " ".join(written)
    assert not any("floor" in line or "is affected" in line for line in written)


def test_unknown_is_not_zero(written: list[str]) -> None:
    wanted = case()
    nothing = {"affected_fraction": None, "affected_fraction_left": None, "affected_fraction_right": None}
    page_of(replace(wanted, findings=replace(wanted.findings, ct_grade=None, **nothing)))  # type: ignore[arg-type]
    assert "this method measures no lesions" in written
    assert not any(line in {"0 %", "CT-0"} for line in written[9:])


def test_no_patient_is_burned_in(written: list[str]) -> None:
    built = build_results(case(), [Role.PICTURE])[Role.PICTURE]
    assert built.BurnedInAnnotation == "NO"
    assert not any(word in line for line in written for word in ("Test", "Case", "PID-1", "1955", "ACC-77"))


@pytest.mark.parametrize("shape", [(300, 60), (60, 300), (700, 700)])
def test_the_view_keeps_its_proportions_and_its_sides(shape: tuple[int, int]) -> None:
    """Blue on the patient's right stays on the left of the page."""
    view = np.zeros((*shape, 3), np.uint8)
    view[:, : shape[1] // 2] = (0, 0, 255)
    view[:, shape[1] // 2 :] = (255, 0, 255)
    wanted = case()
    made = compose(view, wanted.findings, wanted.choice, revision=1)
    left, top, right, bottom = PICTURE_BOX
    box = made[top:bottom, left:right].astype(int)
    seen = box[..., 2] > 200
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    scale = min((right - left) / shape[1], (bottom - top) / shape[0])
    assert len(columns) == pytest.approx(scale * shape[1], abs=2)
    assert len(rows) == pytest.approx(scale * shape[0], abs=2)
    middle = box[len(box) // 2]
    assert middle[columns[3], 0] == 0
    assert middle[columns[-4], 0] == 255


def test_pacs_and_board_show_the_same_pixels() -> None:
    wanted = case()
    made = reader.read(to_bytes(build_results(wanted, [Role.PICTURE])[Role.PICTURE]))
    png = np.asarray(Image.open(BytesIO(png_of(page_of(wanted)))))
    assert made.PhotometricInterpretation == "RGB"
    assert (made.Columns, made.Rows) == SIZE
    np.testing.assert_array_equal(np.frombuffer(made.PixelData, np.uint8).reshape(png.shape), png)


def test_words_that_do_not_fit_stay_on_the_page() -> None:
    wanted = case()
    long = replace(wanted.choice, reason="reconstructed in the thinnest slices " * 60)
    made = compose(wanted.projection, wanted.findings, long, revision=1)
    assert (made[-15:] == made[-1, 0]).all()
    assert (made[:, -30:] == made[-1, 0]).all()


def test_a_grey_projection_is_refused() -> None:
    wanted = case()
    with pytest.raises(ValueError, match="RGB"):
        compose(np.zeros((20, 31), np.uint8), wanted.findings, wanted.choice, revision=1)
