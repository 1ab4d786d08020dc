"""What others make of our objects: dciodvfy finds no error in any of them, dcmtk reads the report."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread

from tests.support import peer
from tests.unit.results import reader
from tests.unit.results.cases import FEET_FIRST_PRONE, OBLIQUE, case, ct_series, enhanced, lungs, with_network
from triaged.records import Choice, Flag, Role
from triaged.results.build import Masks, ResultInput, build_results, to_bytes

LOSSY = {
    "LossyImageCompression": "01",
    "LossyImageCompressionRatio": "7.5",
    "LossyImageCompressionMethod": "ISO_10918_1",
}
NO_EQUIPMENT = dict.fromkeys(("Manufacturer", "ManufacturerModelName", "InstitutionName"))


def named(charset: str | list[str], name: str) -> dict[str, Any]:
    return {"attributes": {"SpecificCharacterSet": charset, "PatientName": name}}


SERIES: dict[str, dict[str, Any]] = {
    "plain": {},
    "oblique": {"orientation": OBLIQUE},
    "feet first": {"orientation": FEET_FIRST_PRONE},
    "head to feet": {"step_mm": -1.25},
    "latin name": named("ISO_IR 100", "Müller^Jörg"),
    "utf-8 name": named("ISO_IR 192", "Пётр^Иванов=山田^太郎"),
    "japanese name": named(["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    "lossy": {"attributes": LOSSY},
    "bare header": {"attributes": NO_EQUIPMENT},
}
REGIONS = [("right", "right left"), ("left", "right left"), ("", "right left"), ("", "left"), ("right", "right")]


def assert_valid(wanted: ResultInput, folder: Path, roles: tuple[Role, ...] = tuple(Role)) -> None:
    verify = peer("dciodvfy")
    for role, made in build_results(wanted, roles).items():
        path = folder / f"{role.value}.dcm"
        path.write_bytes(to_bytes(made))
        told = subprocess.run([verify, str(path)], capture_output=True, text=True, check=False, errors="replace")
        lines = (told.stdout + told.stderr).splitlines()
        assert lines, "dciodvfy said nothing"
        assert [line for line in lines if "Error" in line] == [], role


@pytest.mark.parametrize("series", SERIES.values(), ids=SERIES.keys())
def test_objects_of_any_source_are_valid(series: dict[str, Any], tmp_path: Path) -> None:
    assert_valid(case(ct_series(**series)), tmp_path)


@pytest.mark.parametrize(("lesion_sides", "lung_sides"), REGIONS)
def test_objects_of_any_finding_are_valid(lesion_sides: str, lung_sides: str, tmp_path: Path) -> None:
    assert_valid(case(lesion_sides=lesion_sides, lung_sides=lung_sides), tmp_path)


def test_a_revised_report_with_every_flag_and_no_seg_is_valid(tmp_path: Path) -> None:
    wanted = case()
    told = replace(with_network(wanted.findings), flags=tuple(Flag), class_probabilities={"covid": 0.7, "normal": 0.3})
    revised = replace(wanted, findings=told, revision=2, predecessor=build_results(wanted)[Role.SR])
    assert_valid(revised, tmp_path)
    assert_valid(revised, tmp_path, (Role.SR,))


def test_objects_of_a_multiframe_source_are_valid(tmp_path: Path) -> None:
    source, order = enhanced(order=(3, 9, 0, 7, 1, 8, 2, 6, 5, 4))
    wanted = case()
    sources = tuple((str(source.SOPInstanceUID), 1 + int(frame)) for frame in np.argsort(order))
    assert_valid(replace(wanted, source=[source], masks=replace(wanted.masks, sources=sources)), tmp_path)


def test_dcmtk_reads_the_report(tmp_path: Path) -> None:
    wanted = case()
    wanted = replace(wanted, findings=with_network(wanted.findings))
    path = tmp_path / "sr.dcm"
    path.write_bytes(to_bytes(build_results(wanted)[Role.SR]))
    command = [peer("dsrdump"), "+Pl", "+Pc", str(path)]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    assert told.stderr == ""
    for words in ('"Certainty of Finding")="83.0"', "CT-1", "Referenced Segment", "not for diagnosis"):
        assert words in told.stdout


@pytest.mark.parametrize("name", ["covid-P001", "cip-ct64", "normal-001"])
def test_a_real_study_gives_valid_objects_where_the_slices_are(name: str, shared_data: Path, tmp_path: Path) -> None:
    files = sorted((shared_data / "studies" / name).rglob("*.dcm"))
    source = [dcmread(file, stop_before_pixels=True) for file in files]
    mask = np.zeros((len(source), source[0].Rows, source[0].Columns), np.uint8)
    mask[5:20, 20:30, 10:25], mask[6:18, 21:33, 30:45] = 1, 2
    masks = Masks(lungs=mask, lesions=mask == 1, sources=tuple((str(s.SOPInstanceUID), 1) for s in source))
    choice = Choice(
        series_uid=str(source[0].SeriesInstanceUID), reason="only one", slices=len(source), input_digest="d"
    )
    wanted = replace(case(), source=source, masks=masks, choice=choice)
    assert_valid(wanted, tmp_path)
    for found in reader.frames(dcmread(tmp_path / "seg.dcm")):
        index = next(i for i, s in enumerate(source) if s.SOPInstanceUID == found.source_uid)
        np.testing.assert_array_equal(found.mask, mask[index] == (2 if found.segment == 2 else 1))


def test_a_lesion_low_in_the_right_lung_is_read_back_there() -> None:
    """A lesion low in the right lung is read back low and on the patient's right, in millimetres."""
    source = ct_series()
    wanted = case(source, lesion_sides="right")
    seg = reader.read(to_bytes(build_results(wanted, [Role.SEG])[Role.SEG]))
    lesion, lung = reader.segment_points(seg, 3), reader.segment_points(seg, 1)
    left_lung = reader.segment_points(seg, 2)
    assert len(lung) == int((lungs() == 1).sum())
    assert lesion[:, 0].max() < left_lung[:, 0].min()  # x grows to the patient's left
    assert lesion[:, 2].mean() < lung[:, 2].mean()  # z grows to the head
