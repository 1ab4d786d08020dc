"""A PACS for the demonstration: Orthanc where it is installed, else a small one of pynetdicom's making.

Both receive studies over DICOM, forward them to the daemon over DICOM, and hold what the daemon sends back.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from pydicom import dcmread
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, build_context, evt

from triaged.errors import TriagedError

START_LIMIT_S = 30.0
RETIRED_JPEG = "1.2.840.10008.1.2.4.55"  # of the study that nobody can decode; a PACS keeps it all the same
ORTHANC_PLACES = "/usr/sbin:/usr/local/sbin"  # Debian keeps it where a user's PATH does not look


class DemoPacs(Protocol):
    """What the demonstration asks of a PACS. `port` takes C-STORE."""

    name: str
    ae_title: str
    port: int

    def start(self) -> None: ...
    def know(self, ae_title: str, port: int) -> None: ...
    def forward(self, study_uid: str) -> None: ...
    def held(self, study_uid: str) -> set[str]: ...
    def stop(self) -> None: ...


class PacsKind(StrEnum):
    """Which PACS takes part. AUTO: Orthanc where it is installed, else the small one."""

    AUTO = "auto"
    ORTHANC = "orthanc"
    SMALL = "small"


def demo_pacs(folder: Path, kind: PacsKind = PacsKind.AUTO) -> DemoPacs:
    """The PACS asked for. Raises TriagedError where Orthanc is wanted and not installed."""
    program = shutil.which("Orthanc") or shutil.which("Orthanc", path=ORTHANC_PLACES)
    if program is not None and kind is not PacsKind.SMALL:
        return OrthancPacs(program, folder)
    if kind is PacsKind.ORTHANC:
        raise TriagedError("Orthanc is not installed")
    return SmallPacs(folder)


def send_files(paths: Sequence[Path], *, port: int, called: str, calling: str, host: str = "127.0.0.1") -> None:
    """C-STORE files as they are, over one association. Raises TriagedError naming how many were not taken."""
    ae = AE(ae_title=calling)
    metas = {
        (m.MediaStorageSOPClassUID, m.TransferSyntaxUID)
        for m in (dcmread(p, specific_tags=[]).file_meta for p in paths)
    }
    contexts = [build_context(sop_class, syntax) for sop_class, syntax in metas]
    association = ae.associate(host, port, contexts=contexts, ae_title=called)
    if not association.is_established:
        raise TriagedError(f"{called} on port {port} did not accept the association")
    refused = sum(association.send_c_store(path).get("Status") != 0x0000 for path in paths)
    association.release()
    if refused:
        raise TriagedError(f"{called} refused {refused} of {len(paths)} instances")


class OrthancPacs:
    """A real PACS in a folder of its own, on ports of its own, reachable from this machine only."""

    name = "Orthanc"
    ae_title = "DEMOPACS"

    def __init__(self, program: str, folder: Path) -> None:
        self._program = program
        self._folder = folder
        self.port, self._http_port = _free_port(), _free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        settings = {
            "StorageDirectory": str(self._folder / "storage"),
            "IndexDirectory": str(self._folder / "storage"),
            "DicomAet": self.ae_title,
            "DicomPort": self.port,
            "HttpPort": self._http_port,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomAlwaysAllowStore": True,
            "SaveJobs": False,
        }
        path = self._folder / "orthanc.json"
        path.write_text(json.dumps(settings))
        with (self._folder / "orthanc.log").open("wb") as log:
            self._process = subprocess.Popen([self._program, str(path)], stdout=log, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + START_LIMIT_S
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                self._ask("GET", "/system")
            except urllib.error.URLError:
                time.sleep(0.1)
            else:
                return
        raise TriagedError(f"Orthanc did not start; see {self._folder / 'orthanc.log'}")

    def know(self, ae_title: str, port: int) -> None:
        self._ask("PUT", "/modalities/triaged", {"AET": ae_title, "Host": "127.0.0.1", "Port": port})

    def forward(self, study_uid: str) -> None:
        found = self._ask("POST", "/tools/lookup", study_uid)
        body = {"Resources": [entry["ID"] for entry in found], "Synchronous": True}
        self._ask("POST", "/modalities/triaged/store", body)

    def held(self, study_uid: str) -> set[str]:
        query = {"Level": "Instance", "Query": {"StudyInstanceUID": study_uid}, "Expand": True}
        return {entry["MainDicomTags"]["SOPInstanceUID"] for entry in self._ask("POST", "/tools/find", query)}

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(15)
            except subprocess.TimeoutExpired:
                self._process.kill()

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        data = body.encode() if isinstance(body, str) else None if body is None else json.dumps(body).encode()
        url = f"http://127.0.0.1:{self._http_port}{path}"
        request = urllib.request.Request(url, data=data, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=120) as answer:
            content = answer.read()
        return json.loads(content) if content else None


class SmallPacs:
    """Receives to a folder and sends from it: enough of a PACS where no other is at hand."""

    name = "a small built-in PACS"
    ae_title = "DEMOPACS"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[str, dict[str, Path]] = defaultdict(dict)
        self._known: tuple[str, int] | None = None
        self._ae = AE(ae_title=self.ae_title)
        for context in AllStoragePresentationContexts:
            if context.abstract_syntax is not None:
                self._ae.add_supported_context(context.abstract_syntax, [*ALL_TRANSFER_SYNTAXES, RETIRED_JPEG])
        self.port = 0

    def start(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        server = self._ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, self._store)])
        assert server is not None
        self.port = server.server_address[1]

    def know(self, ae_title: str, port: int) -> None:
        self._known = (ae_title, port)

    def forward(self, study_uid: str) -> None:
        assert self._known is not None
        ae_title, port = self._known
        send_files(list(self._held[study_uid].values()), port=port, called=ae_title, calling=self.ae_title)

    def held(self, study_uid: str) -> set[str]:
        return set(self._held[study_uid])

    def stop(self) -> None:
        self._ae.shutdown()

    def _store(self, event: evt.Event) -> int:
        dataset = event.dataset
        dataset.file_meta = event.file_meta
        path = self._folder / f"{dataset.SOPInstanceUID}.dcm"
        dataset.save_as(path, enforce_file_format=True)
        self._held[dataset.StudyInstanceUID][dataset.SOPInstanceUID] = path
        return 0x0000


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
        return port
