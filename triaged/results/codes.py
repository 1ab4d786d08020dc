"""Every coded concept our objects use, once. Standard codes first, then the private scheme 99TRIAGED.

Standard codes are those of PS3.16; the private ones stand where no standard code exists. PS3.5 limits a code value to
16 characters (SH) and a meaning to 64 (LO); a test holds both.
"""

from __future__ import annotations

from collections.abc import Iterable

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.sr.coding import Code

from triaged.records import Flag, Grade

SCHEME = "99TRIAGED"
SCHEME_UID = "2.25.301286913646512501792493730680287093102"
SCHEME_NAME = "triaged private codes"
SCHEME_ORGANISATION = "triaged"

# --- Anatomy and pathology -------------------------------------------------------------------------------------------
ANATOMICAL_STRUCTURE = Code("91723000", "SCT", "Anatomical Structure")
ABNORMAL_STRUCTURE = Code("49755003", "SCT", "Morphologically Abnormal Structure")  # CID 7150
LUNG = Code("39607008", "SCT", "Lung")
LESION = Code("52988006", "SCT", "Lesion")  # CID 7159
RIGHT = Code("24028007", "SCT", "Right")
LEFT = Code("7771000", "SCT", "Left")
COVID_19 = Code("840539006", "SCT", "COVID-19")  # the official name of the concept is longer than 64 characters

# --- Procedures and devices ------------------------------------------------------------------------------------------
CT_CHEST = Code("24627-2", "LN", "CT Chest")
CT_MODALITY = Code("CT", "DCM", "Computed Tomography")  # CID 29
PROCESSING_EQUIPMENT = Code("109102", "DCM", "Processing Equipment")  # CID 7005
ACQUISITION_EQUIPMENT = Code("109101", "DCM", "Acquisition Equipment")
ARTIFICIAL_INTELLIGENCE = Code("123110", "DCM", "Artificial Intelligence")  # CID 7162: for whatever was learnt
MORPHOLOGICAL_OPERATIONS = Code("123104", "DCM", "Morphological Operations")  # CID 7162: for methods without weights

# --- Names and values in the report ----------------------------------------------------------------------------------
IMAGE_LIBRARY = Code("111028", "DCM", "Image Library")
IMAGE_LIBRARY_GROUP = Code("126200", "DCM", "Image Library Group")
MODALITY = Code("121139", "DCM", "Modality")
FRAME_OF_REFERENCE_UID = Code("112227", "DCM", "Frame of Reference UID")
PIXEL_ROWS = Code("110910", "DCM", "Pixel Data Rows")
PIXEL_COLUMNS = Code("110911", "DCM", "Pixel Data Columns")
HORIZONTAL_SPACING = Code("111026", "DCM", "Horizontal Pixel Spacing")
VERTICAL_SPACING = Code("111066", "DCM", "Vertical Pixel Spacing")
SLICE_THICKNESS = Code("112225", "DCM", "Slice Thickness")
SOURCE = Code("260753009", "SCT", "Source")
IMAGING_MEASUREMENTS = Code("126010", "DCM", "Imaging Measurements")
COMMENT = Code("121106", "DCM", "Comment")
CERTAINTY = Code("111012", "DCM", "Certainty of Finding")
SUMMARY = Code("111017", "DCM", "CAD Processing and Findings Summary")
WITH_FINDINGS = Code("111242", "DCM", "All algorithms succeeded; with findings")  # CID 6047
WITHOUT_FINDINGS = Code("111241", "DCM", "All algorithms succeeded; without findings")
IN_PART_WITH_FINDINGS = Code("111244", "DCM", "Not all algorithms succeeded; with findings")
IN_PART_WITHOUT_FINDINGS = Code("111243", "DCM", "Not all algorithms succeeded; without findings")
VOLUME = Code("118565006", "SCT", "Volume")
SUM_OF_VOXELS = Code("126030", "DCM", "Sum of segmented voxel method for volume")  # CID 7474
MAXIMUM = Code("56851009", "SCT", "Maximum")

