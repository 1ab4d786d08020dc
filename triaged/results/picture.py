"""The page a radiologist can read in any viewer: the coronal view, the numbers, what made them and what they are not.

It names no patient: identity stays in the header, where the PACS can correct it (BurnedInAnnotation NO).
"""

from __future__ import annotations

from io import BytesIO

import numpy as np
from highdicom.sc import SCImage
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from triaged.records import Choice, Findings, Flag, Grade
from triaged.results import codes
from triaged.results.source import grid_of
from triaged.results.stamp import MANUFACTURER, Stamp, apply, labels, plain
from triaged.wording import percent

DESCRIPTION = "AI chest CT triage picture"

SIZE = (1200, 900)  # fits a 1080p viewer whole, with room for its own toolbars
PICTURE_BOX = (40, 84, 740, 834)  # left, top, right, bottom
CAPTION_Y = 862
PANEL = (790, 1160)  # left and right edge of the column of numbers

GROUND, LINE = (14, 16, 20), (52, 57, 66)
BRIGHT, TEXT, DIM = (245, 246, 248), (205, 209, 216), (142, 149, 160)
WARNING = (255, 190, 92)
FLAG_WORDS = {flag: code.meaning for flag, code in codes.FLAGS.items() if flag is not Flag.RESEARCH_WEIGHTS}
LINE_SPACING = 1.35


def build_picture(source: Dataset, page: NDArray[np.uint8], stamp: Stamp) -> Dataset:
    """The page as a Secondary Capture (PS3.3 A.8.1) in the study of `source`, RGB, without compression."""
    grid = grid_of([source])[0]
    picture: Dataset = SCImage(
        pixel_array=page,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=("L", "F"),
        study_instance_uid=grid.StudyInstanceUID,
        series_instance_uid=stamp.uids.series_uid,
        sop_instance_uid=stamp.uids.sop_uid,
        series_number=1,
        instance_number=1,
        manufacturer=MANUFACTURER,
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    apply(stamp, source, picture, description=DESCRIPTION)
    picture.PatientOrientation = None  # a page: letters a viewer drew at its edges would stand beside text
    picture.ConversionType = "WSD"  # drawn by a workstation, not digitised from film
    picture.BodyPartExamined = "CHEST"
    picture.BurnedInAnnotation = "NO"
    picture.DateOfSecondaryCapture = picture.ContentDate
    picture.TimeOfSecondaryCapture = picture.ContentTime
    return picture


def png_of(page: NDArray[np.uint8]) -> bytes:
    out = BytesIO()
    Image.fromarray(page, "RGB").save(out, "PNG")
    return out.getvalue()


def compose(projection: NDArray[np.uint8], findings: Findings, choice: Choice, *, revision: int) -> NDArray[np.uint8]:
    """The page, uint8 (900, 1200, 3). `projection` is uint8 (row, column, RGB), colour bar included."""
    if projection.ndim != 3 or projection.shape[2] != 3 or projection.dtype != np.uint8:
        raise ValueError(f"the projection is uint8 (row, column, RGB), not {projection.dtype} {projection.shape}")
    page = Image.new("RGB", SIZE, GROUND)
    draw = ImageDraw.Draw(page)
    _head(draw)
    _coronal(page, draw, projection)
    _caption(draw, findings)
    y = _worse_lung(draw, findings)
    y = _table(draw, findings, y)
    y = _score(draw, findings, y)
    _provenance(draw, findings, choice, revision, y)
    return np.asarray(page)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=size)


def _head(draw: ImageDraw.ImageDraw) -> None:
    draw.text((40, 42), "Affected lung", fill=BRIGHT, font=_font(30), anchor="lm")
    draw.text((PANEL[1], 42), "AI triage, not for diagnosis", fill=WARNING, font=_font(24), anchor="rm")


