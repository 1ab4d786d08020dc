"""Models 26 and 28: the 2D ResNet-50, slice by slice, and COVNet, which reads the slices of a scan together.

Both are baselines of DeepSC-COVID (Wang et al., IEEE TMI 2021, Table II). 26: Deep residual learning for image
recognition (He et al., CVPR 2016); how it was trained on CT is not said, so every slice with lung has the label of its
scan (our choice), as three channels standardised for ImageNet. 28: Using artificial intelligence to detect COVID-19 and
community-acquired pneumonia based on pulmonary CT (Li et al., Radiology 2020), after the description of the authors'
published COVNet/model.py: features of every slice, their maximum over slices, one dense layer; three equal channels,
not standardised. The ResNet-50 is MONAI's (Apache-2.0) with random weights, where both papers begin with ImageNet's.
Code Apache-2.0, written anew; theirs carries the Commons Clause, and no weights of theirs are used.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.layers import imagenet, resnet50

FEATURES = 2048


class ResNet50(nn.Module):
    """Model 26: class logits of slices, (N, 1, H, W) in [0, 1] to (N, classes)."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.resnet = resnet50(3, None)
        self.classification = nn.Linear(FEATURES, classes)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.classification(self.resnet(imagenet(x)))
        return result


class COVNet(nn.Module):
    """Model 28: class logits of series.

    With `batch_statistics` its batch norms always use the means of the series at hand, as the authors' do, whose
    batches are one scan; without, running means as usual.
    """

    def __init__(self, classes: int = 3, batch_statistics: bool = True) -> None:
        super().__init__()
        self.resnet = resnet50(3, None)
        self.classification = nn.Linear(FEATURES, classes)
        for module in self.resnet.modules() if batch_statistics else ():
            if isinstance(module, nn.BatchNorm2d):
                module.track_running_stats = False
                module.running_mean = module.running_var = module.num_batches_tracked = None

    def forward(self, x: Tensor, sizes: Tensor) -> Tensor:
        """The slices of all series one after the other, (S, 1, H, W) in [0, 1], and the (slices, rows, columns) of
        each of the N series, (N, 3). Gives logits (N, classes)."""
        series = torch.split(x.expand(-1, 3, -1, -1), sizes[:, 0].tolist())
        strongest = torch.stack([self.resnet(slices).amax(dim=0) for slices in series])  # (N, 2048)
        result: Tensor = self.classification(strongest)
        return result
