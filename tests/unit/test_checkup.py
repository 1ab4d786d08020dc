"""`triaged check`: each question answered with no where the daemon could not work, and none of them hidden."""

from __future__ import annotations

import gc
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pynetdicom import AE, evt

from tests.support import free_port
from triaged.checkup import NOT_BEFORE, VERIFICATION, Check, check_all
from triaged.clock import Now
from triaged.config import Config, Pacs, parse
from triaged.intake.spool import Spool
from triaged.store import Store

AT = Now(utc=datetime(2026, 3, 9, 8, tzinfo=UTC), mono_s=1.0)


def settings(folder: Path, extra: str = "", *, storage: str = "min_free_mb = 1", top: str = "") -> Config:
    return parse(f'{top}\n[storage]\npath = "{folder / "storage"}"\n{storage}\n{extra}')


def asked(config: Config, at: Now = AT) -> dict[str, Check]:
    checks = check_all(config, at)
    names = [check.name for check in checks]
    assert names == ["senders", "storage", "disk", "durability", "clock", "database", "models", "pacs"], (
        "none is left out"
    )
    return {check.name: check for check in checks}


def failing(config: Config, at: Now = AT) -> set[str]:
    return {name for name, check in asked(config, at).items() if not check.ok}


def test_a_fresh_installation_passes_and_nothing_is_left_behind(tmp_path: Path) -> None:
    config = settings(tmp_path)
    found = asked(config)
    assert {name for name, check in found.items() if not check.ok} == set()
    assert "lungs-unet 1, ct-triage 1" in found["models"].words
    assert list(config.storage.path.iterdir()) == [], "a check makes no database: the daemon would take it for its own"


@pytest.mark.parametrize(
    ("dicom", "ok", "words"),
    [
        ("", True, "this machine only"),
        ('host = "0.0.0.0"', False, "nobody there may send"),
        ('host = "0.0.0.0"\ncalling_ae_titles = ["PACS"]', True, "any address that calls itself PACS"),
        ('host = "0.0.0.0"\nnetworks = ["10.1.0.0/16"]', True, "from 10.1.0.0/16, under any AE title"),
        ('host = "::"\nnetworks = ["10.1.0.0/16"]\ncalling_ae_titles = ["PACS", "CT1"]', True, "as PACS, CT1"),
    ],
)
def test_who_may_send_is_said(dicom: str, ok: bool, words: str, tmp_path: Path) -> None:
    check = asked(settings(tmp_path, f"[dicom]\n{dicom}"))["senders"]
    assert check.ok is ok
    assert words in check.words


@pytest.mark.parametrize("share", [0.98, 1.02])
def test_the_listener_refuses_where_the_check_says_so(share: float, tmp_path: Path) -> None:
    least = int(share * shutil.disk_usage(tmp_path).free / 2**20)
    config = settings(tmp_path, storage=f"min_free_mb = {least}")
    assert Spool(config.spool, min_free_mb=least).has_room() is asked(config)["disk"].ok is (share < 1)


def test_a_database_is_counted(tmp_path: Path) -> None:
    config = settings(tmp_path)
    Store(config.database).close()
    assert asked(config)["database"] == Check(name="database", ok=True, words="0 studies")


def test_a_lost_database_is_told_before_the_daemon_refuses_to_start(tmp_path: Path) -> None:
    config = settings(tmp_path)
    (config.spool / "1.2.3" / "1.2.3.4").mkdir(parents=True)
    found = asked(config)["database"]
    assert not found.ok
    assert "triaged repair" in found.words
    assert not config.database.exists()


def test_a_damaged_database_fails(tmp_path: Path) -> None:
    config = settings(tmp_path)
    config.storage.path.mkdir()
    config.database.write_bytes(b"no database" * 500)
    assert failing(config) == {"database"}


def test_a_database_without_its_tables_fails(tmp_path: Path) -> None:
    config = settings(tmp_path)
    Store(config.database).close()
    with closing(sqlite3.connect(config.database)) as other:
        other.execute("DROP TABLE studies")
        other.commit()
    assert failing(config) == {"database"}


