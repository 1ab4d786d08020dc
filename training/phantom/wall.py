"""The wall of the chest: skin, fat, muscle, bones, arms; and what lies around it: table, clothing, wires."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.phantom.body import Body
from training.phantom.geometry import Field, Reals, blend_union, box, capsule, ellipsoid, local, superellipse

WALL_MM = 17.0  # ribs and muscle between the lung and the fat
VERTEBRA_MM = 26.0
ARM_MM = 42.0  # from the skin to the middle of an arm beside it
TABLE_DEEP_MM, TABLE_HALF_MM = 19.0, 222.0
NO_TABLE_MM = 900.0
DISC_FROM_MM = 10.3  # from the middle of a vertebra
RIB_FALL_MM = 125.0  # how far a rib falls from spine to sternum
SHOULDERS_FROM_MM, SHOULDERS_MM = 45.0, 75.0  # where they begin; over which height they widen
NECK_FROM_MM, NECK_HALF_MM = 128.0, 66.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Wall:
    """Distances in mm on one grid. `turns` counts ribs along the wall; `around` runs from the spine, 0, to the
    sternum, 1."""

    skin: Field
    fat: Field  # thickness of the fat under the skin
    bone: Field
    turns: Field
    around: Field
    table: Field  # to the table's upper skin, from above; the lower one lies `TABLE_DEEP_MM` below
    beside: Field  # to the table's sides
    cloth: Field  # to the folds of a shirt
    wires: Field


@dataclass(frozen=True, kw_only=True)
class Build:
    """What differs from patient to patient and is no size."""

    rib_pitch_mm: float
    rib_phase: float
    disc_phase: float
    table_gap_mm: float
    table_bend_mm: float
    cloth: tuple[float, float, float, float]
    electrodes: tuple[tuple[float, float, float], ...]

    @staticmethod
    def drawn(rng: np.random.Generator) -> Build:
        count = int(rng.integers(2, 5)) if rng.random() < 0.25 else 0
        return Build(
            rib_pitch_mm=float(rng.uniform(22, 28)),
            rib_phase=float(rng.uniform(0, 1)),
            disc_phase=float(rng.uniform(0, 1)),
            table_gap_mm=float(rng.uniform(4, 22)),
            table_bend_mm=float(rng.uniform(40, 110)),
            cloth=(
                float(rng.uniform(5, 16)),
                float(rng.uniform(25, 60)),
                float(rng.uniform(0, 6)),
                float(rng.uniform(0, 6)),
            ),
            electrodes=tuple(
                (float(rng.uniform(-110, 110)), float(rng.uniform(-60, 60)), float(rng.uniform(-0.5, 0.5)))
                for _ in range(count)
            ),
        )

    def on(
        self, body: Body, x: Field, y: Field, z: Field, cavity: Field, table: tuple[Field, Field], scale: float
    ) -> Wall:
        """The wall at points of the standard chest. No patient bends the table: it takes the patient's own x and y."""
        shape = np.broadcast_shapes(x.shape, y.shape, z.shape)
        skin = _skin(body, x, y, z)
        back = body.half_depth_mm + WALL_MM + body.fat_mm
        around = np.arctan2(np.abs(x), y - 10.0) / np.pi
        turns = (z + RIB_FALL_MM * np.minimum(around, 0.85)) / self.rib_pitch_mm + self.rib_phase
        thin = 0.45 + 0.55 * np.clip((100.0 - z) / 60.0, 0.0, 1.0)  # little fat on the shoulders
        fat = body.fat_mm * thin * (1.0 + 0.25 * np.cos(x / 60.0) + 0.25 * np.clip(-y / 90.0, -0.5, 1.0))

        def whole(field: Reals) -> Field:
            return np.asarray(np.broadcast_to(field, shape), np.float32)

        return Wall(
            skin=whole(skin * scale),
            fat=whole(fat),
            bone=whole(self._bones(body, x, y, z) * scale),
            turns=whole(turns),
            around=whole(around),
            table=whole(self._table(body, *table, back * body.scale[1])),
            beside=whole(np.abs(table[0]) - TABLE_HALF_MM),
            cloth=whole(self._cloth(body, x, y, z, skin) * scale),
            wires=whole(self._wires(body, x, y, z) * scale),
        )

    def _table(self, body: Body, x: Field, y: Field, back_mm: float) -> Field:
        if body.table == "none":
            return np.asarray(x * 0 - NO_TABLE_MM, np.float32)
        bend = 0.0 if body.table == "flat" else self.table_bend_mm * (x / 230.0) ** 2
        return np.asarray(y - back_mm - self.table_gap_mm + bend, np.float32)

    def _cloth(self, body: Body, x: Field, y: Field, z: Field, skin: Field) -> Field:
        """Distance to the folds, in front and at the sides."""
        if not body.clothing:
            return np.asarray(skin * 0 + NO_TABLE_MM, np.float32)
        gap, wave, p, q = self.cloth
        folds = gap + 0.6 * gap * np.sin(x / wave + p + z / 70.0) + 0.5 * gap * np.sin(x / (0.37 * wave) + q - y / 30.0)
        return np.asarray(skin - np.maximum(folds, 1.0) + np.clip(y - 0.3 * np.abs(x), 0.0, 60.0), np.float32)

    def _wires(self, body: Body, x: Field, y: Field, z: Field) -> Field:
        found = x * 0 + y * 0 + z * 0 + 900.0
        front = -(body.half_depth_mm + WALL_MM + body.fat_mm + body.breasts_mm * 0.3 + 8.0)
        for u, w, slope in self.electrodes:
            end = (u + 60.0, front + 2.0, w + 120.0 * slope)
            found = np.minimum(found, capsule(x, y, z, (u, front + (u / 70.0) ** 2 * 9.0, w), end, 1.3))
        return np.asarray(found, np.float32)

    def _bones(self, body: Body, x: Field, y: Field, z: Field) -> Field:
        """Everything but the ribs: spine, sternum, shoulder blades, collar bones, upper arms."""
        front = -0.93 * body.half_depth_mm - 7.0

        def sternum(x: Field, y: Field, z: Field) -> Reals:
            plate: Reals = np.maximum(box(x, y - front - 0.05 * (z - 18.0), 18.0, 6.5, 5.0), np.abs(z - 14.0) - 66.0)
            return plate

        def girdle(x: Field, y: Field, z: Field) -> Reals:
            m = np.abs(x)
            u, v = 0.80 * (m - 106.0) + 0.6 * (y - 86.0), -0.6 * (m - 106.0) + 0.80 * (y - 86.0)
            bow = v + 0.006 * u * u
            d: Reals = np.maximum(ellipsoid(u, bow, z, (0.0, 0.0, 58.0), (46.0, 5.0, 74.0)), np.abs(bow) - 4.5)
            d = np.minimum(d, capsule(m, y, z, (88.0, 100.0, 92.0), (146.0, 52.0, 122.0), 5.5))  # spine of the scapula
            d = np.minimum(d, capsule(m, y, z, (20.0, front + 8.0, 94.0), (80.0, -42.0, 112.0), 6.0))  # collar bones
            d = np.minimum(d, capsule(m, y, z, (80.0, -42.0, 112.0), (138.0, 6.0, 124.0), 6.0))
            if body.arms_down:
                return np.minimum(d, capsule(m, y, z, (162.0, 22.0, 118.0), (self._arm_mm(body), 24.0, 30.0), 13.0))
            return np.minimum(d, capsule(m, y, z, (158.0, 26.0, 122.0), (178.0, 16.0, 260.0), 18.0))

        d = local(sternum, x, y, z, (-32.0, front - 25.0, -68.0), (32.0, front + 25.0, 100.0))
        d = np.minimum(d, local(self._spine, x, y, z, (-50.0, 48.0, -900.0), (50.0, 160.0, 900.0)))
        d = np.minimum(d, local(girdle, x, y, z, (-300.0, -150.0, -28.0), (300.0, 200.0, 900.0)))
        if body.arms_down:
            arm = self._arm_mm(body)
            start, end = (arm, 24.0, 30.0), (arm + 6.0, 22.0, -260.0)
            d = np.minimum(d, capsule(np.abs(x), y, z, start, end, 10.5))
        return np.asarray(d, np.float32)

    @staticmethod
    def _arm_mm(body: Body) -> float:
        """How far from the midline an arm lies beside the chest."""
        return body.half_width_mm + WALL_MM + body.fat_mm + ARM_MM

    def _spine(self, x: Field, y: Field, z: Field) -> Field:
        turns: Reals = z / VERTEBRA_MM + self.disc_phase
        along = VERTEBRA_MM * np.abs(turns - np.floor(turns) - 0.5)  # 0 in the middle of a vertebra, 13 at the discs
        body = superellipse(x, y - 78.0, 19.0 + 0.025 * along**2, 15.5, 2.2)
        d = np.maximum(body, along - DISC_FROM_MM)
        canal = superellipse(x, y - 103.0, 11.0, 9.0, 2.0)
        ring = np.maximum(np.maximum(canal - 4.5, -canal), along - 11.0)
        process = np.maximum(box(x, y - 126.0, 4.0, 17.0, 3.0), along - 9.0)
        beside: Reals = np.abs(x)
        wings = np.maximum(box(beside - 18.0, y - 94.0 - 0.4 * beside, 12.0, 4.0, 3.5), along - 5.0)
        return np.asarray(np.minimum(np.minimum(d, ring), np.minimum(process, wings)), np.float32)


