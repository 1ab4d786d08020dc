"""Role triage for networks that read a whole volume and say classes, one answer or one for each of several tasks."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from models.bundle import Bundle, BundleError
from models.case import Case
from models.maps import WithNetwork, stretched
from models.predict import LungMasks, TriageResult
from models.prepare import prepare
from models.radiomics import Measure, of_volume
from models.volume import Volume

# What the classes of a task are called in a card.
CT_CLASSES = ("CT negative", "CT positive")
NAT_CLASSES = ("NAT negative", "NAT positive")
SEVERITIES = ("control or suspected", "mild or regular", "severe or critical")
DIAGNOSES = ("COVID-19", "CAP", "non-pneumonia")
# The class whose probability is the study's, the first that the model knows: a nucleic acid test says COVID-19 more
# surely than a picture of pneumonia does.
POSITIVE = ("COVID-19", "NAT positive", "CT positive")


class VolumeTriage(WithNetwork[nn.Module]):
    """A probability of COVID-19 where a task has a class for it, class probabilities where a task has more than two
    classes; no lesions. The card's `classes` say what the network's answers mean."""

    def __init__(self, bundle: Bundle, device: str) -> None:
        super().__init__(bundle, device, nn.Module)
        if not self.card.classes:
            raise BundleError(f"{self.card.name}: the card does not say what the classes are")

    @torch.inference_mode()
    def triage(self, volume: Volume, lungs: LungMasks) -> TriageResult:
        """Raises ValueError where there are no lungs."""
        case = prepare(volume, self._spec, lungs.labels > 0)
        return self._result(self._read(case))

    def _result(self, said: Tensor | Mapping[str, Tensor]) -> TriageResult:
        likely = {task: self._likely(task, logits) for task, logits in self._by_task(said).items()}
        every = {name: p for classes in likely.values() for name, p in classes.items()}
        probability = next((every[name] for name in POSITIVE if name in every), None)
        many = next((classes for classes in likely.values() if len(classes) > 2), None)
        return TriageResult(probability=probability, class_probabilities=many, tasks=likely)

    def _read(self, case: Case) -> Tensor | Mapping[str, Tensor]:
        """Logits (1, K), by task where there are several."""
        said: Tensor | Mapping[str, Tensor] = self._network(self._input(case))
        return said

    def _input(self, case: Case) -> Tensor:
        x = torch.from_numpy(np.ascontiguousarray(case.image))[None, None].to(self._device)
        return x if self._spec.resized is None else stretched(x, self._spec.resized)

    def _by_task(self, said: Tensor | Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return said if isinstance(said, Mapping) else {next(iter(self.card.classes)): said}

    def _likely(self, task: str, logits: Tensor) -> dict[str, float]:
        names = self.card.classes.get(task, ())
        if len(names) != logits.shape[1]:
            raise BundleError(f"{self.card.name}: {logits.shape[1]} answers for the classes {names} of {task}")
        return dict(zip(names, torch.softmax(logits[0], dim=0).tolist(), strict=True))


class MeasuredTriage(VolumeTriage):
    """For COVID-MTL, which may be given the radiomic features of the lungs beside the volume. `measure` measures them;
    whoever reads the same studies with several models may put one in its place that remembers."""

    def __init__(self, bundle: Bundle, device: str) -> None:
        super().__init__(bundle, device)
        self.measure: Measure = of_volume

    @torch.inference_mode()
    def triage(self, volume: Volume, lungs: LungMasks) -> TriageResult:
        """Raises ValueError where there are no lungs, or more of them than can be measured."""
        if getattr(self._network, "features", None) is None:
            return super().triage(volume, lungs)
        if self._spec.features_mm is None:
            raise BundleError(f"{self.card.name}: the card does not say what grid its features are measured on")
        case = prepare(volume, self._spec, lungs.labels > 0)
        measured = self.measure(volume, lungs.labels > 0, self._spec.features_mm)
        features = torch.tensor([list(measured.values())], device=self._device)
        return self._result(self._network(self._input(case), features))
