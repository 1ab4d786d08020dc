"""Whole volumes as training data: labels, what serving would see, and what training does beside that."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.case import InputSpec, Kind, MaskPolicy
from models.prepare import prepare
from tests.unit.training.small_patients import KINDS, patient, patients, written
from training.datasets.phantom import volume_of
from training.datasets.simulated_labels import SEVERE, simulated_labels
from training.datasets.stored import (
    INDEX,
    TRAIN,
    VALIDATION,
    DataError,
    StoredLibrary,
    indexed,
    open_libraries,
    saved,
    store,
)
from training.datasets.volumes import ClassifiedVolumes, drawn_move, noisy, turned

TASKS = ("CT", "NAT", "severity")
SPEC = InputSpec(
    kind=Kind.VOLUME,
    pixel_mm=4.0,
    slice_mm=6.0,
    window_hu=(-1024.0, 976.0),
    mask=MaskPolicy.ZERO,
    size=(16, 24, 24),
    mean_sd=(0.008, 0.04),
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> ClassifiedVolumes:
    train, held_out = open_libraries(written(tmp_path_factory.mktemp("data")))
    return ClassifiedVolumes(
        train=train, held_out=held_out, spec=SPEC, labels=simulated_labels, tasks=TASKS, volumes=4, augment=True
    )


@pytest.mark.parametrize(
    ("kind", "affected", "expected"),
    [
        ("covid", 0.0, (1, 1, 1)),
        ("covid", SEVERE - 0.01, (1, 1, 1)),
        ("covid", SEVERE, (1, 1, 2)),
        ("cap", 0.6, (1, 0, 0)),
        ("normal", 0.0, (0, 0, 0)),
        ("other", 0.3, (0, 0, 0)),
    ],
)
def test_simulated_labels_follow_the_cohorts_structure(
    kind: str, affected: float, expected: tuple[int, int, int]
) -> None:
    assert tuple(simulated_labels(kind, affected)[task] for task in TASKS) == expected


def test_a_share_of_the_lungs_is_a_share() -> None:
    with pytest.raises(ValueError, match="no share"):
        simulated_labels("covid", 14.0)


def test_a_batch_is_whole_volumes_of_different_patients_with_a_class_for_each_task(data: ClassifiedVolumes) -> None:
    batch = data.batch(np.random.default_rng(1))
    assert batch["image"].shape == (4, 1, 16, 24, 24)
    assert [batch[task].shape for task in TASKS] == [(4,)] * 3
    assert ((batch["severity"] > 0) == (batch["NAT"] == 1)).all()
    again = data.batch(np.random.default_rng(1))
    assert all((batch[name] == again[name]).all() for name in batch)
    everyone = replace(data, volumes=len(KINDS), augment=False).batch(np.random.default_rng(2))
    assert len({image.numpy().tobytes() for image in everyone["image"]}) == len(KINDS)


def test_validation_is_what_serving_sees(data: ClassifiedVolumes) -> None:
    cases = list(data.validation())
    assert len(cases) == len(KINDS)
    for (kind, drawn), case in zip(patients(100), cases, strict=True):
        expected = prepare(volume_of(drawn), SPEC, drawn.lungs).image
        np.testing.assert_array_equal(case["image"][0, 0].numpy(), expected)
        assert int(case["NAT"]) == (kind == "covid")


def test_a_patient_without_lungs_is_named(tmp_path: Path, data: ClassifiedVolumes) -> None:
    empty = patient(3, lesion=False)
    library = store(tmp_path, [("normal", replace(empty, lungs=np.zeros_like(empty.lungs)))], "nobody")
    with pytest.raises(DataError, match="patient 0 of nobody has no lungs"):
        replace(data, train=library).batch(np.random.default_rng(1))


def test_the_box_moves_as_far_as_published() -> None:
    rng = np.random.default_rng(4)
    moves = np.array([drawn_move(rng, (1.0, 1.0, 1.0)) for _ in range(400)])
    assert moves.min(axis=0).tolist() == [-20, -50, -50]
    assert moves.max(axis=0).tolist() == [30, 10, 10]
    assert not (moves % 10).any()
    coarse = np.array([drawn_move(rng, (12.5, 6.25, 6.25)) for _ in range(400)])
    assert coarse.min(axis=0).tolist() == [-2, -8, -8]


def test_noise_is_three_to_seven_hounsfield_units_one_time_in_five() -> None:
    rng = np.random.default_rng(5)
    image = np.zeros((8, 20, 31), dtype=np.float32)
    hu = np.array([noisy(image, rng, SPEC).std() for _ in range(400)]) * 0.04 * 2000
    with_noise = hu[hu > 0]
    assert 50 < with_noise.size < 110
    assert with_noise.min() == pytest.approx(10**0.5, rel=0.1)
    assert with_noise.max() == pytest.approx(50**0.5, rel=0.1)


def test_turns_and_flips_come_in_their_published_shares() -> None:
    image = np.arange(2 * 5 * 5, dtype=np.float32).reshape(2, 5, 5)
    poses = {
        "as it is": image,
        "90": np.rot90(image, 1, (1, 2)),
        "180": np.rot90(image, 2, (1, 2)),
        "270": np.rot90(image, 3, (1, 2)),
        "flipped": image[:, ::-1],
    }
    rng = np.random.default_rng(6)
    counts = dict.fromkeys(poses, 0)
    for _ in range(2100):
        seen = turned(image, rng)
        counts[next(name for name, pose in poses.items() if np.array_equal(seen, pose))] += 1
    expected = {"as it is": 1225, "90": 325, "180": 225, "270": 25, "flipped": 300}
    for name, count in counts.items():
        assert count == pytest.approx(expected[name], abs=70), name


def test_a_plane_that_is_not_square_keeps_its_shape() -> None:
    image = np.zeros((2, 5, 7), dtype=np.float32)
    rng = np.random.default_rng(7)
    assert {turned(image, rng).shape for _ in range(100)} == {(2, 5, 7)}


def test_real_patients_bring_their_labels_and_none_is_simulated(tmp_path: Path) -> None:
    facts = [{"CT": "1", "NAT": "0", "severity": "0"}, {"CT": "0", "severity": " 2 "}]
    for part, first in ((TRAIN, 0), (VALIDATION, 10)):
        made = [(kind, patient(first + n, lesion=True)) for n, kind in enumerate(("covid", "normal"))]
        (tmp_path / part).mkdir()
        entries = [
            {"kind": kind, "sha256": saved(tmp_path / part, n, one), "facts": facts[n]}
            for n, (kind, one) in enumerate(made)
        ]
        indexed(tmp_path / part, entries, "two real patients", synthetic=False)
    train, held_out = open_libraries(tmp_path)
    volumes = ClassifiedVolumes(
        train=train, held_out=held_out, spec=SPEC, labels=simulated_labels, tasks=TASKS, volumes=2
    )
    first, second = (volumes._sample(train, n, None) for n in range(2))
    assert [int(first[task]) for task in TASKS] == [1, 0, 0], "not what its kind stands for"
    assert [int(second[task]) for task in TASKS] == [0, -1, 2], "a swab that nobody took says nothing"
    assert int(volumes._sample(held_out, 1, None)["NAT"]) == -1
    assert train.digest != StoredLibrary(_without_facts(tmp_path / TRAIN)).digest, "labels reach the network"
    with pytest.raises(DataError, match="nobody says NAT, severity of any patient; prepare them with columns"):
        ClassifiedVolumes(
            train=StoredLibrary(tmp_path / TRAIN),
            held_out=held_out,
            spec=SPEC,
            labels=simulated_labels,
            tasks=TASKS,
            volumes=2,
        )


def _without_facts(folder: Path) -> Path:
    index = json.loads((folder / INDEX).read_text())
    for entry in index["patients"]:
        del entry["facts"]
    (folder / INDEX).write_text(json.dumps(index))
    return folder


def test_a_label_that_is_no_class_is_told(tmp_path: Path) -> None:
    patients = [{"kind": "covid", "sha256": "", "facts": {"NAT": "+"}}]
    (tmp_path / INDEX).write_text(json.dumps({"description": "x", "patients": patients}))
    with pytest.raises(DataError, match=r"patient 0: NAT is '\+'; give one of 0, 1, or leave it empty"):
        StoredLibrary(tmp_path)
