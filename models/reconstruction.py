"""Models 14, 15 and 16: the three-task network of Amyar et al., the U-Net and the CNN that it is compared with.

Multi-task deep learning based CT imaging analysis for COVID-19: classification and segmentation (Amyar, Modzelewski,
Ruan, 2020), sections 2.2 (14) and 3 (15 and 16). No code of the authors is known. The paper counts layers and leaves
their order open; chosen here, so that the counts come out:

- encoder: ten 3 x 3 convolutions with ReLU in five levels of 64 to 1024 maps, dropout 0.5 after the last two levels,
  He's initialisation, as in the Keras U-Net that the description fits;
- each decoder: four times nearest upsampling, a 2 x 2 convolution (the "4 additional"), the skip and two convolutions;
  then a 3 x 3 convolution to 2 maps and a 1 x 1 to 1 (the other ten); the bias of the former begins at 2, without which
  13 of 24 such maps (seeds 42 to 45) were 0 in 85 of 100 pixels or more before anything was learned;
- classifier: a 3 x 3 convolution to 128 maps and a pooling before the dense layers; dropout after each of them.

The encoder ends in 1024 maps of 16 x 16 at planes of 256; the 32 x 32 of section 2.2.4 is that of 512. Code
Apache-2.0; nobody has published weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import Tensor, nn

from models.layers import ConvPair, Decoder, Encoder

TASKS = ("T1", "T2", "T3")  # reconstruction, lesions, COVID-19 or not
LEVELS, DROPPED = 5, 2  # levels of the encoder, and how many of the last have dropout
DROPOUT = 0.5
CLASSIFIER = 2  # maps of the classifier's convolution, times the width
HIDDEN = (128, 64)
NARROW, ALIVE = 1, 2.0  # the layer of a decoder that has two maps, and what their bias begins with
CNN_WIDTHS = (8, 16, 32, 64, 128, 256)
CNN_DROPOUT = 0.25
CNN_HIDDEN = 128


class ThreeTaskNet(nn.Module):
    """Models 14 and 15: one encoder for those of three tasks that `tasks` names ("T1T2T3"; "T2" alone is the U-Net).

    `plane`: rows and columns of the slices, a multiple of 32; the classifier's dense layers depend on it. `width`: maps
    of the first level, which every further level doubles.
    """

    def __init__(self, tasks: str = "T1T2T3", plane: int = 256, width: int = 64) -> None:
        super().__init__()
        chosen = [tasks[n : n + 2] for n in range(0, len(tasks), 2)]
        if not chosen or chosen != sorted(set(chosen)) or not set(chosen) <= set(TASKS):
            raise ValueError(f"tasks {tasks!r}: must be some of {', '.join(TASKS)}, in order, such as T1T3")
        if plane < 32 or plane % 32:
            raise ValueError(f"planes of {plane} pixels cannot be halved five times")
        widths = [width * 2**level for level in range(LEVELS)]
        self.encoder = Encoder(1, widths, partial(_level, undropped=widths[-DROPPED - 1]), nn.MaxPool2d(2))
        self.reconstruction = _decoder(widths) if "T1" in chosen else None
        self.segmentation = _decoder(widths) if "T2" in chosen else None
        self.classification = _classifier(widths[-1], CLASSIFIER * width, plane // 16) if "T3" in chosen else None
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]  # every convolution here has one
        for decoder in (self.reconstruction, self.segmentation):
            if decoder is not None:
                nn.init.constant_(decoder.get_parameter(f"{NARROW}.bias"), ALIVE)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Slices (N, 1, plane, plane) in [0, 1] to what the tasks ask for: "reconstruction" (N, 1, plane, plane),
        "lesions", logits of that shape, and "covid", logits (N,)."""
        levels = self.encoder(x)
        found: dict[str, Tensor] = {}
        if self.reconstruction is not None:
            found["reconstruction"] = self.reconstruction(levels)
        if self.segmentation is not None:
            found["lesions"] = self.segmentation(levels)
        if self.classification is not None:
            found["covid"] = self.classification(levels[-1])[:, 0]
        return found


class Cnn8(nn.Module):
    """Model 16: six convolutions and two dense layers; slices (N, 1, plane, plane) to logits of COVID-19 (N,).

    Zero padding keeps the size of the maps, which the paper leaves open. `plane`: a multiple of 64.
    """

    def __init__(self, plane: int = 256) -> None:
        super().__init__()
        if plane < 64 or plane % 64:
            raise ValueError(f"planes of {plane} pixels cannot be halved six times")
        layers: list[nn.Module] = []
        for channels, out in zip((1, *CNN_WIDTHS[:-1]), CNN_WIDTHS, strict=True):
            layers += [nn.Conv2d(channels, out, 3, padding=1), nn.ELU(), nn.MaxPool2d(2), nn.Dropout(CNN_DROPOUT)]
        self.features = nn.Sequential(*layers)
        self.classification = nn.Sequential(
            nn.Flatten(),
            nn.Linear(CNN_WIDTHS[-1] * (plane // 64) ** 2, CNN_HIDDEN),
            nn.ELU(),
            nn.Dropout(DROPOUT),
            nn.Linear(CNN_HIDDEN, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.classification(self.features(x))[:, 0]
        return result


def _level(channels: int, out: int, *, undropped: int) -> nn.Module:
    pair = ConvPair(channels, out)
    return pair if out <= undropped else nn.Sequential(pair, nn.Dropout(DROPOUT))


def _up(channels: int, out: int) -> nn.Module:
    """Keras pads a 2 x 2 convolution below and to the right."""
    return nn.Sequential(
        nn.Upsample(scale_factor=2), nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(channels, out, 2), nn.ReLU(inplace=True)
    )


def _decoder(widths: Sequence[int]) -> nn.Module:
    return nn.Sequential(
        Decoder(widths, _up, ConvPair), nn.Conv2d(widths[0], 2, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(2, 1, 1)
    )


def _classifier(channels: int, maps: int, side: int) -> nn.Module:
    first, second = HIDDEN
    return nn.Sequential(
        nn.Conv2d(channels, maps, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(maps * (side // 2) ** 2, first),
        nn.ELU(),
        nn.Dropout(DROPOUT),
        nn.Linear(first, second),
        nn.ELU(),
        nn.Dropout(DROPOUT),
        nn.Linear(second, 1),
    )
