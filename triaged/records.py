"""What crosses the rooms: frozen records and enums. No I/O, no clock, no libraries.

Names are DICOM's. Fractions are in [0, 1], volumes in mL, times in UTC, lengths in mm.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from enum import IntEnum, StrEnum


class StudyState(StrEnum):
    """Where a study is on its one way through the house (DESIGN section 3)."""

    RECEIVING = "receiving"
    READY = "ready"
    ANALYSING = "analysing"
    ANALYSED = "analysed"
    NOT_ANALYSED = "not_analysed"
    FAILED = "failed"
    WITHDRAWN = "withdrawn"

    @property
    def has_outcome(self) -> bool:
        return self in {StudyState.ANALYSED, StudyState.NOT_ANALYSED, StudyState.FAILED}


class Reading(StrEnum):
    """What the radiologists have done with a study; independent of its analysis."""

    UNREAD = "unread"
    READING = "reading"
    READ = "read"


class OrderPriority(StrEnum):
    """Priority of the order (0040,1003). UNKNOWN is shown as unknown and ranks as ROUTINE."""

    STAT = "STAT"
    HIGH = "HIGH"
    ROUTINE = "ROUTINE"
    LOW = "LOW"
    UNKNOWN = "UNKNOWN"


class Tier(IntEnum):
    """The first element of the sort key: a promotion never passes STAT, and passes HIGH only where allowed."""

    STAT = 0
    HIGH = 1
    REST = 2


class Grade(StrEnum):
    """Russian visual severity scale of the larger affected fraction (MODELS 36)."""

    CT0 = "CT-0"
    CT1 = "CT-1"
    CT2 = "CT-2"
    CT3 = "CT-3"
    CT4 = "CT-4"


class Reason(StrEnum):
    """Why a study was not analysed. The code is for programs; the words for people come beside it."""

    NOT_CT = "not_ct"
    NO_AXIAL_CT = "no_axial_ct"
    DERIVED_ONLY = "derived_only"
    NOT_CHEST = "not_chest"
    TOO_FEW_SLICES = "too_few_slices"
    SHORT_COVERAGE = "short_coverage"
    GAP = "gap"
    DUPLICATE_POSITIONS = "duplicate_positions"
    GANTRY_TILT = "gantry_tilt"
    GEOMETRY = "geometry"
    MULTIFRAME = "multiframe"
    SYNTAX = "syntax"
    UNREADABLE = "unreadable"
    TOO_LARGE = "too_large"
    CONFLICTING_IDENTITY = "conflicting_identity"
    NO_LUNGS = "no_lungs"
    LUNG_VOLUME = "lung_volume"
    LUNG_OPAQUE = "lung_opaque"
    UNFAMILIAR = "unfamiliar"
    TIME_LIMIT = "time_limit"
    REFERENCE = "reference"


class Flag(StrEnum):
    """Something about an analysed study that its reader should know."""

    PARTIAL = "partial"  # the hard timeout passed with images missing
    LOSSY = "lossy"  # LossyImageCompression = 01 at the source
    UNCALIBRATED = "uncalibrated"  # the score is a score, not a probability
    RESEARCH_WEIGHTS = "research_weights"  # some model was trained on synthetic data
    LUNGS_DISAGREE = "lungs_disagree"  # two lung methods, where one checks the other
    LUNG_MAY_BE_MISSING = "lung_may_be_missing"  # what was found of the lungs is unlike whole ones: a grey zone
    UNFAMILIAR = "unfamiliar"  # the images are unlike what the models were trained on
    SIDES_BY_SIZE = "sides_by_size"  # right and left named by size, not by patient orientation
    THICK_SLICES = "thick_slices"
    LUNG_CUT_OFF = "lung_cut_off"  # lung reaches the first or last slice
    CONTRAST = "contrast"


class Role(StrEnum):
    """The kinds of result object."""

    SEG = "seg"
    SR = "sr"
    PICTURE = "picture"


class DeliveryState(StrEnum):
    """Life of one result object on its way to the PACS."""

    WAITING = "waiting"  # not yet encoded, or encoded and inside the publish-quiet time
    SENDING = "sending"
    SENT = "sent"  # the PACS answered Success
    CONFIRMED = "confirmed"  # and showed it again: it came back to us, or was found by query
    PARKED = "parked"  # permanent error, or out of attempts: a person must look
    SUPERSEDED = "superseded"  # a newer revision was made before this one was sent


@dataclass(frozen=True, kw_only=True)
class StudyHeader:
    """Patient and study attributes as the first instance gave them. Empty string where absent (type 2)."""

    study_uid: str
    patient_id: str = ""
    patient_name: str = ""
    patient_birth_date: str = ""
    patient_sex: str = ""
    patient_age: str = ""
    issuer_of_patient_id: str = ""
    accession_number: str = ""
    study_description: str = ""
    study_date: str = ""  # DA, as sent
    study_time: str = ""  # TM, as sent
    institution: str = ""
    station: str = ""

    @property
    def acquired_on(self) -> date | None:
        """StudyDate as a date, or None where it is absent or malformed."""
        try:
            # PS3.5 table 6.2-1: dates of before 1993 may be written with dots.
            return datetime.strptime(self.study_date.replace(".", "")[:8], "%Y%m%d").date()
        except ValueError:
            return None


@dataclass(frozen=True, kw_only=True, slots=True)
class InstanceHeader:
    """The attributes of one instance that selection and gates need. None where absent or malformed."""

    study_uid: str
    series_uid: str
    sop_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    modality: str = ""
    image_type: tuple[str, ...] = ()
    series_description: str = ""
    series_number: int | None = None
    instance_number: int | None = None
    acquisition_number: int | None = None
    body_part: str = ""
    kernel: str = ""
    contrast_agent: str = ""
    rows: int | None = None
    columns: int | None = None
    number_of_frames: int = 1
    samples_per_pixel: int = 1
    position_mm: tuple[float, float, float] | None = None
    orientation: tuple[float, float, float, float, float, float] | None = None
    pixel_spacing_mm: tuple[float, float] | None = None
    slice_thickness_mm: float | None = None
    gantry_tilt_deg: float | None = None
    frame_of_reference_uid: str = ""
    manufacturer: str = ""
    model_name: str = ""
    lossy: bool = False
    has_pixels: bool = True
    patient_key: str = ""  # digest of PatientID, issuer and birth date: equality without identity


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The series that was chosen to be analysed, and why, in words for the board."""

    series_uid: str
    reason: str
    slices: int
    input_digest: str  # sha256 over the sorted SOP Instance UIDs