def _coronal(page: Image.Image, draw: ImageDraw.ImageDraw, projection: NDArray[np.uint8]) -> None:
    """The view as large as its box allows, its proportions kept. Its sides are marked in it, where they are known."""
    left, top, right, bottom = PICTURE_BOX
    rows, columns = projection.shape[:2]
    scale = min((right - left) / columns, (bottom - top) / rows)
    size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    view = Image.fromarray(projection, "RGB").resize(size, Image.Resampling.BICUBIC)
    at = (left + (right - left - size[0]) // 2, top + (bottom - top - size[1]) // 2)
    draw.rectangle(PICTURE_BOX, fill=(0, 0, 0))
    page.paste(view, at)


def _caption(draw: ImageDraw.ImageDraw, f: Findings) -> None:
    words = "Coronal view"
    if f.affected_fraction is not None:
        words += ". Colour: affected share of the lung along each line from front to back"
    draw.text((PICTURE_BOX[0], CAPTION_Y), words, fill=DIM, font=_font(17), anchor="lm")


def _worse_lung(draw: ImageDraw.ImageDraw, f: Findings) -> int:
    """The number that decides, large, with its side and grade."""
    left, right = PANEL
    draw.text((left, 100), "Worse lung", fill=DIM, font=_font(20), anchor="lm")
    draw.text((left, 160), percent(f.affected_fraction, "unknown"), fill=BRIGHT, font=_font(76), anchor="lm")
    if f.ct_grade is not None:
        draw.rounded_rectangle((right - 112, 134, right, 186), radius=8, outline=TEXT, width=2)
        draw.text((right - 56, 160), f.ct_grade.value, fill=BRIGHT, font=_font(30), anchor="mm")
    is_doubtful = Flag.LUNG_MAY_BE_MISSING in f.flags
    words = "at least: lung may be missing" if is_doubtful else _which(f)
    draw.text((left, 216), words, fill=WARNING if is_doubtful else TEXT, font=_font(22), anchor="lm")
    return 250


def _which(f: Findings) -> str:
    sides = {"right": f.affected_fraction_right, "left": f.affected_fraction_left}
    if f.affected_fraction is None:
        return "this method measures no lesions"
    if f.affected_fraction == 0 or f.ct_grade is Grade.CT0:
        return "nothing above the floor of CT-1"
    named = [side for side, fraction in sides.items() if fraction == f.affected_fraction]
    return f"of the {' and '.join(named)} lung is affected" if named else "of the lung is affected"


def _table(draw: ImageDraw.ImageDraw, f: Findings, y: int) -> int:
    """Right and left: affected share as bar and number, volume of lung and of lesions in mL."""
    left, right = PANEL
    columns = (left, left + 190, left + 280, right)
    draw.line((left, y, right, y), fill=LINE)
    for x, words in zip(columns[1:], ("affected", "lung mL", "lesion mL"), strict=True):
        draw.text((x, y + 22), words, fill=DIM, font=_font(17), anchor="rm")
    rows = (
        ("Right", f.affected_fraction_right, f.lung_volume_ml_right, f.lesion_volume_ml_right),
        ("Left", f.affected_fraction_left, f.lung_volume_ml_left, f.lesion_volume_ml_left),
    )
    for i, (side, fraction, lung_ml, lesion_ml) in enumerate(rows):
        at = y + 58 + 56 * i
        draw.text((left, at), side, fill=TEXT, font=_font(22), anchor="lm")
        cells = (percent(fraction, "unknown"), _ml(lung_ml), _ml(lesion_ml))
        for x, words in zip(columns[1:], cells, strict=True):
            draw.text((x, at), words, fill=BRIGHT, font=_font(22), anchor="rm")
        draw.rectangle((left, at + 20, right, at + 24), fill=LINE)
        if fraction:
            draw.rectangle((left, at + 20, left + round((right - left) * min(1.0, fraction)), at + 24), fill=BRIGHT)
    return y + 58 + 56 * len(rows)


def _ml(volume_ml: float | None) -> str:
    return "unknown" if volume_ml is None else f"{volume_ml:.0f}"


def _score(draw: ImageDraw.ImageDraw, f: Findings, y: int) -> int:
    """A probability only where the site has calibrated it; else a score from 0 to 1. No line where there is none."""
    if f.covid_probability is None:
        return y
    uncalibrated = Flag.UNCALIBRATED in f.flags
    words = f"COVID-19 score {f.covid_probability:.2f}" if uncalibrated else f"COVID-19 {percent(f.covid_probability)}"
    draw.line((PANEL[0], y, PANEL[1], y), fill=LINE)
    draw.text((PANEL[0], y + 26), words, fill=BRIGHT, font=_font(24), anchor="lm")
    note = (
        "not calibrated: orders studies, is no probability" if uncalibrated else "probability, calibrated at this site"
    )
    draw.text((PANEL[0], y + 54), note, fill=DIM, font=_font(16), anchor="lm")
    return y + 80


def _provenance(draw: ImageDraw.ImageDraw, f: Findings, choice: Choice, revision: int, y: int) -> None:
    """What the reader should know, then method, version and series, in the lines that are left."""
    made_by = f.provenance
    draw.line((PANEL[0], y, PANEL[1], y), fill=LINE)
    y += 14
    if Flag.RESEARCH_WEIGHTS in f.flags or any(m.synthetic for m in made_by.models):
        y = _paragraph(draw, "Research weights: trained on synthetic data", y, WARNING)
    for flag in f.flags:
        if flag in FLAG_WORDS and flag is not Flag.UNCALIBRATED:
            y = _paragraph(draw, FLAG_WORDS[flag], y, WARNING)
    y = _paragraph(draw, f"Method: {labels(made_by.models)}", y, TEXT)
    y = _paragraph(draw, f"Series: {choice.slices} slices, {choice.reason}", y, TEXT)
    _paragraph(draw, f"triaged {made_by.triaged_version}, result {revision}", y, DIM)


def _paragraph(draw: ImageDraw.ImageDraw, text: str, y: int, fill: tuple[int, int, int], size: int = 18) -> int:
    """Words wrapped to the width of the panel; what would leave the page is cut. Returns where the next one starts."""
    font, width = _font(size), PANEL[1] - PANEL[0]
    lines: list[str] = []
    for word in plain(text).split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and draw.textlength(longer, font=font) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    step = round(size * LINE_SPACING)
    for line in lines:
        if y + step > SIZE[1] - 20:
            return y
        draw.text((PANEL[0], y), line, fill=fill, font=font, anchor="la")
        y += step
    return y + 8