def test_storage_that_is_a_file_fails_without_hiding_the_rest(tmp_path: Path) -> None:
    (tmp_path / "storage").write_text("in the way")
    assert failing(settings(tmp_path)) == {"storage", "durability", "database"}


def test_storage_below_a_file_fails_without_hiding_the_rest(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert failing(settings(tmp_path / "file")) >= {"storage", "durability", "database"}


def test_a_disk_that_is_too_full_to_receive_fails(tmp_path: Path) -> None:
    config = settings(tmp_path, storage="min_free_mb = 100000000")
    found = asked(config)["disk"]
    assert not found.ok
    assert "receiving stops below 100000000 MB" in found.words


def test_a_clock_from_before_the_release_fails(tmp_path: Path) -> None:
    early = Now(utc=datetime(2025, 12, 31, 23, 59, tzinfo=UTC), mono_s=1.0)
    assert failing(settings(tmp_path), early) == {"clock"}
    assert failing(settings(tmp_path), Now(utc=NOT_BEFORE, mono_s=1.0).later(1.0)) == set()


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ('[analysis]\nlungs = "clasical-lungs"', "clasical-lungs"),
        ('[analysis]\ntriage = "classical-lungs"', "classical-lungs"),
        ('[analysis]\ntriage = "/nowhere/at/all"', "nowhere"),
    ],
)
def test_a_model_that_cannot_be_had_fails_by_name(extra: str, words: str, tmp_path: Path) -> None:
    found = asked(settings(tmp_path, extra))["models"]
    assert not found.ok
    assert words in found.words


# -- the PACS -----------------------------------------------------------------------------------------------------


def pacs(port: int, title: str = "PACS") -> str:
    return f'[pacs]\nae_title = "{title}"\nhost = "127.0.0.1"\nport = {port}\ntimeout_s = 5.0'


def test_without_a_pacs_nothing_is_asked(tmp_path: Path) -> None:
    assert asked(settings(tmp_path))["pacs"].ok


def asked_beside(ae: AE, folder: Path, handlers: Sequence[evt.EventHandlerType] = ()) -> Check:
    """What is said of a PACS that is this one, to be reached as PACS."""
    ae.add_supported_context(VERIFICATION)
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=list(handlers))
    assert server is not None
    try:
        return asked(settings(folder, pacs(server.server_address[1])))["pacs"]
    finally:
        for association in ae.active_associations:
            association.join(10)  # shutdown aborts what is just ending, which pynetdicom cannot
        ae.shutdown()


def test_a_pacs_that_answers_passes(tmp_path: Path) -> None:
    found = asked_beside(AE(ae_title="PACS"), tmp_path)
    assert found.ok
    assert "answers C-ECHO" in found.words


def test_a_pacs_that_does_not_know_us_fails_and_says_rejected(tmp_path: Path) -> None:
    ae = AE(ae_title="OTHER")
    ae.require_called_aet = True
    found = asked_beside(ae, tmp_path)
    assert not found.ok
    assert "rejected the association" in found.words


def test_a_pacs_that_refuses_the_echo_fails(tmp_path: Path) -> None:
    refused = 0x0122  # PS3.7 annex C: SOP class not supported
    found = asked_beside(AE(ae_title="PACS"), tmp_path, [(evt.EVT_C_ECHO, lambda _event: refused)])
    assert not found.ok
    assert "refused C-ECHO" in found.words


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # pynetdicom leaves the refused socket
def test_a_pacs_that_is_down_fails_with_its_address(tmp_path: Path) -> None:
    config = settings(tmp_path, pacs(free_port()))
    assert isinstance(config.pacs, Pacs)
    found = asked(config)["pacs"]
    assert not found.ok
    assert f"127.0.0.1:{config.pacs.port} does not answer" in found.words
    gc.collect()  # here, where the warning is expected
