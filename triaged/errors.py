"""Every exception we raise on purpose. Each message is a sentence the on-call person can act on.

`except Exception` stands at three edges only: the association, the job and the web request. Each of them records
the study and leaves it in a named state.
"""


class TriagedError(Exception):
    """The root: whatever we refuse, knowing why."""


class ConfigError(TriagedError):
    """The configuration cannot be used; `problems` holds every mistake as (key, reason)."""

    def __init__(self, source: str, problems: list[tuple[str, str]]) -> None:
        self.source = source
        self.problems = problems
        lines = "\n".join(f"  {key}: {reason}" for key, reason in problems)
        super().__init__(f"{source}: {len(problems)} problem(s)\n{lines}")


class StorageError(TriagedError):
    """The spool or the database cannot be used."""


class UnsafeUID(TriagedError):
    """A UID that may not become a path (PS3.5 section 9.1: digits and dots, at most 64 characters)."""


class UnknownStudy(TriagedError):
    """No study of this UID was ever received."""


class NotPossible(TriagedError):
    """The study is not in a state in which this can be done; the message says which."""


class ClaimLost(TriagedError):
    """The study is no longer this worker's: the claim went stale or its input changed under it."""


class AlreadyClaimed(TriagedError):
    """Another reader holds the study; `holder` and `until` say who and how long."""

    words = "claimed by {holder} until {until}"

    def __init__(self, holder: str, until: str) -> None:
        self.holder = holder
        self.until = until
        super().__init__(self.words.format(holder=holder, until=until))


class AlreadyRead(AlreadyClaimed):
    """Another reader was faster: the study has left the list; `until` says when."""

    words = "already read by {holder} at {until}"


class DeliveryError(TriagedError):
    """An object did not reach the PACS. `permanent` says whether trying again can help."""

    def __init__(self, message: str, *, permanent: bool) -> None:
        self.permanent = permanent
        super().__init__(message)
