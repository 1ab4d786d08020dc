"""What a person may do to a study, for the pages and the API alike. Each returns what was done, in words.

A study is named by its UID, never by its position: what stood third a second ago may stand fourth now.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from triaged.clock import Now
from triaged.config import Config
from triaged.errors import AlreadyClaimed, NotPossible, UnknownStudy
from triaged.records import OrderPriority, Reading, Study, StudyState
from triaged.store import Store
from triaged.web import words
from triaged.worklist.board import change_priority, change_urgency


class Actions:
    def __init__(self, config: Config, store: Store) -> None:
        self._config = config
        self._store = store

    def claim(self, study_uid: str, *, reader: str, now: Now) -> str:
        """Hold a study while reading it. Raises AlreadyClaimed, NotPossible, UnknownStudy."""
        with self._store.atomic():
            study = self._readable(study_uid)
            until = now.utc + timedelta(minutes=self._config.worklist.claim_minutes)
            self._store.reading.claim(study_uid, reader=reader, until=until, now=now)
        return f"Claimed until {words.moment(until, now.utc)}: {title(study)}"

    def release(self, study_uid: str, *, reader: str, now: Now) -> str:
        """Give a claim back. Raises AlreadyClaimed, UnknownStudy."""
        study = self._store.studies.get(study_uid)
        self._store.reading.release(study_uid, reader=reader, now=now)
        return f"Released: {title(study)}"

    def read(self, study_uid: str, *, reader: str, now: Now) -> str:
        """Take a study off the list as read. Doing so twice changes nothing. Raises as `claim`."""
        with self._store.atomic():
            study = self._store.studies.get(study_uid)
            if study.reading is Reading.READ and not study.changed_since_read:
                return f"Already read by {study.reader}: {title(study)}"
            self._not_withdrawn(study)
            self._store.reading.mark_read(study_uid, reader=reader, now=now)
        return f"Read: {title(study)}"

    def read_several(self, study_uids: Sequence[str], *, reader: str, now: Now) -> tuple[list[str], dict[str, str]]:
        """Mark several as read: (those that are, those that are not with the reason). One refusal stops no other."""
        done: list[str] = []
        refused: dict[str, str] = {}
        for uid in dict.fromkeys(study_uids):
            try:
                self.read(uid, reader=reader, now=now)
                done.append(uid)
            except AlreadyClaimed as error:
                refused[uid] = f"{error.holder} is reading it"
            except (NotPossible, UnknownStudy) as error:
                refused[uid] = str(error)
        return done, refused

    def unread(self, study_uid: str, *, reader: str, now: Now) -> str:
        """Put a read study back on the list. Raises NotPossible where it was not read, UnknownStudy."""
        with self._store.atomic():
            study = self._store.studies.get(study_uid)
            if study.reading is not Reading.READ:
                raise NotPossible("this study is not marked as read")
            self._store.reading.mark_unread(study_uid, reader=reader, now=now)
        return f"Back on the list: {title(study)}"

    def pin(self, study_uid: str, *, reader: str, reason: str, now: Now) -> str:
        """Put a study above all others, for a reason. Raises NotPossible, UnknownStudy."""
        if not reason.strip():
            raise NotPossible("a pin needs a reason")
        with self._store.atomic():
            study = self._readable(study_uid)
            self._store.reading.pin(study_uid, by=reader, reason=reason.strip(), now=now)
        return f"Pinned to the top: {title(study)}"

    def unpin(self, study_uid: str, *, reader: str, now: Now) -> str:
        study = self._store.studies.get(study_uid)
        self._store.reading.unpin(study_uid, by=reader, now=now)
        return f"No longer pinned: {title(study)}"

    def priority(self, study_uid: str, *, priority: OrderPriority, reader: str, now: Now) -> str:
        """Correct the order priority by hand; the study moves to where that puts it. Raises UnknownStudy."""
        change_priority(self._store, self._config, study_uid, priority, by=reader, now=now)
        study = self._store.studies.get(study_uid)
        return f"Priority {words.PRIORITIES[priority]}: {title(study)}"

    def urgency(self, study_uid: str, *, urgency: float, reader: str, reason: str, now: Now) -> str:
        """Correct the urgency by hand, which alone can lower it. Raises NotPossible, UnknownStudy, ValueError."""
        if not reason.strip():
            raise NotPossible("a correction of the urgency needs a reason")
        with self._store.atomic():
            study = self._store.studies.get(study_uid)
            if study.is_reference:
                raise NotPossible("a prior is never promoted")
            change_urgency(self._store, self._config, study_uid, urgency, by=reader, reason=reason.strip(), now=now)
        return f"Urgency {urgency:.2f}: {title(study)}"

    def requeue(self, study_uid: str, *, reader: str, now: Now) -> str:
        """Have a study analysed again from the beginning. Raises NotPossible, UnknownStudy."""
        self._store.queue.requeue(study_uid, by=reader, now=now)
        study = self._store.studies.get(study_uid)
        return f"To be analysed again: {title(study)}"

    def withdraw(self, study_uid: str, *, reader: str, reason: str, now: Now) -> str:
        """Take a study off the list for a stated reason. Raises NotPossible, UnknownStudy."""
        if not reason.strip():
            raise NotPossible("a withdrawal needs a reason")
        study = self._store.studies.get(study_uid)
        self._store.studies.withdraw(study_uid, reason=reason.strip(), by=reader, now=now)
        return f"Withdrawn: {title(study)}"

    def redeliver(self, study_uid: str, *, reader: str, now: Now) -> str:
        """Try results again that could not be delivered. Raises UnknownStudy."""
        study = self._store.studies.get(study_uid)
        n = self._store.deliveries.unpark(study_uid, by=reader, now=now)
        return f"{words.plural(n, 'result')} to be sent again: {title(study)}"

    def dismiss(self, study_uid: str, *, reader: str, reason: str, now: Now) -> str:
        """Give up results that could not be delivered, for a stated reason. Raises NotPossible, UnknownStudy."""
        if not reason.strip():
            raise NotPossible("to give up a result needs a reason")
        study = self._store.studies.get(study_uid)
        n = self._store.deliveries.dismiss(study_uid, by=reader, reason=reason.strip(), now=now)
        return f"{words.plural(n, 'result')} not to be sent: {title(study)}"

    def baseline(self, on: bool, *, reader: str, now: Now) -> str:
        """Set the list to the order without AI, or back."""
        self._store.switch_baseline(on, by=reader, now=now)
        return "The list is in the order without AI." if on else "The list may be reordered by AI again."

    def _readable(self, study_uid: str) -> Study:
        study = self._store.studies.get(study_uid)
        if study.reading is Reading.READ:
            raise NotPossible(f"already read by {study.reader}")
        self._not_withdrawn(study)
        return study

    def _not_withdrawn(self, study: Study) -> None:
        if study.state is StudyState.WITHDRAWN:
            raise NotPossible(f"withdrawn: {study.reason}")


def title(study: Study) -> str:
    """A study as a person would name it aloud."""
    header = study.header
    return f"{words.person_name(header.patient_name)} – {header.study_description or 'no description'}"
