"""The outbox against a PACS that refuses, hangs up, is full or is away: each object gets what is its due."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import ImplicitVRLittleEndian

from tests.integration.odd_pacs import ABORT, OddPacs, odd_pacs
from tests.integration.outbox_house import House, settings
from tests.support import eventually, free_port, peer
from triaged.records import DeliveryState, Role
from triaged.results.outbox import PROBE_LONGEST_S

SENT, WAITING, PARKED = DeliveryState.SENT, DeliveryState.WAITING, DeliveryState.PARKED
MakeHouse = Callable[..., House]


@pytest.fixture
def house_for(tmp_path: Path) -> Iterator[MakeHouse]:
    made: list[House] = []

    def make(port: int, **how: str) -> House:
        made.append(House.at(settings(tmp_path, port, **how)))
        return made[-1]

    yield make
    for house in made:
        house.store.close()


def test_one_association_brings_a_whole_study(house_for: MakeHouse) -> None:
    with odd_pacs() as pacs:
        house_for(pacs.port).analysed("whole")
        house = house_for(pacs.port)
        assert house.deliver_all() == 3
    assert [role for _, role, _ in pacs.received] == [Role.SEG, Role.SR, Role.PICTURE]
    assert pacs.associations == 1


@pytest.mark.parametrize("refused", [Role.SEG, Role.SR])
def test_a_pacs_that_does_not_take_one_kind_gets_the_others(house_for: MakeHouse, refused: Role) -> None:
    with odd_pacs(roles=[role for role in Role if role is not refused]) as pacs:
        house = house_for(pacs.port)
        study = house.analysed("partial")
        house.deliver_all()
    assert house.states(study) == {role: PARKED if role is refused else SENT for role in Role}
    assert "accepts no presentation context" in str(house.deliveries(study)[refused].last_error)


def test_a_pacs_that_takes_none_of_them_parks_them_all(house_for: MakeHouse) -> None:
    with odd_pacs(roles=[]) as pacs:
        house = house_for(pacs.port)
        study = house.analysed("none")
        house.deliver_all()
    assert set(house.states(study).values()) == {PARKED}
    assert "Comprehensive 3D SR Storage" in str(house.deliveries(study)[Role.SR].last_error)


def test_a_full_pacs_is_asked_again_after_the_back_off(house_for: MakeHouse) -> None:
    with odd_pacs(OddPacs(answers={Role.SEG: [0xA700]})) as pacs:
        house = house_for(pacs.port, results="retry_first_s = 40.0")
        study = house.analysed("full")
        house.deliver_all()
        assert house.states(study) == {Role.SEG: WAITING, Role.SR: SENT, Role.PICTURE: SENT}
        seg = house.deliveries(study)[Role.SEG]
        assert "out of resources" in str(seg.last_error)
        assert 30.0 <= (seg.not_before - house.now.utc).total_seconds() <= 40.0

        house.later(29.0)
        assert house.deliver_all() == 0
        house.later(11.0)
        assert house.deliver_all() == 1
    first, second = pacs.of(Role.SEG)
    assert first == second
    assert house.states(study)[Role.SEG] is SENT
    assert house.deliveries(study)[Role.SEG].attempts == 2
    assert len(pacs.received) == 4  # the others were not sent again


def test_a_permanent_refusal_parks_its_object_at_once_and_a_warning_does_not(house_for: MakeHouse) -> None:
    with odd_pacs(OddPacs(answers={Role.SR: [0xC001], Role.PICTURE: [0xB007]})) as pacs:
        house = house_for(pacs.port)
        study = house.analysed("refused")
        house.deliver_all()
    assert house.states(study) == {Role.SEG: SENT, Role.SR: PARKED, Role.PICTURE: SENT}
    assert "0xC001" in str(house.deliveries(study)[Role.SR].last_error)
    assert "delivery_parked" in house.kinds(study)


def test_an_object_on_which_the_pacs_hangs_up_does_not_hold_back_the_others(house_for: MakeHouse) -> None:
    with odd_pacs(OddPacs(answers={Role.SEG: [ABORT, ABORT]})) as pacs:
        house = house_for(pacs.port)
        study = house.analysed("aborted")
        house.deliver_all()
        assert house.states(study) == {Role.SEG: WAITING, Role.SR: SENT, Role.PICTURE: SENT}
        for _ in range(2):
            house.later(3600.0)
            house.deliver_all()
    assert house.states(study)[Role.SEG] is SENT
    assert house.deliveries(study)[Role.SEG].attempts == 3
    assert len(set(pacs.of(Role.SEG))) == 1


def test_an_object_is_given_up_after_its_tries(house_for: MakeHouse) -> None:
    with odd_pacs(OddPacs(answers={Role.PICTURE: [0x0110] * 9})) as pacs:
        house = house_for(pacs.port, results="max_attempts = 3")
        study = house.analysed("hopeless")
        for _ in range(6):
            house.deliver_all()
            house.later(3600.0)
    assert house.states(study)[Role.PICTURE] is PARKED
    assert "given up after 3 tries" in str(house.deliveries(study)[Role.PICTURE].last_error)
    assert len(pacs.of(Role.PICTURE)) == 3


def test_a_pacs_that_does_not_know_us_parks_nothing_and_is_said_until_it_does(house_for: MakeHouse) -> None:
    port = free_port()
    house = house_for(port, results="max_attempts = 2")
    studies = [house.analysed("stranger", minutes=10), house.analysed("stranger too", minutes=60)]
    outbox = house.outbox()
    with odd_pacs(port=port, calling_ae_titles=["SOMEBODYELSE"]):
        for _ in range(4):  # more often than an object has tries
            assert outbox.step(house.now) == 0
            house.later(PROBE_LONGEST_S)
    for study in studies:
        assert set(house.states(study).values()) == {WAITING}
    words = "calling AE title TRIAGED not recognised"
    assert words in str(house.deliveries(studies[0])[Role.SEG].last_error)
    assert words in str(house.store.deliveries.refusal)
    assert house.kinds().count("pacs_rejects_us") == 1
    with odd_pacs(port=port) as pacs:
        while outbox.step(house.now):
            pass
    assert len(pacs.studies) == 6
    assert house.store.deliveries.refusal is None


# pynetdicom drops the socket of a failed connection without closing it; Python closes it, and says so.
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_when_the_pacs_is_back_the_most_urgent_study_goes_first(house_for: MakeHouse) -> None:
    port = free_port()
    house = house_for(port, results="max_attempts = 2")
    for name, minutes in [("routine", 1440), ("soon", 60), ("critical", 30)]:
        house.analysed(name, minutes=minutes)
    outbox = house.outbox()
    for _ in range(6):  # more often than an object has tries
        assert outbox.step(house.now) == 0
        house.later(PROBE_LONGEST_S)
    with odd_pacs(port=port) as pacs:
        while outbox.step(house.now):
            pass
    due = {s.study_uid: s.place.due for s in house.store.studies.all()}
    assert pacs.studies == sorted(pacs.studies, key=due.__getitem__)
    assert len(pacs.studies) == 9
    assert house.kinds().count("pacs_unreachable") == 1
    assert house.kinds().count("pacs_reachable") == 1
    assert {d.attempts for study in due for d in house.store.deliveries.of(study)} == {1}


def test_an_absent_pacs_is_not_asked_all_the_time(house_for: MakeHouse) -> None:
    with socket.socket() as door:  # accepts and hangs up, counting
        door.bind(("127.0.0.1", 0))
        door.listen()
        door.setblocking(False)
        house = house_for(door.getsockname()[1], results="retry_first_s = 8.0")
        house.analysed("absent")
        house.config = house.config.model_copy(
            update={"pacs": house.config.pacs.model_copy(update={"timeout_s": 0.3})}  # type: ignore[union-attr]
        )
        outbox = house.outbox()
        knocks = 0
        for _ in range(60):
            outbox.step(house.now)
            house.later(1.0)
            try:
                door.accept()[0].close()
                knocks += 1
            except BlockingIOError:
                continue
    # 8, 16, 32 ... seconds apart, each up to a quarter less
    assert 3 <= knocks <= 5


def test_a_silent_pacs_costs_its_time_out_and_no_more(house_for: MakeHouse) -> None:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        door.listen()
        house = house_for(door.getsockname()[1])
        house.config = house.config.model_copy(
            update={"pacs": house.config.pacs.model_copy(update={"timeout_s": 0.5})}  # type: ignore[union-attr]
        )
        study = house.analysed("silent")
        house.outbox()._encode(list(house.deliveries(study).values()))
        began = time.monotonic()
        house.deliver_all()
        assert time.monotonic() - began < 5.0
    assert set(house.states(study).values()) == {WAITING}
    assert "cannot be reached" in str(house.deliveries(study)[Role.SEG].last_error)


def test_an_object_that_was_in_hand_at_two_ends_lets_the_others_go_first(house_for: MakeHouse) -> None:
    with odd_pacs() as pacs:
        house = house_for(pacs.port)
        bad = house.analysed("poison", minutes=10)
        good = house.analysed("healthy", minutes=60)
        for _ in range(2):  # the process ends with the urgent study in hand
            for delivery in house.deliveries(bad).values():
                house.store.deliveries.sending(delivery.delivery_id)
            house.outbox().recover(house.now)
        house.deliver_all()
        assert set(pacs.studies) == {good}
        house.later(3600.0)
        house.deliver_all()
    assert set(house.states(bad).values()) == {SENT}


def test_a_pacs_that_takes_implicit_vr_only_gets_the_same_content(house_for: MakeHouse, tmp_path: Path) -> None:
    """dcmtk's storescp, as the second PACS."""
    port, folder = free_port(), tmp_path / "received"
    folder.mkdir()
    scp = subprocess.Popen(
        [peer("storescp"), "-aet", "ORTHANC", "+xi", "-pm", "-uf", "-od", str(folder), str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        eventually(lambda: _listens(port), f"nothing listens on port {port}")
        house = house_for(port)
        study = house.analysed("implicit")
        assert house.deliver_all() == 3
    finally:
        scp.kill()
        scp.wait()
    assert set(house.states(study).values()) == {SENT}
    received = {ds.SOPInstanceUID: ds for ds in map(dcmread, folder.iterdir())}
    assert len(received) == 3
    for delivery in house.deliveries(study).values():
        there, ours = received[delivery.sop_uid], dcmread(house.config.storage.path / str(delivery.path))
        assert there.file_meta.TransferSyntaxUID == ImplicitVRLittleEndian
        # Implicit VR does not say whether pixels are OB or OW (PS3.5 annex A.1: OW), so they are compared as bytes.
        pixels = [ds.pop("PixelData").value if "PixelData" in ds else None for ds in (there, ours)]
        assert pixels[0] == pixels[1]
        assert there == ours


def _listens(port: int) -> bool:
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0
