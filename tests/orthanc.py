"""A real PACS for tests: Orthanc in a folder of its own, on ports of its own, with what the tests ask of it.

    with orthanc(tmp_path, forward_to=("TRIAGED", port)) as pacs:
        pacs.upload(study.folder)
        pacs.wait_for(lambda: len(pacs.sop_uids(study.study_uid)) == 35)

`forward_to` makes it what the daemon is used with: every study that becomes stable is sent, whole, to that AE, and
again whenever something was added to it, our own results included. The port may be told later, by `add_modality`.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
from pydicom import dcmread
from pydicom.dataset import Dataset

from tests.support import free_port, peer

START_S = 30.0
STOP_S = 15.0
FORWARD = """
function OnStableStudy(studyId, tags, metadata)
    RestApiPost('/modalities/{name}/store', DumpJson({{ Resources = {{ studyId }}, Synchronous = false }}))
end
"""


@dataclass
class Orthanc:
    """One Orthanc. `start` and `stop` keep ports and contents, so that a PACS can be down and up again."""

    folder: Path
    settings: dict[str, object]
    ae_title: str
    dicom_port: int
    http_port: int
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _client: httpx.Client | None = field(default=None, repr=False)

    # -- up and down ----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start it and wait until it answers. Raises RuntimeError, with its log, where it does not."""
        self.folder.mkdir(parents=True, exist_ok=True)
        configuration = self.folder / "orthanc.json"
        configuration.write_text(json.dumps(self.settings))
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [peer("Orthanc"), "--verbose-dicom", str(configuration)], stdout=log, stderr=subprocess.STDOUT
            )
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{self.http_port}", timeout=30.0, trust_env=False)
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                if self._client.get("/system").is_success:
                    return
            except httpx.TransportError:
                time.sleep(0.1)
        log_text = self.log.read_text(errors="replace")[-3000:]
        self.stop()
        raise RuntimeError(f"Orthanc did not start\n{log_text}")

    def stop(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    @property
    def log(self) -> Path:
        return self.folder / "orthanc.log"

    # -- REST -----------------------------------------------------------------------------------------------------

    @property
    def client(self) -> httpx.Client:
        assert self._client is not None, "Orthanc is down"
        return self._client

    def get(self, path: str) -> Any:
        return self.client.get(path).raise_for_status().json()

    def post(self, path: str, body: object) -> Any:
        return self.client.post(path, json=body).raise_for_status().json()

    def add_modality(self, name: str, ae_title: str, port: int, host: str = "127.0.0.1") -> None:
        """Make another AE known; needed before anything is sent to it. Forgotten when Orthanc stops."""
        body = {"AET": ae_title, "Host": host, "Port": port, "AllowStore": True}
        self.client.put(f"/modalities/{name}", json=body).raise_for_status()

    # -- contents -------------------------------------------------------------------------------------------------

    def upload(self, *sources: Path | bytes) -> int:
        """Put files, or every file below folders, into it over REST, not DICOM; returns how many it took."""
        taken = 0
        for content in _contents(sources):
            taken += self.client.post("/instances", content=content).is_success
        return taken

    def studies(self) -> list[str]:
        """Study Instance UIDs."""
        return sorted(s["MainDicomTags"]["StudyInstanceUID"] for s in self.get("/studies?expand"))

    def sop_uids(self, study_uid: str | None = None) -> list[str]:
        """SOP Instance UIDs, of one study or of all; one entry per stored instance."""
        if study_uid is None:
            found = self.get("/instances?expand")
        else:
            query = {"Level": "Instance", "Query": {"StudyInstanceUID": study_uid}, "Expand": True}
            found = self.post("/tools/find", query)
        return sorted(i["MainDicomTags"]["SOPInstanceUID"] for i in found)

    def sop_uids_of_modality(self, study_uid: str, modality: str) -> list[str]:
        """SOP Instance UIDs of the study's series of this Modality (CT, SEG, SR, OT)."""
        query = {"Level": "Instance", "Query": {"StudyInstanceUID": study_uid, "Modality": modality}, "Expand": True}
        return sorted(i["MainDicomTags"]["SOPInstanceUID"] for i in self.post("/tools/find", query))

    def orthanc_id(self, uid: str) -> str:
        """Orthanc's own name for a Study, Series or SOP Instance UID. Raises LookupError."""
        found = self.client.post("/tools/lookup", content=uid).raise_for_status().json()
        if not found:
            raise LookupError(f"Orthanc does not hold {uid}")
        return str(found[0]["ID"])

    def file(self, sop_uid: str) -> bytes:
        """The stored Part 10 file. Orthanc writes its own file meta information before our data set."""
        return self.client.get(f"/instances/{self.orthanc_id(sop_uid)}/file").raise_for_status().content

    def dataset(self, sop_uid: str) -> Dataset:
        return dcmread(BytesIO(self.file(sop_uid)))

    def send(self, study_uid: str, modality: str, *, wait: bool = True) -> None:
        """Send a study to a modality over one association; with `wait`, until the job has ended."""
        body = {"Resources": [self.orthanc_id(study_uid)], "Synchronous": wait}
        self.post(f"/modalities/{modality}/store", body)

    # -- waiting --------------------------------------------------------------------------------------------------

    def wait_for(self, condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
        """Poll until the condition holds. Raises TimeoutError."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"not within {timeout_s:g} s; Orthanc holds {len(self.sop_uids())} instances")
            time.sleep(0.1)

    def idle(self) -> bool:
        """No job waiting or running, and no study still waiting to become stable."""
        jobs = self.get("/jobs?expand")
        busy = any(job["State"] in {"Pending", "Running", "Retry"} for job in jobs)
        return not busy and all(study["IsStable"] for study in self.get("/studies?expand"))


@contextmanager
def orthanc(
    folder: Path,
    *,
    ae_title: str = "ORTHANC",
    forward_to: tuple[str, int] | None = None,
    stable_age_s: int = 1,
    extra: Mapping[str, object] | None = None,
    lua: str = "",
) -> Iterator[Orthanc]:
    """A running Orthanc below `folder`; skips, with the reason, where it is not installed.

    `forward_to` (AE title, port) forwards every stable study; a port of 0 means that `add_modality` will tell it.
    `extra` are settings over ours; `lua` is added to the script.
    """
    peer("Orthanc")
    pacs = _configured(folder / "orthanc", ae_title, stable_age_s)
    if forward_to is not None:
        name, port = forward_to
        lua = FORWARD.format(name=name) + lua
        if port:
            pacs.settings["DicomModalities"] = {name: [name, "127.0.0.1", port]}
    if lua:
        script = pacs.folder / "script.lua"
        script.write_text(lua)
        pacs.settings["LuaScripts"] = [str(script)]
    pacs.settings.update(extra or {})
    try:
        pacs.start()
        yield pacs
    finally:
        pacs.stop()


def _configured(folder: Path, ae_title: str, stable_age_s: int) -> Orthanc:
    folder.mkdir(parents=True, exist_ok=True)
    dicom_port, http_port = free_port(), free_port()
    settings: dict[str, object] = {
        "Name": ae_title,
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "DicomAet": ae_title,
        "DicomPort": dicom_port,
        "HttpPort": http_port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomCheckCalledAet": False,
        "DicomAlwaysAllowStore": True,
        "DicomAlwaysAllowFind": True,
        "DicomAlwaysAllowGet": True,
        "UnknownSopClassAccepted": True,
        "StableAge": stable_age_s,
        "SyncStorageArea": False,  # a test's PACS may lose its disk
        "SaveJobs": False,
        "HttpTimeout": 30,
        "DicomScuTimeout": 10,
    }
    return Orthanc(folder=folder, settings=settings, ae_title=ae_title, dicom_port=dicom_port, http_port=http_port)


def _contents(sources: Iterable[Path | bytes]) -> Iterator[bytes]:
    for source in sources:
        if isinstance(source, bytes):
            yield source
        elif source.is_dir():
            yield from (path.read_bytes() for path in sorted(source.rglob("*")) if path.is_file())
        else:
            yield source.read_bytes()
