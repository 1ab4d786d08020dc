"""Images go after their time, earlier on a full disk, and never before their results were delivered."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.outbox_house import House, settings
from triaged import artefacts
from triaged.records import DeliveryState
from triaged.results.encode import encode
from triaged.retention import sweep_retention

DAY_S = 86400.0
MakeHouse = Callable[[str], House]
ROOMY = "high_water_percent = 100.0\nretention_days = 30.0"
FULL = "high_water_percent = 0.001\nretention_days = 30.0"  # any disk is above this mark


@pytest.fixture
def make(tmp_path: Path) -> Iterator[MakeHouse]:
    made: list[House] = []

    def house(extra: str) -> House:
        made.append(House.at(settings(tmp_path, 104, extra=extra)))
        return made[-1]

    yield house
    for one in made:
        one.store.close()


def delivered(house: House, name: str) -> str:
    """A study whose results are encoded and sent; its files are as old as its rows."""
    study = house.analysed(name)
    encode(house.store, house.spool, house.config, list(house.deliveries(study).values()))
    for delivery in house.deliveries(study).values():
        house.store.deliveries.sending(delivery.delivery_id)
        house.store.deliveries.sent(delivery, now=house.now)
    age(house, study)
    return study


def age(house: House, study: str) -> None:
    at = house.now.utc.timestamp()
    folder = house.spool.root / study
    for path in (*folder.iterdir(), folder):
        os.utime(path, (at, at))


def read(house: House, study: str) -> None:
    house.store.reading.mark_read(study, reader="dr.a", now=house.now)


def sweep(house: House) -> tuple[str, ...]:
    return sweep_retention(house.store, house.spool, house.config, house.now).removed


def test_images_go_a_retention_time_after_they_were_read(make: MakeHouse) -> None:
    house = make(ROOMY)
    study = delivered(house, "old")
    house.later(10 * DAY_S)
    read(house, study)
    house.later(30 * DAY_S - 1)
    assert sweep(house) == ()
    house.later(2)
    assert sweep(house) == (study,)

    assert list(house.spool.studies()) == []
    left = {path.name for path in artefacts.folder(house.config.artefacts, study, 1).iterdir()}
    assert left == {"coronal.png", "picture.png", "thumbnail.png", "key-slices.json", "sr.dcm"}
    assert house.store.studies.get(study).findings is not None
    assert house.kinds(study)[-1] == "images_removed"
    assert sweep(house) == ()


def test_an_unread_study_keeps_its_images_for_ever(make: MakeHouse) -> None:
    house = make(FULL)
    study = delivered(house, "unread")
    house.later(1000 * DAY_S)
    assert sweep(house) == ()
    assert list(house.spool.studies()) == [study]


@pytest.mark.parametrize("state", [DeliveryState.WAITING, DeliveryState.SENDING, DeliveryState.PARKED])
def test_an_undelivered_study_keeps_its_images_even_on_a_full_disk(make: MakeHouse, state: DeliveryState) -> None:
    house = make(FULL)
    study = delivered(house, "undelivered")
    read(house, study)
    with house.store.atomic():
        house.store.execute("UPDATE deliveries SET state = ? WHERE role = 'seg'", (state,))
    house.later(1000 * DAY_S)
    assert sweep(house) == ()
    assert list(house.spool.studies()) == [study]


def test_on_a_full_disk_what_was_read_goes_before_its_time(make: MakeHouse) -> None:
    house = make(FULL)
    study = delivered(house, "full")
    read(house, study)
    house.later(2 * 3600.0)
    assert sweep(house) == (study,)
    assert "the disk is above" in str(house.store.events.of(study)[-1].detail["why"])


def test_a_withdrawn_study_goes_after_its_time(make: MakeHouse) -> None:
    house = make(ROOMY)
    study = house.analysed("withdrawn")
    age(house, study)
    house.store.studies.withdraw(study, reason="sent twice", by="dr.a", now=house.now)
    house.later(29 * DAY_S)
    assert sweep(house) == ()
    house.later(2 * DAY_S)
    assert sweep(house) == (study,)


def test_a_study_that_is_receiving_is_left_alone(make: MakeHouse) -> None:
    house = make(ROOMY)
    study = delivered(house, "receiving")
    read(house, study)
    house.later(40 * DAY_S)
    (series,) = house.spool.series(study)
    path = house.spool.paths(study, series)[0]
    path.with_name("1.2.3.dcm").write_bytes(path.read_bytes())  # on disk, and not yet in the rows
    os.utime(path.parent, (house.now.utc.timestamp(), house.now.utc.timestamp()))
    assert sweep(house) == ()
    house.later(2 * 3600.0)
    assert sweep(house) == (study,)


def test_an_image_that_comes_while_its_study_is_removed_brings_the_study_back(make: MakeHouse) -> None:
    """It was answered with Success between the question whether something came and the removal."""
    house = make(ROOMY)
    study = delivered(house, "meanwhile")
    (series,) = house.spool.series(study)
    before = house.spool.paths(study, series)
    house.later(40 * DAY_S)
    checked = house.now.utc.timestamp()
    age_of = before[0].parent
    late = age_of / "1.2.3.dcm"
    late.write_bytes(before[0].read_bytes())
    os.utime(age_of, (checked + 1, checked + 1))
    assert not house.spool.remove_study(study, touched_since=checked)
    assert house.spool.paths(study, series) == sorted([*before, late])
    assert not (house.spool.root / ".removed").exists()
    assert house.spool.remove_study(study, touched_since=checked + 10 * DAY_S)
    assert house.spool.series(study) == []


def test_a_full_disk_that_nothing_relieves_is_said_once(make: MakeHouse, caplog: pytest.LogCaptureFixture) -> None:
    house = make(FULL)
    delivered(house, "filler")
    for _ in range(3):
        assert sweep_retention(house.store, house.spool, house.config, house.now).stuck
    assert house.kinds().count("disk_full_nothing_removable") == 1
    assert sum("nothing may be removed" in r.getMessage() for r in caplog.records) == 1

    roomy = make(ROOMY)
    assert not sweep_retention(roomy.store, roomy.spool, roomy.config, roomy.now).stuck
    assert roomy.kinds()[-1] == "disk_below_high_water"


def test_a_removal_that_was_cut_short_leaves_no_half_study(make: MakeHouse) -> None:
    """What a crash after the first step leaves: the study out of sight, its row as before."""
    house = make(ROOMY)
    study = delivered(house, "cut short")
    read(house, study)
    (house.spool.root / study).rename(house.spool.root / ".removed")
    assert list(house.spool.studies()) == []
    house.later(40 * DAY_S)
    assert sweep(house) == (study,)
    assert not (house.spool.root / ".removed").exists()
