"""The radiomic features against two yardsticks: IBSI's digital phantom and PyRadiomics."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray

from models import radiomics
from models.feature_names import NAMES
from models.radiomics import TooLarge, extract, first_order, of_volume, sub_bands
from models.textures import Region, glcm, glrlm, glszm
from tests.unit.models import texture_phantom
from tests.unit.models.chest import Chest, draw


def _pairs(text: str) -> dict[str, str]:
    words = text.split()
    return dict(zip(words[::2], words[1::2], strict=True))


# IBSI's tags for what has a name here; its kurtosis is the excess, its percentiles are taken otherwise (both left out).
GLCM_TAGS = _pairs(
    """MaximumProbability joint_max JointAverage joint_avg SumSquares joint_var JointEntropy joint_entr
    DifferenceAverage diff_avg DifferenceVariance diff_var DifferenceEntropy diff_entr SumAverage sum_avg
    SumEntropy sum_entr JointEnergy energy Contrast contrast Id inv_diff Idn inv_diff_norm Idm inv_diff_mom
    Idmn inv_diff_mom_norm InverseVariance inv_var Correlation corr Autocorrelation auto_corr
    ClusterTendency clust_tend ClusterShade clust_shade ClusterProminence clust_prom Imc1 info_corr1 Imc2 info_corr2"""
)
RUN_TAGS = _pairs(
    """ShortRunEmphasis sre LongRunEmphasis lre LowGrayLevelRunEmphasis lgre HighGrayLevelRunEmphasis hgre
    ShortRunLowGrayLevelEmphasis srlge ShortRunHighGrayLevelEmphasis srhge LongRunLowGrayLevelEmphasis lrlge
    LongRunHighGrayLevelEmphasis lrhge GrayLevelNonUniformity glnu GrayLevelNonUniformityNormalized glnu_norm
    RunLengthNonUniformity rlnu RunLengthNonUniformityNormalized rlnu_norm RunPercentage r_perc
    GrayLevelVariance gl_var RunVariance rl_var RunEntropy rl_entr"""
)
ZONE_TAGS = _pairs(
    """SmallAreaEmphasis sze LargeAreaEmphasis lze LowGrayLevelZoneEmphasis lgze HighGrayLevelZoneEmphasis hgze
    SmallAreaLowGrayLevelEmphasis szlge SmallAreaHighGrayLevelEmphasis szhge LargeAreaLowGrayLevelEmphasis lzlge
    LargeAreaHighGrayLevelEmphasis lzhge GrayLevelNonUniformity glnu GrayLevelNonUniformityNormalized glnu_norm
    SizeZoneNonUniformity zsnu SizeZoneNonUniformityNormalized zsnu_norm ZonePercentage z_perc
    GrayLevelVariance gl_var ZoneVariance zs_var ZoneEntropy zs_entr"""
)
STATISTICS_TAGS = _pairs(
    """Mean stat_mean Variance stat_var Skewness stat_skew Median stat_median Minimum stat_min Maximum stat_max
    Range stat_range MeanAbsoluteDeviation stat_mad Energy stat_energy RootMeanSquared stat_rms Entropy ih_entropy
    Uniformity ih_uniformity"""
)


@pytest.fixture(scope="module")
def phantom(shared_data: Path) -> tuple[NDArray[np.int64], NDArray[np.bool_], dict[str, str]]:
    """IBSI's image and region, and its consensus as printed."""
    folder = shared_data / "radiomics" / "ibsi1-digital-phantom"
    if not folder.is_dir():
        pytest.skip(f"no IBSI phantom at {folder}")
    image, mask = (np.asarray(nibabel.load(folder / f"{n}.nii.gz").dataobj).T for n in ("phantom", "mask"))
    with (folder / "reference.csv").open(encoding="utf-8") as stream:
        printed = {row["tag"]: row["reference value"] for row in csv.DictReader(stream, delimiter=";")}
    return image.astype(np.int64), mask > 0, printed


def _holds_to(found: dict[str, float], tags: dict[str, str], printed: dict[str, str]) -> None:
    """Every number, rounded to as many digits as the consensus has, is the consensus."""
    for name, tag in tags.items():
        digits = len(printed[tag].lstrip("-").replace(".", "").strip("0")) or 1
        assert float(f"{found[name]:.{digits}g}") == float(printed[tag]), (name, found[name], printed[tag])


def test_textures_are_ibsis(phantom: tuple[NDArray[np.int64], NDArray[np.bool_], dict[str, str]]) -> None:
    image, mask, printed = phantom
    region = Region.of(image, mask, 1.0)
    _holds_to(glcm(region), {name: f"cm_{tag}_3D_avg" for name, tag in GLCM_TAGS.items()}, printed)
    _holds_to(glrlm(region), {name: f"rlm_{tag}_3D_avg" for name, tag in RUN_TAGS.items()}, printed)
    _holds_to(glszm(region), {name: f"szm_{tag}_3D" for name, tag in ZONE_TAGS.items()}, printed)


