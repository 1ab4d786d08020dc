"""Models 21 and 22: U-Net++, of which DeepSC-COVID compares the lightest (L1) and the heaviest form (L4).

UNet++: redesigning skip connections to exploit multiscale features in image segmentation (Zhou et al., IEEE
Transactions on Medical Imaging 2019); layers and channels as in the authors' MrGiovanni/UNetPlusPlus
(keras/helper_functions.py, under their own licence; none of its code and none of their weights are here). Four heads
are trained together; a network that is pruned to depth d keeps the nodes that its head needs. What differs: planes of
any size, zero-padded inside.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from models.layers import to_multiple

WIDTHS = (32, 64, 128, 256, 512)
DROPOUT = 0.5


class UNetPlusPlus(nn.Module):
    """Lesion logits of axial slices: (N, 1, H, W) in [0, 1] to (N, heads, H, W), the deepest head last.

    `deep_supervision`: one head per depth, as it is trained; otherwise that of `depth` alone, as it is used.
    """

    def __init__(self, depth: int = 4, *, deep_supervision: bool = False, dropout: float = DROPOUT) -> None:
        super().__init__()
        if not 1 <= depth < len(WIDTHS):
            raise ValueError(f"a U-Net++ of depth {depth}: must be 1 to {len(WIDTHS) - 1}")
        self.depth = depth
        nodes, enlarge = {"0_0": _node(1, WIDTHS[0], dropout)}, {}
        for level in range(1, depth + 1):
            nodes[f"{level}_0"] = _node(WIDTHS[level - 1], WIDTHS[level], dropout)
        for step in range(1, depth + 1):
            for level in range(depth + 1 - step):
                width = WIDTHS[level]
                enlarge[f"{level}_{step}"] = nn.ConvTranspose2d(WIDTHS[level + 1], width, 2, stride=2)
                nodes[f"{level}_{step}"] = _node((step + 1) * width, width, dropout)
        self.nodes, self.enlarge = nn.ModuleDict(nodes), nn.ModuleDict(enlarge)
        heads = range(1, depth + 1) if deep_supervision else (depth,)
        self.heads = nn.ModuleDict({str(d): nn.Conv2d(WIDTHS[0], 1, 1) for d in heads})
        self.apply(_start)

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = x.shape[-2:]
        x = to_multiple(x, 2**self.depth)
        row = [[self.nodes["0_0"](x)]]  # row[i][j] is node X(i, j): level i, step j
        for level in range(1, self.depth + 1):
            row.append([self.nodes[f"{level}_0"](F.max_pool2d(row[-1][0], 2))])
        for step in range(1, self.depth + 1):
            for level in range(self.depth + 1 - step):
                below = self.enlarge[f"{level}_{step}"](row[level + 1][step - 1])
                row[level].append(self.nodes[f"{level}_{step}"](torch.cat([*row[level], below], dim=1)))
        heads = [head(row[0][int(depth)]) for depth, head in self.heads.items()]
        return torch.cat(heads, dim=1)[..., :rows, :columns]


def pruned(network: UNetPlusPlus, depth: int) -> UNetPlusPlus:
    """The network of that depth with the trained one's weights and one head. Raises ValueError where the trained one
    has no such head."""
    if str(depth) not in network.heads:
        raise ValueError(f"no head of depth {depth}: there are {', '.join(network.heads)}")
    result = UNetPlusPlus(depth)
    trained = network.state_dict()
    result.load_state_dict({name: trained[name] for name in result.state_dict()})
    return result.train(network.training)


def _node(channels: int, out: int, dropout: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    for c in (channels, out):
        layers += [nn.Conv2d(c, out, 3, padding=1), nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers)


def _start(module: nn.Module) -> None:
    """He's initialisation of the nodes, as published."""
    if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
