"""Public data sets and a folder of one's own as cases to judge by, and `triaged evaluate` on them."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from models.predict import resolve
from models.severity import LEFT, RIGHT
from models.volume import Volume
from tests.unit.models.chest import Chest, Ellipsoid, draw
from tests.unit.training.datasets_public import miniatures
from tests.unit.training.small_patients import patient
from training import evaluation, reported
from training.datasets.library import LibraryCases
from training.datasets.prepare_library import prepare
from training.datasets.public.registry import data_set
from training.datasets.published import PublishedCases
from training.datasets.stored import DataError, store
from training.evaluate import CLASSICAL
from training.measure import measure
from training.overlap import slice_wise
from triaged.cli import app


def nifti(path: Path, array: NDArray[np.generic], volume: Volume) -> None:
    ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ volume.affine_lps[:, [2, 1, 0, 3]]
    nibabel.save(nibabel.Nifti1Image(array.transpose(2, 1, 0), ras), path)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two chests to test by, one with a lesion, and one to train on."""
    folder = tmp_path_factory.mktemp("own")
    ball = Ellipsoid(centre=(-30, 20, -80), half=(45, 45, 45))
    rows = []
    for name, dense in (("sick", ((ball, -450),)), ("well", ()), ("trained", ())):
        drawn = draw(Chest(dense=dense), slice_mm=12.0, pixel_mm=4.0)
        nifti(folder / f"{name}.nii.gz", drawn.volume.hu, drawn.volume)
        nifti(folder / f"{name}-lungs.nii.gz", (drawn.right | drawn.left).astype(np.uint8), drawn.volume)
        z, y, x = drawn.grid
        spot = drawn.right & (np.sqrt((z + 30) ** 2 + (y - 20) ** 2 + (x + 80) ** 2) <= 45) & bool(dense)
        nifti(folder / f"{name}-lesions.nii.gz", spot.astype(np.uint8), drawn.volume)
        rows.append(
            {
                "image": f"{name}.nii.gz",
                "kind": "covid" if dense else "normal",
                "lungs": f"{name}-lungs.nii.gz",
                "lesions": f"{name}-lesions.nii.gz" if dense else "none",
                "split": "train" if name == "trained" else "test",
                "scanner": "CT-7" if dense else "CT-8",
                "severity": "2" if dense else "0",
            }
        )
    miniatures.table(folder, rows)
    return folder


def test_a_researchers_own_folder_is_judged_by_its_test_part(own: Path, tmp_path: Path) -> None:
    words = ["evaluate", "generic-lungs", "--data", f"own={own}", "--workers", "1", "--out", str(tmp_path)]
    ran = CliRunner().invoke(app, [*words, "--no-surfaces", "--json"])
    assert ran.exit_code == 0, ran.output
    assert json.loads(ran.stdout)["cases"] == {"covid": 1, "normal": 1}
    report = json.loads((tmp_path / evaluation.REPORT).read_text())
    assert (report["data"], report["synthetic"]) == ("own", False)
    assert report["description"] == "Own folder: 2 cases of its test part"
    assert [case["name"] for case in report["cases"]] == ["sick.nii.gz", "well.nii.gz"]
    found = report["parts"][0]
    assert found["scores"]["lung_dice"]["value"] > 0.9
    assert found["scores"]["lesion_dice"]["value"] > 0.4
    assert set(found["groups"]) == {"slice spacing", "scanner", "severity", "true severity"}
    assert found["groups"]["scanner"]["CT-7"]["n"] == 1
    assert "Synthetic cases" not in (tmp_path / evaluation.PAGE).read_text()


def test_a_case_keeps_its_pixels_and_its_sides_and_changes_with_its_files(own: Path) -> None:
    cases = PublishedCases(name="own", folder=own)
    assert len(cases) == 2
    assert len(PublishedCases(name="own", folder=own, limit=1)) == 1
    sick = cases[0]
    assert sick.volume.spacing_mm == pytest.approx((12.0, 4.0, 4.0))
    assert sick.labels is not None
    assert sick.lesions is not None
    assert set(np.unique(sick.labels[sick.lesions])) == {RIGHT}
    assert (sick.labels == LEFT).any()
    before = cases.origin(0)
    path = own / "sick-lungs.nii.gz"
    kept = path.read_bytes()
    path.write_bytes(kept[:100])
    assert cases.origin(0) != before
    with pytest.raises(DataError, match=r"sick-lungs\.nii\.gz.*triaged data check own"):
        cases[0]
    path.write_bytes(kept)


