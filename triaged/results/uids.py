"""UIDs that follow from what they name: the same result has the same UID, another result another one.

A UID is 2.25. and the decimal form of a UUID (PS3.5 B.2), here of a name-based one (RFC 9562 version 5), so that
sending again duplicates nothing and nothing has to be remembered to be found again.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from triaged.records import Choice, Provenance, Role


@dataclass(frozen=True, kw_only=True)
class ObjectUids:
    """Where one result object lives: its SOP Instance UID and the series of its own that holds it."""

    sop_uid: str
    series_uid: str


def derive(installation_uid: str, *parts: str) -> str:
    """A UID for these parts at this installation: deterministic, at most 44 characters."""
    namespace = uuid.uuid5(uuid.NAMESPACE_OID, installation_uid)
    # The unit separator cannot stand in a part, so ("a", "bc") and ("ab", "c") differ.
    return f"2.25.{uuid.uuid5(namespace, chr(31).join(parts)).int}"


def result_uids(installation_uid: str, study_uid: str, choice: Choice, made_by: Provenance) -> dict[Role, ObjectUids]:
    """The UIDs of all result objects of one analysis, known before anything is built.

    They follow from the study, the digests of input and configuration, our version and the algorithms with the digests
    of their weights: an update that may change a result never reuses the UID of the result it replaces.
    """
    models = [f"{m.role} {m.name} {m.version} {m.sha256}" for m in made_by.models]
    parts = (study_uid, choice.input_digest, made_by.config_digest, made_by.triaged_version, *models)
    return {
        role: ObjectUids(
            sop_uid=derive(installation_uid, *parts, role.value),
            series_uid=derive(installation_uid, *parts, role.value, "series"),
        )
        for role in Role
    }
