"""One study as JSON: everything the store knows of it, for `GET /api/studies/{uid}`."""

from __future__ import annotations

from dataclasses import asdict

from fastapi.encoders import jsonable_encoder

from triaged.store import Store


def study_json(store: Store, study_uid: str) -> dict[str, object]:
    """Raises UnknownStudy."""
    study = store.studies.get(study_uid)
    outcomes = [
        {"revision": revision, "committed_at": at, **asdict(outcome)}
        for revision, at, outcome in store.studies.outcomes(study_uid)
    ]
    said: dict[str, object] = jsonable_encoder(
        {
            "study_uid": study_uid,
            "study": asdict(study),
            "series": [asdict(series) for series in store.studies.series(study_uid)],
            "revisions": outcomes,
            "deliveries": [asdict(delivery) for delivery in store.deliveries.of(study_uid)],
            "events": [asdict(event) for event in store.events.of(study_uid)],
        }
    )
    return said
