"""Values -> the words the board shows. Pure; nothing here invents a value, and what is missing is said."""

from __future__ import annotations

from datetime import date, datetime, tzinfo

from triaged.records import OrderPriority, StudyHeader, StudyState
from triaged.wording import MINUTE_S, duration

STATES = {
    StudyState.RECEIVING: "receiving",
    StudyState.READY: "waiting for analysis",
    StudyState.ANALYSING: "being analysed",
    StudyState.ANALYSED: "analysed",
    StudyState.NOT_ANALYSED: "not analysed",
    StudyState.FAILED: "analysis failed",
    StudyState.WITHDRAWN: "withdrawn",
}
PRIORITIES = {
    OrderPriority.STAT: "STAT",
    OrderPriority.HIGH: "HIGH",
    OrderPriority.ROUTINE: "routine",
    OrderPriority.LOW: "low",
    OrderPriority.UNKNOWN: "unknown",
}
SEXES = {"M": "M", "F": "F", "O": "other"}
AGE_UNITS = {"D": "d", "W": "wk", "M": "mo", "Y": "y"}  # PS3.5 table 6.2-1, AS


def brief_duration(seconds: float) -> str:
    """A length of time for a narrow column: "7 min", "2 h 10", "3 d 4 h"; under a minute it is "< 1 min"."""
    if abs(seconds) < MINUTE_S:
        return "< 1 min"
    text = duration(seconds)
    return text.removesuffix(" min") if " h " in text else text


def person_name(value: str) -> str:
    """A DICOM PN as people read it: "Family, Given Middle"; of several writings the first that is filled."""
    written = next((group for group in value.split("=") if group.strip("^ ")), "")
    family, given, middle, prefix, suffix = (part.strip() for part in [*written.split("^"), "", "", "", "", ""][:5])
    called = " ".join(part for part in (prefix, given, middle) if part)
    name = ", ".join(part for part in (family, called) if part)
    return " ".join(part for part in (name, suffix) if part) or "no name"


def age(header: StudyHeader) -> str:
    """Patient's age at the study: as sent (AS), else from the birth date; "age unknown" where neither is there."""
    sent = header.patient_age.strip()
    if len(sent) == 4 and sent[:3].isdigit() and sent[3] in AGE_UNITS:
        return f"{int(sent[:3])} {AGE_UNITS[sent[3]]}"
    born, acquired = _date(header.patient_birth_date), header.acquired_on
    if born is None or acquired is None or acquired < born:
        return "age unknown"
    years = acquired.year - born.year - ((acquired.month, acquired.day) < (born.month, born.day))
    return f"{years} y"


def sex(header: StudyHeader) -> str:
    return SEXES.get(header.patient_sex.strip().upper(), "sex unknown")


def acquired(header: StudyHeader, today: date) -> str:
    """When the study was made, at the scanner's clock: "today 08:14", "19 Nov 22:10", "no study date"."""
    on = header.acquired_on
    if on is None:
        return "no study date"
    return f"{_day(on, today)}{_clock(header.study_time)}"


def _clock(study_time: str) -> str:
    """A DICOM TM as " 08:14"; empty where it is absent or malformed."""
    digits = study_time.strip().replace(":", "")[:4]
    return f" {digits[:2]}:{digits[2:]}" if len(digits) == 4 and digits.isdigit() else ""


def moment(value: datetime, now: datetime, zone: tzinfo | None = None) -> str:
    """A time on the clock of the server's zone, with the day where it is not today: "14:05", "19 Nov 22:10"."""
    local, today = value.astimezone(zone), now.astimezone(zone).date()
    clock = f"{local:%H:%M}"
    return clock if local.date() == today else f"{_day(local.date(), today)} {clock}"


def _day(day: date, today: date) -> str:
    if day == today:
        return "today"
    return f"{day.day} {day:%b}" if day.year == today.year else f"{day.day} {day:%b %Y}"


def _date(value: str) -> date | None:
    try:
        return datetime.strptime(value.strip()[:8], "%Y%m%d").date()
    except ValueError:
        return None


def plural(n: int, one: str, many: str | None = None) -> str:
    return f"{n} {one if n == 1 else many or one + 's'}"
