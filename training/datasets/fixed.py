"""A data set of one batch: whatever can be trained at all must be able to learn it by heart."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from training.recipe import Batch, Data


@dataclass(frozen=True, kw_only=True)
class OneBatch:
    """Another data set's first batch, again and again; validation as it is there."""

    of: Data
    seed: int = 0

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
        return self.of.batch(np.random.default_rng(self.seed))

    def validation(self) -> Iterable[Batch]:
        return self.of.validation()
