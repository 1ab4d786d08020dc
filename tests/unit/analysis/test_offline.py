"""Scoring without a daemon: what is found among files, and one item for each study whatever came of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.phantom.study import WrittenStudy, small_study
from triaged.analysis.analyst import Analysed, Analyst, Examined
from triaged.analysis.offline import find, finding_keys, score
from triaged.config import Analysis
from triaged.records import Findings, Grade, ModelIdentity, Provenance

SECRET = "Mustermann^Erika"
# The finding keys of the worklist, and what the fixed interface adds for `triaged score`.
KEYS = {
    *("covid_probability", "affected_percent", "affected_percent_left", "affected_percent_right", "ct_grade"),
    *("lung_volume_ml_left", "lung_volume_ml_right", "lesion_volume_ml", "model", "seconds"),
}


class Failing(Analyst):
    """An analyst with a mistake in it, whose errors quote the patient."""

    def analyse(self, examined: Examined, **_: object) -> Analysed:  # type: ignore[override]
        raise KeyError(SECRET)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> WrittenStudy:
    return small_study(tmp_path_factory.mktemp("study"), seed=6)


def test_files_are_sorted_by_study_and_the_rest_is_passed_over(study: WrittenStudy, tmp_path: Path) -> None:
    (tmp_path / "DICOMDIR.txt").write_text("no image")
    (tmp_path / "empty.dcm").touch()
    (tmp_path / "zeros.dcm").write_bytes(bytes(4096))
    (tmp_path / "cut.dcm").write_bytes(study.paths[0].read_bytes()[:200])
    found = find([tmp_path, study.folder, study.folder / "series-2"])
    assert list(found.studies) == [study.study_uid]
    assert set(found.studies[study.study_uid]) == set(study.paths)
    assert len(found.skipped) == 4


def test_a_mistake_of_ours_ends_one_study_and_not_the_run(study: WrittenStudy, tmp_path: Path) -> None:
    """With a hundred studies to score overnight, the ninety after it are wanted too."""
    item = score(Failing(Analysis(), "cpu", ""), study.study_uid, study.paths, tmp_path, None)
    assert (item["study_uid"], item["state"]) == (study.study_uid, "failed")
    assert "KeyError < analyse" in str(item["reason"])
    assert SECRET not in str(item)
    assert set(item) >= KEYS
    assert list(tmp_path.iterdir()) == []


def test_findings_are_percentages_to_a_tenth_and_null_where_there_are_none() -> None:
    models = (ModelIdentity(role="lungs", name="a", version="1"), ModelIdentity(role="triage", name="b", version="2"))
    made_by = Provenance(
        models=models, triaged_version="0", device="cpu", config_digest="", seconds={"read": 0.25, "lungs": 1.5}
    )
    said = finding_keys(
        Findings(
            affected_fraction=0.12349,
            affected_fraction_left=0.0,
            lung_volume_ml_left=2100.04,
            ct_grade=Grade.CT1,
            provenance=made_by,
        )
    )
    assert (said["affected_percent"], said["affected_percent_left"], said["affected_percent_right"]) == (
        12.3,
        0.0,
        None,
    )
    assert (said["lung_volume_ml_left"], said["lesion_volume_ml"], said["ct_grade"]) == (2100.0, None, "CT-1")
    assert (said["model"], said["seconds"]) == ("a 1 + b 2", 1.75)


def test_an_item_has_the_same_keys_whether_there_are_findings_or_not() -> None:
    made_by = Provenance(models=(), triaged_version="0", device="cpu", config_digest="")
    assert set(finding_keys(None)) == set(finding_keys(Findings(provenance=made_by))) >= KEYS
