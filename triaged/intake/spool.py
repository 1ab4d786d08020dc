"""Instance bytes on disk: <spool>/<study>/<series>/<sop>.dcm, durable before anyone is told Success.

The order is write, fsync the file, rename, fsync the folder (new parents first); DESIGN section 6. UIDs are checked
before they become paths. A name that starts with a dot is ours and is never an instance.
"""

from __future__ import annotations

import os
import re
import shutil
import threading
import uuid
from collections.abc import Iterator
from enum import Enum, auto
from pathlib import Path

from triaged.disk import free_mb
from triaged.errors import StorageError, UnsafeUID
from triaged.records import InstanceHeader

# PS3.5 section 9.1: digits and dots, at most 64 characters. Leading zeros in a component are illegal, common and
# harmless in a path; an empty component or a leading dot is not harmless.
_SAFE_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
UID_LENGTH = 64
SUFFIX = ".dcm"
PREAMBLE = 128  # bytes before "DICM" (PS3.10 section 7.1)
COMPARED_AT_ONCE = 1 << 20


class Kept(Enum):
    """What the spool made of an instance."""

    NEW = auto()
    DUPLICATE = auto()  # the very same data set was here already
    VERSION = auto()  # the same SOP Instance UID with other content: both are kept


def safe_uid(uid: str) -> str:
    """The UID itself, or UnsafeUID where it may not become a path."""
    if len(uid) > UID_LENGTH or not _SAFE_UID.fullmatch(uid):
        raise UnsafeUID("a UID is missing, longer than 64 characters, or holds more than digits and dots")
    return uid


def sync_folder(folder: Path) -> None:
    """Make the folder's entries durable (a rename or a new name in it)."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Spool:
    """The images of every study. One process writes; any may read."""

    def __init__(self, root: Path, *, min_free_mb: int) -> None:
        """Open, or create, the spool at `root`. Raises StorageError where that cannot be done."""
        self.root = root
        self.temporary = root / ".incoming"
        self.versions = root.parent / "versions"
        self._min_free_mb = min_free_mb
        self._lock = threading.Lock()
        self._durable: set[Path] = set()  # folders whose own entry in their parent is known to be on disk
        try:
            self.temporary.mkdir(parents=True, exist_ok=True)
            sync_folder(root)
            sync_folder(root.parent)
        except OSError as error:
            raise StorageError(f"the spool {root} cannot be used: {error.strerror}") from error

    # -- writing ------------------------------------------------------------------------------------------------

    def has_room(self) -> bool:
        """Whether another instance may be received (C-STORE answers 0xA700 otherwise)."""
        return free_mb(self.temporary) >= self._min_free_mb

    def keep(self, temporary_file: Path, header: InstanceHeader) -> Kept:
        """Take a closed, complete file out of `temporary` into its place; on return it is on disk, whatever happens.

        Raises UnsafeUID, or OSError where the disk refuses; then `temporary_file` is still where it was.
        """
        target = self.path(header)
        folder = target.parent
        _sync_file(temporary_file)
        while True:
            self._make_durable(folder)
            try:
                return self._place(temporary_file, target)
            except FileNotFoundError:
                # Retention took the empty folder away between the two steps.
                if not temporary_file.exists():
                    raise
                with self._lock:
                    self._durable -= {folder, folder.parent}

    def _place(self, temporary_file: Path, target: Path) -> Kept:
        with self._lock:
            is_new = not target.exists()
            if is_new:
                os.rename(temporary_file, target)
        # Also for a duplicate: the sender that came first may not have got this far.
        sync_folder(target.parent)
        if is_new:
            return Kept.NEW
        if _same_data_set(temporary_file, target):
            temporary_file.unlink()
            return Kept.DUPLICATE
        return self._place_version(temporary_file, target)

    def _place_version(self, temporary_file: Path, target: Path) -> Kept:
        folder = self.versions / target.parent.parent.name / target.parent.name / target.stem
        self._make_durable(folder)
        with self._lock:
            earlier = sorted(folder.glob(f"*{SUFFIX}"))
            if any(_same_data_set(temporary_file, one) for one in earlier):
                temporary_file.unlink()
                return Kept.DUPLICATE
            os.rename(temporary_file, folder / f"{len(earlier) + 1:04d}{SUFFIX}")
        sync_folder(folder)
        return Kept.VERSION

    def _make_durable(self, folder: Path) -> None:
        """Create a folder and its parents, each one's entry fsynced in the folder above it."""
        with self._lock:
            missing = []
            while folder not in self._durable and folder not in {self.root, self.versions.parent}:
                missing.append(folder)
                folder = folder.parent
            for new in reversed(missing):
                new.mkdir(exist_ok=True)
                sync_folder(new.parent)
                self._durable.add(new)

    # -- reading ------------------------------------------------------------------------------------------------

    def studies(self) -> Iterator[str]:
        """UIDs of the studies that have images here."""
        yield from _names(self.root, folders=True)

    def series(self, study_uid: str) -> list[str]:
        """UIDs of a study's series; none where the study has no images."""
        return sorted(_names(self.root / safe_uid(study_uid), folders=True))

    def paths(self, study_uid: str, series_uid: str) -> list[Path]:
        """A series' files, by name; none where it has no images."""
        folder = self._series_folder(study_uid, series_uid)
        return [folder / name for name in sorted(_names(folder, folders=False))]

    def version_paths(self, study_uid: str) -> list[Path]:
        """Other contents that came under SOP Instance UIDs of a study, which `paths` does not name."""
        return sorted((self.versions / safe_uid(study_uid)).glob(f"*/*/*{SUFFIX}"))

    def path(self, header: InstanceHeader) -> Path:
        """Where an instance's first version lies, or would lie. Raises UnsafeUID."""
        return self._series_folder(header.study_uid, header.series_uid) / (safe_uid(header.sop_uid) + SUFFIX)

    def size_bytes(self) -> int:
        """What the spool holds, versions included."""
        total = 0
        for top in (self.root, self.versions):
            for folder, _, files in os.walk(top):
                for name in files:
                    try:
                        total += os.stat(os.path.join(folder, name)).st_size
                    except FileNotFoundError:  # being received, or being removed
                        continue
        return total

    # -- removing -----------------------------------------------------------------------------------------------

    def touched_at(self, study_uid: str) -> float:
        """When a file last appeared in the study, in seconds of the epoch; 0 where it has none."""
        return _touched_at(self.root / safe_uid(study_uid))

    def remove_study(self, study_uid: str, *, touched_since: float = float("inf")) -> bool:
        """Delete a study's images and their other versions; False, and nothing, where a file came after that time.

        Out of sight first: a crash half way must not leave half a study to be counted and analysed. Only then is it
        certain that nothing more comes: what the listener placed until that moment was answered with Success, and
        goes back. Raises OSError.
        """
        gone = self.root / ".removed"
        for top in (self.root, self.versions):
            folder = top / safe_uid(study_uid)
            with self._lock:
                self._durable = {known for known in self._durable if not known.is_relative_to(folder)}
                shutil.rmtree(gone, ignore_errors=True)  # also what a crash left
                if folder.is_dir():
                    folder.rename(gone)
                    if top == self.root and _touched_at(gone) > touched_since:
                        _put_back(gone, folder)
                        return False
                    sync_folder(top)
                    shutil.rmtree(gone)
        return True

    def remove_leftovers(self) -> int:
        """Delete what was being received by processes that have ended; nobody was told Success. Returns how many."""
        leftovers = [file for file in self.temporary.iterdir() if not _is_being_received(file)]
        for file in leftovers:
            file.unlink(missing_ok=True)
        return len(leftovers)

    def new_temporary(self) -> Path:
        """Where the next instance can be written; its name says which process does."""
        return self.temporary / f"{os.getpid()}-{uuid.uuid4().hex}.part"

    def _series_folder(self, study_uid: str, series_uid: str) -> Path:
        return self.root / safe_uid(study_uid) / safe_uid(series_uid)


