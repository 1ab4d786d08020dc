"""Each published layout is read as it is described, onto the patient's own axes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.unit.training.datasets_public import miniatures
from tests.unit.training.datasets_public.miniatures import LAYOUTS, scan
from tests.unit.training.feature_tables import rows_of, write
from training.datasets.public.case import Case
from training.datasets.public.covid_ct import paper
from training.datasets.public.files import Opened, opened
from training.datasets.public.registry import DATA_SETS, cases_of, data_set
from training.datasets.public.split import in_two_parts, part, part_of
from training.datasets.stored import KINDS, DataError, StoredPatient

Home = Callable[[str], Path]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """The folder of a data set in miniature, made once."""
    made: dict[str, Path] = {}

    def of(name: str) -> Path:
        if name not in made:
            made[name] = LAYOUTS[name](tmp_path_factory.mktemp("layout"))
        return made[name]

    return of


def cases(home: Home, name: str) -> dict[str, Case]:
    return cases_of_folder(name, home(name))


def cases_of_folder(name: str, folder: Path) -> dict[str, Case]:
    return {case.id: case for case in cases_of(data_set(name), folder)}


def same(found: Opened, expected: StoredPatient, *, lungs: bool = True, lesions: bool = True) -> None:
    np.testing.assert_array_equal(found.volume.hu, expected.hu)
    assert found.volume.spacing_mm == pytest.approx(expected.spacing_mm)
    if lungs:
        assert found.lungs is not None
        np.testing.assert_array_equal(found.lungs, expected.lungs)
    if lesions:
        assert found.lesions is not None
        np.testing.assert_array_equal(found.lesions, expected.lesions)


def test_the_register_is_complete_and_can_be_printed() -> None:
    assert set(DATA_SETS) == {*LAYOUTS, "henri-becquerel"}
    for name, found in DATA_SETS.items():
        assert found.name == name
        assert set(found.classes) <= set(KINDS)
        assert found.licence
        assert found.masks
        assert bool(found.layout) == (found.cases is not None)
        assert found.cases is not None or found.note
        assert sum(found.shares.values()) == pytest.approx(1.0)
        json.dumps([found.citation, found.url, found.size])


def test_mosmed_takes_label_from_the_folder_and_calls_only_ct0_empty(home: Home) -> None:
    found = cases(home, "mosmed-1110")
    assert Counter(c.kind for c in found.values()) == {"normal": 2, "covid": 3}
    assert found["study_1064"].facts == {"grade": "CT-3"}
    same(opened(found["study_0255"]), scan(255, lesion=True), lungs=False)
    normal = opened(found["study_0001"])
    assert normal.lesions is not None
    assert not normal.lesions.any()
    assert opened(found["study_0305"]).lesions is None  # nobody drew them


def test_medseg_leaves_effusion_out_and_reads_windowed_volumes_as_hu(home: Home) -> None:
    found = cases(home, "medseg-29")
    expected = scan(1, lesion=True)
    nine = opened(found["medseg_1"])
    assert nine.lesions is not None
    effusion = expected.lungs & (np.arange(expected.lungs.shape[1]) > 30)[None, :, None]
    np.testing.assert_array_equal(nine.lesions, expected.lesions & ~effusion)
    same(opened(found["coronacases_001"]), scan(2, lesion=True))
    grey, expected = opened(found["radiopaedia_29_86490_1"]), scan(3, lesion=True)
    # Rows run as the masks' headers say, whatever the image's own says.
    assert np.abs(grey.volume.hu - np.clip(expected.hu, -1250, 250)).max() <= 3
    assert grey.lungs is not None
    np.testing.assert_array_equal(grey.lungs, expected.lungs)
    assert found["radiopaedia_29_86490_1"].patient == found["radiopaedia_29_86491_1"].patient


def test_medseg_100_is_a_hundred_slices_without_a_scale_in_the_papers_counts(home: Home) -> None:
    found = cases(home, "medseg-100")
    assert Counter(c.split for c in found.values()) == {"train": 50, "validation": 20, "test": 30}
    one, expected = opened(found["slice_037"]), scan(37, lesion=True)
    np.testing.assert_array_equal(one.volume.hu[0], expected.hu[4])
    assert one.lungs is not None
    assert one.lesions is not None
    np.testing.assert_array_equal(one.lungs[0], expected.lungs[4])
    np.testing.assert_array_equal(one.lesions[0], expected.lesions[4])
    assert all(c.unknown == {"mm"} for c in found.values())


def test_pictures_of_a_paper_stay_together(home: Home) -> None:
    found = cases(home, "covid-ct")
    assert Counter(c.kind for c in found.values()) == {"covid": 16, "other": 14}
    assert len({c.patient for c in found.values()}) == 8 + 13
    parts = [(c.id, c.patient, part_of(c, data_set("covid-ct"))) for c in found.values()]
    assert in_two_parts(parts) == []
    assert paper("kjr-21-e24-p1-12") == "kjr-21-e24"
    assert paper("12%1") == "12"
    listed = found["covid 2020.01.24.919183-p1-3.png"]
    assert listed.facts == {"published list": "train"}
    shown = opened(listed)
    assert shown.volume.shape == (1, 20, 31)
    assert (shown.lungs, shown.lesions) == (None, None)
    assert -1350 <= shown.volume.hu.min() < shown.volume.hu.max() <= 150


def test_dlsc_is_split_by_name_and_its_lesions_are_turned_back(home: Home) -> None:
    found = cases(home, "3dlsc-covid")
    tested = [c.id for c in found.values() if c.split == "test"]
    assert tested == [
        f"{kind} {n}" for kind in ("covid", "cap", "normal") for n in (7, 8, 9)
    ]  # by name: 0, 1, 10, 11, 2
    assert {c.split for c in found.values()} == {"train", "validation", "test"}
    same(opened(found["cap 4"]), scan(304, lesion=True))
    assert found["normal 4"].kind == "other"
    assert found["normal 4"].without_lesions


def test_luna_takes_lungs_without_airways(home: Home) -> None:
    found = cases(home, "luna16")
    expected = scan(1)
    one = opened(found["1.3.6.1"])
    assert one.lungs is not None
    airways = np.zeros_like(expected.lungs)
    airways[:, 10:14, 26:30] = True
    np.testing.assert_array_equal(one.lungs, expected.lungs & ~airways)
    np.testing.assert_array_equal(one.volume.hu, expected.hu)
    assert found["1.3.6.0"].lungs is None
    assert found["1.3.6.1"].facts == {"fold": "subset1", "nodules": "yes"}


def test_nsclc_reads_the_earliest_ct_and_takes_effusion_off_the_cavity(home: Home) -> None:
    found = cases(home, "nsclc")
    expected = scan(1)
    one = opened(found["LUNG1-001"])
    effusion = expected.lungs & (np.arange(expected.lungs.shape[1]) > 28)[None, :, None]
    np.testing.assert_array_equal(one.volume.hu, expected.hu)
    assert one.lungs is not None
    np.testing.assert_array_equal(one.lungs, expected.lungs & ~effusion)
    assert one.lesions is None
    same(opened(found["LUNG1-002"]), scan(2), lesions=False)


def test_cancer_500_has_a_case_for_each_series_and_none_for_a_localizer(home: Home) -> None:
    found = cases(home, "cancer-500")
    assert sorted(found) == ["AAA 0", "AAA 1", "BBB 0"]
    assert found["AAA 0"].patient == found["AAA 1"].patient != found["BBB 0"].patient
    assert {part_of(c, data_set("cancer-500")) for c in found.values()} == {"test"}
    same(opened(found["BBB 0"]), scan(3, slices=10), lungs=False, lesions=False)


def test_ictcf_brings_its_labels_and_the_papers_split(home: Home, tmp_path: Path) -> None:
    found = cases(home, "ictcf")
    assert {name: case.kind for name, case in found.items()} == {
        "Patient 1": "covid",
        "Patient 2": "other",
        "Patient 4": "other",
    }
    assert found["Patient 1"].facts == {"CT": "1", "NAT": "1", "severity": "2", "hospital": "Union"}
    assert found["Patient 4"].facts == {"CT": "0", "severity": "0", "hospital": "Liyuan"}, "no swab, no label"
    same(opened(found["Patient 1"]), scan(1, lesion=True), lungs=False, lesions=False)
    assert all(case.split is None for case in found.values())
    folder = miniatures.ictcf(tmp_path)
    rows = rows_of(6)
    for n, row in enumerate(rows):
        row["split"] = "test" if n == 1 else "train"
    write(folder / "features.csv", rows)  # its patients are 1 to 6, and 2 is in the test part
    numbers = [int(row["PID"]) for row in rows]
    split = {name: case.split for name, case in cases_of_folder("ictcf", folder).items()}
    assert set(split) == {f"Patient {n}" for n in numbers} & set(found)
    assert split[f"Patient {numbers[1]}"] == "test"
    assert set(split.values()) <= {"train", "validation", "test"}
    text = (folder / "Patients.csv").read_text().replace("Severe", "grave")
    (folder / "Patients.csv").write_text(text)
    with pytest.raises(DataError, match=r"line 2: Morbidity is 'grave', none of control"):
        cases_of_folder("ictcf", folder)


def test_the_test_set_of_ct_triage_takes_the_first_rater(home: Home) -> None:
    found = cases(home, "ct-triage-test")
    assert {name: case.kind for name, case in found.items()} == {
        "covid 7": "covid",
        "bacterial_pneumonia 7": "cap",
        "nodules 7": "other",
        "normal 7": "normal",
    }
    same(opened(found["covid 7"]), scan(len("covid"), lesion=True), lungs=False)
    assert found["covid 7"].facts == {"raters": "2"}
    assert found["normal 7"].without_lesions
    assert opened(found["nodules 7"]).lesions is None
    assert {part_of(c, data_set("ct-triage-test")) for c in found.values()} == {"test"}


def test_an_own_folder_mixes_files_and_says_what_is_known(home: Home) -> None:
    found = cases(home, "own")
    same(opened(found["a.nii.gz"]), scan(1, lesion=True))
    same(opened(found["b"]), scan(2))
    assert opened(found["c.nii.gz"]).lesions is None
    assert found["c.nii.gz"].patient == found["a.nii.gz"].patient
    assert found["a.nii.gz"].facts == {"scanner": "CT-7"}


@pytest.mark.parametrize("name", LAYOUTS)
def test_another_folder_is_refused_with_the_layout(name: str, tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(DataError) as error:
            list(cases_of(data_set(name), folder))
        assert data_set(name).layout.split(",")[0] in str(error.value)


def test_what_is_not_public_says_so() -> None:
    with pytest.raises(DataError, match="not public"):
        cases_of(data_set("henri-becquerel"), Path())
    with pytest.raises(DataError, match="there are mosmed-1110"):
        data_set("mosmed")


def test_parts_are_fixed_and_have_their_shares() -> None:
    shares = {"train": 0.7, "validation": 0.1, "test": 0.2}
    drawn = [part("x", str(n), shares) for n in range(3000)]
    assert Counter(drawn)["validation"] == pytest.approx(300, abs=60)
    assert Counter(drawn)["test"] == pytest.approx(600, abs=80)
    assert drawn[:6] == ["train", "test", "train", "train", "test", "train"]  # and so for ever
    assert [part("y", str(n), shares) for n in range(40)] != drawn[:40]


def test_a_miniature_of_everything_that_can_be_read() -> None:
    assert {name for name, found in DATA_SETS.items() if found.cases is not None} == set(LAYOUTS)
    assert scan(0).spacing_mm == miniatures.SPACING