def _skin(body: Body, x: Field, y: Field, z: Field) -> Field:
    """Torso, shoulders, neck, breasts, and the arms where they lie beside it."""
    rise = np.clip((z - SHOULDERS_FROM_MM) / SHOULDERS_MM, 0.0, 1.0) ** 1.4
    thick = WALL_MM + body.fat_mm
    d = superellipse(
        x,
        y - 6.0 - 8.0 * rise,
        body.half_width_mm + thick + 4.0 * rise,
        body.half_depth_mm + thick + 4.0 - 26.0 * rise,
        2.25,
    )
    if z.max() > SHOULDERS_FROM_MM:
        m = np.abs(x)
        for centre, half_u, half_v in ((118.0, 62.0, 44.0), (152.0, 40.0, 40.0)):
            girdle = superellipse(m - centre, y - 30.0, half_u * (0.3 + 0.7 * rise), half_v + 0.3 * body.fat_mm, 2.0)
            d = blend_union(d, np.maximum(girdle, SHOULDERS_FROM_MM - z), 14.0)
    d = d + 6.0 * np.exp(-((x / 20.0) ** 2)) * np.clip(y / 60.0, 0.0, 1.0)  # the furrow over the spine
    if body.breasts_mm > 0:
        for sign in (-1.0, 1.0):
            nipple = (sign * (68.0 + 0.6 * body.breasts_mm), -(body.half_depth_mm + thick) + 10.0, -26.0)
            breast = ellipsoid(x, y, z, nipple, (72.0, 14.0 + body.breasts_mm, 74.0))
            d = blend_union(d, breast, 34.0)
    if z.max() > NECK_FROM_MM - 30.0:
        up = np.clip((z - NECK_FROM_MM) / 45.0, 0.0, 1.0)
        neck = superellipse(x, y - 26.0, NECK_HALF_MM + 0.35 * body.fat_mm, 70.0 + 0.3 * body.fat_mm, 2.0)
        d = np.maximum(d, np.where(up > 0, neck - 175.0 * (1.0 - up) ** 2, -900.0))
    if body.arms_down:
        arm = body.half_width_mm + thick + ARM_MM
        for sign in (-1.0, 1.0):
            limb = superellipse(x - sign * arm, y - 22.0, 36.0 + 0.25 * body.fat_mm, 42.0 + 0.3 * body.fat_mm, 2.0)
            d = np.minimum(d, np.maximum(limb, z - 112.0))
    else:
        for sign in (-1.0, 1.0):
            d = np.minimum(d, capsule(x, y, z, (sign * 156.0, 20.0, 118.0), (sign * 182.0, 10.0, 280.0), 48.0))
    return np.asarray(d, np.float32)