def test_statistics_are_ibsis(phantom: tuple[NDArray[np.int64], NDArray[np.bool_], dict[str, str]]) -> None:
    image, mask, printed = phantom
    found = first_order(image[mask].astype(np.float64), Region.of(image, mask, 1.0), voxel_mm3=8.0)
    _holds_to(found, STATISTICS_TAGS, printed)
    assert found["Kurtosis"] - 3 == pytest.approx(float(printed["stat_kurt"]), abs=5e-4)
    assert found["TotalEnergy"] == 8 * found["Energy"]


def test_all_375_are_pyradiomics() -> None:
    golden = json.loads((Path(__file__).parent / "pyradiomics.json").read_text(encoding="utf-8"))
    found = extract(texture_phantom.raw(), texture_phantom.mask())
    assert list(found) == list(golden) == list(NAMES)
    for name, value in golden.items():
        assert found[name] == pytest.approx(value, rel=1e-9), name


def test_nothing_outside_the_region_counts() -> None:
    raw, mask = texture_phantom.raw(), texture_phantom.mask()
    elsewhere = np.where(mask, raw, 3000).astype(np.int16)
    moved = np.pad(elsewhere, ((5, 0), (0, 7), (2, 1)), constant_values=77), np.pad(mask, ((5, 0), (0, 7), (2, 1)))
    assert extract(*moved) == extract(raw, mask)


def test_an_axis_turned_changes_the_sub_bands_and_not_the_whole() -> None:
    raw, mask = texture_phantom.raw(), texture_phantom.mask()
    straight, turned = extract(raw, mask), extract(raw.transpose(2, 1, 0), mask.transpose(2, 1, 0))
    assert turned["Contrast"] == pytest.approx(straight["Contrast"])
    assert turned["LLH_glcm_Contrast"] == pytest.approx(straight["HLL_glcm_Contrast"])
    assert turned["LLH_glcm_Contrast"] != pytest.approx(straight["LLH_glcm_Contrast"])


def test_sub_bands_keep_the_energy_eightfold() -> None:
    """The undecimated transform of an orthogonal wavelet: each filter pair doubles the sum of squares."""
    image = np.random.default_rng(3).normal(size=(6, 8, 10))
    assert sum((band**2).sum() for _, band in sub_bands(image)) == pytest.approx(8 * (image**2).sum())
    flat = dict(sub_bands(np.ones((6, 8, 10))))
    assert np.allclose(flat["LLL"], 2 * np.sqrt(2))
    assert all(np.allclose(band, 0) for name, band in flat.items() if name != "LLL")


def test_a_flat_region_and_a_single_voxel_have_features() -> None:
    raw = np.full((4, 5, 6), 300, np.int16)
    for mask in (np.ones(raw.shape, bool), np.zeros(raw.shape, bool)):
        mask[2, 2, 2] = True
        found = extract(raw, mask)
        assert all(np.isfinite(value) for value in found.values())
        assert (found["Correlation"], found["MCC"], found["Imc1"], found["Entropy"]) == (1.0, 1.0, 0.0, 0.0)


def test_a_region_one_slice_thick_has_no_runs_across_it() -> None:
    mask = np.zeros((5, 6, 7), bool)
    mask[2, 1:5, 1:6] = True
    region = Region.of(np.arange(210).reshape(mask.shape), mask, 1000.0)
    assert len(list(region.shape.steps())) == 4
    assert glrlm(region)["LongRunEmphasis"] > 5


def test_no_region_and_too_large_a_region_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = texture_phantom.raw()
    with pytest.raises(ValueError, match="no voxels"):
        extract(raw, np.zeros(raw.shape, bool))
    monkeypatch.setattr(radiomics, "LARGEST", 1000)
    with pytest.raises(TooLarge, match="more than 1,000"):
        extract(raw, texture_phantom.mask())


def test_a_series_is_brought_to_the_grid() -> None:
    """Twice as many slices half as thick are the same lungs; the grid is coarse to be quick."""
    shown = draw(Chest())
    found = of_volume(shown.volume, shown.right | shown.left, 6.0)
    finer = shown.volume.affine_lps.copy()
    finer[:3, 0] /= 2
    doubled = replace(shown.volume, hu=np.repeat(shown.volume.hu, 2, axis=0), affine_lps=finer, sources=())
    again = of_volume(doubled, np.repeat(shown.right | shown.left, 2, axis=0), 6.0)
    for name in ("Mean", "Median", "Energy"):
        assert again[name] == pytest.approx(found[name], rel=0.1)
    coarser = of_volume(shown.volume, shown.right | shown.left, 8.0)
    assert coarser["Mean"] == pytest.approx(found["Mean"], rel=0.1)
    assert coarser["TotalEnergy"] == pytest.approx(found["TotalEnergy"], rel=0.1), "per cubic millimetre"
    assert coarser["Energy"] == pytest.approx(found["Energy"] * (6 / 8) ** 3, rel=0.1)
    with pytest.raises(ValueError, match="a grid of 0 mm"):
        of_volume(shown.volume, shown.right, 0.0)
    with pytest.raises(ValueError, match="no lungs"):
        of_volume(shown.volume, np.zeros(shown.volume.shape, bool))