def _is_being_received(file: Path) -> bool:
    owner = file.name.partition("-")[0]
    if not owner.isdecimal():
        return False
    try:
        os.kill(int(owner), 0)  # asks whether the process lives, and does nothing to it
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _names(folder: Path, *, folders: bool) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                wanted = entry.is_dir() if folders else entry.name.endswith(SUFFIX)
                if wanted and not entry.name.startswith("."):
                    yield entry.name
    except FileNotFoundError:
        return


def _touched_at(study: Path) -> float:
    folders = [study, *(study / name for name in _names(study, folders=True))]
    return max((folder.stat().st_mtime for folder in folders if folder.is_dir()), default=0.0)


def _put_back(gone: Path, folder: Path) -> None:
    """Undo a removal. The listener may have begun the study anew meanwhile: what is there stays."""
    for file in sorted(gone.glob(f"*/*{SUFFIX}")):
        target = folder / file.parent.name / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            file.rename(target)
        sync_folder(target.parent)
    for changed in (folder, folder.parent):
        sync_folder(changed)
    shutil.rmtree(gone)


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _data_set_offset(file: bytes) -> int:
    """Where the data set begins: after preamble, prefix and File Meta, whose length its first element says."""
    # PS3.10 section 7.1: (0002,0000) UL of 4 bytes, explicit little endian: 12 bytes, then as many as it holds.
    return PREAMBLE + 4 + 12 + int.from_bytes(file[PREAMBLE + 12 : PREAMBLE + 16], "little")


def _same_data_set(a: Path, b: Path) -> bool:
    """Whether two files hold the same bytes after their File Meta, which is ours and changes with our version."""
    with a.open("rb") as one, b.open("rb") as other:
        for file in (one, other):
            file.seek(_data_set_offset(file.read(PREAMBLE + 16)))
        while True:
            left, right = one.read(COMPARED_AT_ONCE), other.read(COMPARED_AT_ONCE)
            if left != right:
                return False
            if not left:
                return True
