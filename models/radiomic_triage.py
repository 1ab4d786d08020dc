"""Role triage by radiomics (models 7 and 8 on 35): the lungs' features, then the trees of a bundle."""

from __future__ import annotations

import logging
from pathlib import Path

from models import radiomics
from models.cards import Card
from models.forest import Forest, load_forest
from models.predict import LungMasks, TriageResult
from models.volume import Volume

log = logging.getLogger(__name__)


class RadiomicTriage:
    """A probability or the probabilities of classes; neither where the patient lies outside what the trees have seen.

    The features depend on everything inside the lung masks: masks drawn otherwise than those of the training data shift
    them, and so does another kernel or slice thickness. `measure` is what measures the features; whoever reads the
    same studies with several models may put one in its place that remembers.
    """

    def __init__(self, forest: Forest) -> None:
        self.measure: radiomics.Measure = radiomics.of_volume
        self.card: Card = forest.card
        self._forest = forest

    @classmethod
    def of_bundle(cls, folder: Path) -> RadiomicTriage:
        """Raises BundleError."""
        return cls(load_forest(folder))

    def triage(self, volume: Volume, lungs: LungMasks) -> TriageResult:
        try:
            features = self.measure(volume, lungs.labels > 0, self._forest.grid_mm)
        except ValueError as error:
            log.info("no radiomic features", extra={"reason": str(error)})
            return TriageResult()
        found = self._forest.answer(features)
        if found is None:
            log.info("the radiomic features lie outside what the model was fitted on", extra={"model": self.card.name})
            return TriageResult()
        if len(found) == 2:
            return TriageResult(probability=found[self._forest.classes[1]])
        return TriageResult(class_probabilities=found)