@dataclass(frozen=True, kw_only=True)
class ModelIdentity:
    """One algorithm that took part. The single source of name and version for SEG, SR, API and audit."""

    role: str  # "lungs" | "triage"
    name: str
    version: str
    sha256: str = ""  # of the bundle's tensors; empty for a method without weights
    synthetic: bool = False  # trained on phantoms
    parameters: str = ""  # thresholds and the like, for the SR


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Enough to run it again: what ran, on what, with which settings, for how long."""

    models: tuple[ModelIdentity, ...]
    triaged_version: str
    device: str
    config_digest: str
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What an analysed study shows. None means "this model does not say", never "none found"."""

    covid_probability: float | None = None
    affected_fraction_left: float | None = None
    affected_fraction_right: float | None = None
    affected_fraction: float | None = None  # the larger of the two sides: severity
    lung_volume_ml_left: float | None = None
    lung_volume_ml_right: float | None = None
    lesion_volume_ml_left: float | None = None
    lesion_volume_ml_right: float | None = None
    ct_grade: Grade | None = None
    class_probabilities: dict[str, float] | None = None
    clinical_severity: str | None = None
    flags: tuple[Flag, ...] = ()
    remarks: tuple[str, ...] = ()  # what a flag cannot say: by how much the lung methods differ, what is unfamiliar
    provenance: Provenance

    @property
    def lesion_volume_ml(self) -> float | None:
        if self.lesion_volume_ml_left is None or self.lesion_volume_ml_right is None:
            return None
        return self.lesion_volume_ml_left + self.lesion_volume_ml_right


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How an analysis ended: exactly one of analysed, not analysed (reason) and failed (error)."""

    state: StudyState
    reason_code: str | None = None  # a Reason, or the class name of the error
    reason: str | None = None  # in words
    choice: Choice | None = None
    findings: Findings | None = None

    def __post_init__(self) -> None:
        if not self.state.has_outcome:
            raise ValueError(f"{self.state} is no outcome")
        if (self.state is StudyState.ANALYSED) != (self.findings is not None):
            raise ValueError("findings belong to an analysed study, and to no other")
        if self.state is not StudyState.ANALYSED and not self.reason:
            raise ValueError(f"a study that ends {self.state} says why")

    @property
    def is_our_failure(self) -> bool:
        """It says nothing about the study: the analysis failed, or took too long."""
        return self.state is StudyState.FAILED or self.reason_code == Reason.TIME_LIMIT

    @property
    def voids_earlier(self) -> bool:
        """Whether an earlier result may not stand beside it: nobody knows whose images those were."""
        return self.reason_code == Reason.CONFLICTING_IDENTITY


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a study stands: with AI (`tier`, `due`) and as it would stand without (DESIGN section 4)."""

    tier: Tier
    due: datetime
    baseline_tier: Tier
    baseline_due: datetime


