"""A data set of one batch: whatever can be trained at all must be able to learn it by heart."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from training.recipe import Batch, Data

DRAWS = 8  # batches to choose from: overlap with a few specks is not soon learned


@dataclass(frozen=True, kw_only=True)
class OneBatch:
    """One batch of another data set, again and again: the first, or, for `richest`, of a few the one that shows most of
    lesions. Validation as it is there."""

    of: Data
    seed: int = 0
    richest: bool = False

    @property
    def digest(self) -> str:
        return self.of.digest

    @property
    def description(self) -> str:
        return f"one batch of {self.of.description}"

    @property
    def synthetic(self) -> bool:
        return self.of.synthetic

    def batch(self, rng: np.random.Generator) -> Batch:
        return self._first

    @cached_property
    def _first(self) -> Batch:
        draws = DRAWS if self.richest else 1
        return max((self.of.batch(np.random.default_rng(self.seed + n)) for n in range(draws)), key=_shown)

    def validation(self) -> Iterable[Batch]:
        return self.of.validation()


def _shown(batch: Batch) -> float:
    """The share of lesion; what nothing is told of shows none."""
    return float(torch.nan_to_num(batch["lesions"]).mean()) if "lesions" in batch else 0.0
