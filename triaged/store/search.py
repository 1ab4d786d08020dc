"""What a search for a study looks at, folded so that texts compare whatever their case. Pure."""

from __future__ import annotations

from triaged.records import StudyHeader


def text_of(header: StudyHeader) -> str:
    """Name, ID, accession number, description and UID of a study, as one text to look for words in."""
    texts = (
        header.patient_name,
        header.patient_id,
        header.accession_number,
        header.study_description,
        header.study_uid,
    )
    return " ".join(texts).casefold()


def words_of(asked: str) -> list[str]:
    """The words of a search, all of which must be found. The comma that we write after a family name is none."""
    return [word for word in (part.strip(",") for part in asked.casefold().split()) if word]