PERCENT = Code("%", "UCUM", "Percent")
CUBIC_MM = Code("mm3", "UCUM", "Cubic millimeter")
MM = Code("mm", "UCUM", "millimeter")
PIXELS = Code("{pixels}", "UCUM", "Pixels")

# --- 99TRIAGED -------------------------------------------------------------------------------------------------------
AFFECTED_PERCENT = Code("TRG002", SCHEME, "Percentage of lung volume affected")
CT_GRADE = Code("TRG003", SCHEME, "MosMed CT severity grade")
GRADES = {
    Grade.CT0: Code("TRG0030", SCHEME, "CT-0"),
    Grade.CT1: Code("TRG0031", SCHEME, "CT-1"),
    Grade.CT2: Code("TRG0032", SCHEME, "CT-2"),
    Grade.CT3: Code("TRG0033", SCHEME, "CT-3"),
    Grade.CT4: Code("TRG0034", SCHEME, "CT-4"),
}
UNCALIBRATED_SCORE = Code("TRG004", SCHEME, "Uncalibrated model score, not a probability")
CALIBRATED_PROBABILITY = Code("TRG005", SCHEME, "Probability calibrated at this site")
CLASS_SCORES = Code("TRG006", SCHEME, "Scores of the classes")
CLINICAL_SEVERITY = Code("TRG007", SCHEME, "Clinical severity predicted")
QUALITY_FLAG = Code("TRG020", SCHEME, "Quality flag")
FLAGS = {
    Flag.PARTIAL: Code("TRG0201", SCHEME, "Images were missing when this was analysed"),
    Flag.LOSSY: Code("TRG0202", SCHEME, "Source images are lossy compressed"),
    Flag.UNCALIBRATED: Code("TRG0203", SCHEME, "Score is not calibrated"),
    Flag.RESEARCH_WEIGHTS: Code("TRG0204", SCHEME, "Research weights: trained on synthetic data"),
    Flag.LUNGS_DISAGREE: Code("TRG0205", SCHEME, "Two lung methods disagree"),
    Flag.SIDES_BY_SIZE: Code("TRG0206", SCHEME, "Right and left were told apart by size only"),
    Flag.THICK_SLICES: Code("TRG0207", SCHEME, "Thick slices: small lesions may be missed"),
    Flag.LUNG_CUT_OFF: Code("TRG0208", SCHEME, "Lung reaches the first or the last slice"),
    Flag.CONTRAST: Code("TRG0209", SCHEME, "Contrast agent was given"),
    Flag.LUNG_MAY_BE_MISSING: Code("TRG0210", SCHEME, "Lung may be missing from the measurement"),
    Flag.UNFAMILIAR: Code("TRG0211", SCHEME, "Images are unlike those the models were trained on"),
}
PRIVATE = (
    AFFECTED_PERCENT,
    CT_GRADE,
    *GRADES.values(),
    UNCALIBRATED_SCORE,
    CALIBRATED_PROBABILITY,
    CLASS_SCORES,
    CLINICAL_SEVERITY,
    QUALITY_FLAG,
    *FLAGS.values(),
)


def code_item(code: Code) -> Dataset:
    """One item of a Code Sequence (PS3.3 table 8.8-1)."""
    item = Dataset()
    item.CodeValue = code.value
    item.CodingSchemeDesignator = code.scheme_designator
    item.CodeMeaning = code.meaning
    return item


def code_sequence(codes: Iterable[Code]) -> Sequence:
    return Sequence([code_item(code) for code in codes])


def scheme_identification() -> Sequence:
    """CodingSchemeIdentificationSequence (0008,0110), which tells a stranger whose codes 99TRIAGED are."""
    item = Dataset()
    item.CodingSchemeDesignator = SCHEME
    item.CodingSchemeUID = SCHEME_UID
    item.CodingSchemeName = SCHEME_NAME
    item.CodingSchemeResponsibleOrganization = SCHEME_ORGANISATION
    return Sequence([item])