@dataclass(frozen=True, kw_only=True)
class Study:
    """One row of the store: a study as it stands."""

    header: StudyHeader
    arrival_seq: int
    received_at: datetime
    calling_ae: str = ""
    called_ae: str = ""
    order_priority: OrderPriority = OrderPriority.UNKNOWN
    priority_source: str = ""  # "rule 2: called AE STATCT", "dr.a", ...
    state: StudyState = StudyState.RECEIVING
    reason_code: str | None = None
    reason: str | None = None
    revision: int = 0  # 0: never analysed
    attempts: int = 0
    generation: int = 0  # counts arrivals that may change the selection
    settled_generation: int = 0  # the arrivals that assembly has declared complete
    examined_generation: int = 0  # the arrivals that the present outcome has seen
    partial: bool = False
    is_reference: bool = False  # a prior: shown apart, never promoted
    instance_count: int = 0
    other_versions: int = 0  # images that came again with other content; the first is what counts
    choice: Choice | None = None
    findings: Findings | None = None
    urgency: float = 0.0  # the largest over revisions; only a person lowers it
    place: Place
    reading: Reading = Reading.UNREAD
    reader: str = ""
    reading_expires_at: datetime | None = None
    read_at: datetime | None = None
    changed_since_read: bool = False
    pinned_at: datetime | None = None
    pinned_by: str = ""
    pin_reason: str = ""
    completed_at: datetime | None = None  # when the present outcome was committed

    @property
    def study_uid(self) -> str:
        return self.header.study_uid


@dataclass(frozen=True, kw_only=True)
class SeriesRow:
    """One series as it arrived. `instance_count` is settled when its association closes."""

    series_uid: str
    study_uid: str
    modality: str
    description: str
    kernel: str
    slice_thickness_mm: float | None
    instance_count: int


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One result object and where it stands on its way to the PACS."""

    delivery_id: int
    study_uid: str
    revision: int
    role: Role
    sop_uid: str
    series_uid: str
    state: DeliveryState
    attempts: int
    path: str | None  # of the encoded bytes, relative to the storage folder
    sha256: str | None
    last_error: str | None
    created_at: datetime
    not_before: datetime
    sent_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Event:
    """One link of the hash-chained log (audit.py)."""

    seq: int
    at: datetime
    study_uid: str | None
    kind: str
    detail: dict[str, object]
    digest: str


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """What an association brought for one study since it was last written down."""

    header: StudyHeader
    association: str
    calling_ae: str
    called_ae: str
    order_priority: OrderPriority
    priority_source: str
    place: Place  # used only when the study is new
    is_reference: bool
    series: tuple[SeriesRow, ...]  # instance_count: the new ones only
    new_images: int  # instances that may change the selection


@dataclass(frozen=True, kw_only=True)
class Pending:
    """A study with arrivals that no outcome has seen: what assembly decides on. Times on the monotonic clock."""

    study_uid: str
    state: StudyState
    generation: int
    first_mono_s: float  # first arrival since the study was last settled
    last_arrival_mono_s: float
    touches: tuple[Touch, ...]


@dataclass(frozen=True, kw_only=True)
class Touch:
    """One association that brought something for a study; `closed_mono_s` is None while it is open."""

    last_arrival_mono_s: float
    closed_mono_s: float | None


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A worker's hold on a study. `is_recheck`: it has an outcome, and only a changed selection opens a revision."""

    token: str
    study: Study
    is_recheck: bool


@dataclass(frozen=True, kw_only=True)
class PlannedDelivery:
    """A result object to be made and sent: its UIDs are fixed when the outcome is committed."""

    role: Role
    sop_uid: str
    series_uid: str
    not_before: datetime
