"""Published names of tensors as the zoo's, for weights that a user has: none come with the project.

    from safetensors.torch import load_file
    save_bundle(folder, card, renamed("r231", load_file("unet_r231.safetensors")))

What the network has no place for (ImageNet's last layer, branches that are never used) is left out. Where weights are
those of a backbone alone, the bundle is one to begin a training with (`Stage.init_from`). Whoever trusts a pickle has
to turn it into safetensors first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

# Patterns of whole names and what they become; None: left out. The first that fits counts.
Rules = tuple[tuple[str, str | None], ...]

_TORCHVISION: Rules = ((r"fc\..*", None), (r"(.*)", r"resnet.\1"))
RULES: Mapping[str, Rules] = {
    # lungmask's U-Net, https://github.com/JoHof/lungmask (Apache-2.0)
    "r231": (
        (r".*\.residual_(input_conv|batchnorm)\..*", None),
        (r"down_path\.(\d)\.block\.(.*)", r"encoder.blocks.\1.\2"),
        (r"up_path\.(\d)\.up\.(.*)", r"decoder.ups.\1.\2"),
        (r"up_path\.(\d)\.conv_block\.block\.(.*)", r"decoder.blocks.\1.\2"),
        (r"last\.(.*)", r"head.\1"),
    ),
    # torchvision's resnet50; MONAI's tensors have the same names
    "resnet50": _TORCHVISION,
    "covnet": _TORCHVISION,
    # Res2Net's res2net50_v1b_26w_4s
    "inf-net": ((r"fc\..*", None), (r"(.*)", r"backbone.\1")),
}


def renamed(architecture: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Raises ValueError for an architecture without rules, and for a name that none of them fits."""
    if architecture not in RULES:
        raise ValueError(f"no published names are known for {architecture}, only for {', '.join(RULES)}")
    found = {}
    for name, tensor in tensors.items():
        ours = _ours(name, RULES[architecture])
        if ours is not None:
            found[ours] = tensor
    return found


def _ours(name: str, rules: Rules) -> str | None:
    for pattern, ours in rules:
        fitting = re.fullmatch(pattern, name)
        if fitting is not None:
            return None if ours is None else fitting.expand(ours)
    raise ValueError(f"{name} is no published name")