def test_lesions_without_lungs_scanners_of_dicom_and_pictures(tmp_path: Path) -> None:
    mosmed = PublishedCases(name="mosmed-1110", folder=miniatures.mosmed1110(tmp_path / "mosmed"))
    assert "validation part; checkpoints may have been chosen by these" in mosmed.description
    assert all(mosmed[n].labels is None for n in range(len(mosmed)))
    assert all("grade" in mosmed[n].groups for n in range(len(mosmed)))
    scans = PublishedCases(name="cancer-500", folder=miniatures.cancer500(tmp_path / "cancer"))
    assert {"scanner", "slice thickness", "slice spacing"} <= set(scans[0].groups)
    pictures = PublishedCases(name="covid-ct", folder=miniatures.covid_ct(tmp_path / "pictures"))
    assert "slice spacing" not in pictures[0].groups, "nobody knows it"


def test_what_is_all_for_training_cannot_be_judged_by(own: Path, tmp_path: Path) -> None:
    words = (own / "cases.csv").read_text().replace("test", "train")
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "cases.csv").write_text(words)
    for data, said in ((f"own={copy}", "column split"), ("own", "own=DIR"), ("henri-becquerel=x", "not public")):
        ran = CliRunner().invoke(app, ["evaluate", "generic-lungs", "--data", data])
        assert ran.exit_code == 1
        assert said in ran.stderr


def test_a_prepared_library_is_judged_by_its_test_part_too(tmp_path: Path) -> None:
    for part, first in (("train", 0), ("validation", 10), ("test", 20)):
        store(tmp_path / part, [("covid", patient(first, lesion=True))], part)
    settings = evaluation.Settings(data=f"mosmed-1110={tmp_path}")
    found = evaluation.data_set(settings)
    assert isinstance(found, LibraryCases)
    assert found.name == "mosmed-1110"
    assert found.description == "test, at 2 mm in-plane"
    np.testing.assert_array_equal(found[0].volume.hu, patient(20, lesion=True).hu)


def test_cases_with_known_lungs_fill_the_table_of_lungs(own: Path, tmp_path: Path) -> None:
    words = ["tables", "covid-mtl", "--data"]
    ran = CliRunner().invoke(app, [*words, f"own={own}", "--json"])
    assert ran.exit_code == 0, ran.output
    (lungs,) = [table for table in json.loads(ran.stdout) if table["title"] == reported.LUNGS.title]
    assert lungs["note"].startswith("Not comparable with the paper: ours are Own folder: 2 cases of its test part; ")
    classical, refined = (row["ours"] for row in lungs["rows"])
    for ours in (classical, refined):
        assert 0.9 < ours["Jaccard"] <= ours["Dice"] <= 1.0
        assert 0.9 < ours["MCC"] <= 1.0
        assert 0.9 < ours["precision"] <= 1.0
    found = [
        slice_wise("lung", resolve("classical-lungs", "lungs").lungs(case.volume).labels > 0, case.labels > 0)
        for case in (PublishedCases(name="own", folder=own)[n] for n in range(2))
        if case.labels is not None
    ]
    assert classical["Dice"] == pytest.approx(np.mean([one["lung_slice_dice"] for one in found]), abs=0.002)
    none = miniatures.mosmed1110(tmp_path / "mosmed")
    ran = CliRunner().invoke(app, [*words, f"mosmed-1110={none}"])
    assert (ran.exit_code, "nobody's lungs are known" in ran.stderr) == (1, True)
    assert CliRunner().invoke(app, ["tables", "amyar", "--data", f"own={own}"]).exit_code == 2


def test_of_a_picture_the_triage_alone_is_judged_in_the_lungs_that_are_known(tmp_path: Path) -> None:
    """A slice of unknown scale shows no volume of lung: a pipeline would refuse what Amyar et al. are trained on."""
    slices = PublishedCases(name="medseg-100", folder=miniatures.medseg100(tmp_path / "slices"), limit=1)
    assert slices[0].picture
    one = measure(CLASSICAL.pipeline(), slices[0])
    assert not one.refused
    assert np.isnan(one.lung_dice), "nobody looked for lungs"
    assert one.lesion_dice > 0.3
    assert one.masks["lesion_specificity"] > 0.5
    pictures = PublishedCases(name="covid-ct", folder=miniatures.covid_ct(tmp_path / "pictures"), limit=1)
    assert pictures[0].labels is None
    assert not measure(CLASSICAL.pipeline(), pictures[0]).refused
    prepare(data_set("medseg-100"), tmp_path / "slices", tmp_path / "library")
    library = evaluation.data_set(evaluation.Settings(data=f"medseg-100={tmp_path / 'library'}"))
    assert len(library) == 30
    assert library[0].picture
