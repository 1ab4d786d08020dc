"""Role triage for networks that say classes of a scan and are given something else than its volume alone."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from models.bundle import BundleError
from models.case import Case
from models.prepare import thinned
from models.volume_triage import VolumeTriage


class StackTriage(VolumeTriage):
    """For a network that reads at most `depth` slices of the series together, such as `COVNet`: they pass it at once,
    because its batch norms may look at all of them."""

    def _read(self, case: Case) -> Tensor:
        image = np.ascontiguousarray(case.image[thinned(case.image.shape[0], self._spec.depth)])
        x = torch.from_numpy(image)[:, None].to(self._device)
        said: Tensor = self._network(x, torch.tensor([image.shape]))
        return said


class MaskedTriage(VolumeTriage):
    """For a network that is given the lung mask as a second channel, such as `DeCoVNet`."""

    def _read(self, case: Case) -> Tensor:
        if case.lungs is None:
            raise BundleError(f"{self.card.name}: the network needs lungs")
        x = torch.from_numpy(np.stack([case.image, case.lungs.astype(np.float32)]))[None].to(self._device)
        said: Tensor = self._network(x)
        return said
