"""The 375 radiomic features of COVID-MTL by name, in the order of the authors' published table.

Bao et al., section 4.1, counted in their feature table (MODELS.md 35): names without a prefix are of the original
image, `LLH_glcm_Contrast` is of a wavelet sub-band. The original image gives 18 first-order, 24 GLCM, 16 GLRLM and
16 GLSZM values under 71 names: GLRLM and GLSZM share three, and the published value is GLSZM's.
"""

from __future__ import annotations


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


FIRST_ORDER = _names(
    """10Percentile 90Percentile Energy Entropy InterquartileRange Kurtosis Maximum MeanAbsoluteDeviation Mean Median
    Minimum Range RobustMeanAbsoluteDeviation RootMeanSquared Skewness TotalEnergy Uniformity Variance"""
)
GLCM = _names(
    """Autocorrelation ClusterProminence ClusterShade ClusterTendency Contrast Correlation DifferenceAverage
    DifferenceEntropy DifferenceVariance Id Idm Idmn Idn Imc1 Imc2 InverseVariance JointAverage JointEnergy JointEntropy
    MCC MaximumProbability SumAverage SumEntropy SumSquares"""
)
GLRLM = _names(
    """GrayLevelNonUniformity GrayLevelNonUniformityNormalized GrayLevelVariance HighGrayLevelRunEmphasis
    LongRunEmphasis LongRunHighGrayLevelEmphasis LongRunLowGrayLevelEmphasis LowGrayLevelRunEmphasis RunEntropy
    RunLengthNonUniformity RunLengthNonUniformityNormalized RunPercentage RunVariance ShortRunEmphasis
    ShortRunHighGrayLevelEmphasis ShortRunLowGrayLevelEmphasis"""
)
GLSZM = _names(
    """GrayLevelNonUniformity GrayLevelNonUniformityNormalized GrayLevelVariance HighGrayLevelZoneEmphasis
    LargeAreaEmphasis LargeAreaHighGrayLevelEmphasis LargeAreaLowGrayLevelEmphasis LowGrayLevelZoneEmphasis
    SizeZoneNonUniformity SizeZoneNonUniformityNormalized SmallAreaEmphasis SmallAreaHighGrayLevelEmphasis
    SmallAreaLowGrayLevelEmphasis ZoneEntropy ZonePercentage ZoneVariance"""
)
# As a settings file that comes with PyRadiomics has it: without SumAverage, which is twice JointAverage, and MCC.
WAVELET_GLCM = _names(
    """Autocorrelation JointAverage ClusterProminence ClusterShade ClusterTendency Contrast Correlation
    DifferenceAverage DifferenceEntropy DifferenceVariance JointEnergy JointEntropy Imc1 Imc2 Idm Idmn Id Idn
    InverseVariance MaximumProbability SumEntropy SumSquares"""
)
SUB_BANDS = ("LLH", "LHL", "LHH", "HLL", "HLH", "HHL", "HHH", "LLL")
SHARED = frozenset(GLRLM) & frozenset(GLSZM)

NAMES: tuple[str, ...] = (
    *FIRST_ORDER,
    *GLCM,
    *GLRLM,
    *(name for name in GLSZM if name not in SHARED),
    *(f"{band}_glcm_{name}" for band in SUB_BANDS for name in WAVELET_GLCM),
    *(f"{band}_glrlm_{name}" for band in SUB_BANDS for name in GLRLM),
)
