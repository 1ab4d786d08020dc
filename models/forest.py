"""Models 7 and 8 where they serve: trees on the 375 radiomic features, from arrays, read with numpy alone.

Bao et al. (COVID-MTL), section 5.1: a random forest and LightGBM, 1,000 trees each, one model per task. Fitted by
`training.tabular`; here are the trees as arrays, how they answer, and how they lie in a bundle: a forest as its arrays,
a LightGBM model as its own text (in the array `text`, one byte per entry), both in tensors.safetensors under the card's
sha256. Nothing is pickled, and neither scikit-learn nor LightGBM is needed to answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from models.cards import Card

ARCHITECTURE = "trees"  # what the card of such a bundle names
# How the sum over the trees becomes probabilities: a forest's mean, or a boosting's logistic function of one or many.
Link = Literal["mean", "sigmoid", "softmax"]
# A patient with more features than this share outside what training saw is not answered for. Of the 399 test patients
# of iCTCF, drawn as its training part was, one in a hundred has so many; one in ten has any.
OUTSIDE = 0.05
TOGETHER = 64  # patients that pass the trees at a time: some 50 MB for 3,000 trees

Features = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Trees:
    """Binary trees laid end to end. Node n asks whether feature[n] is at most threshold[n]; left[n] is where yes leads,
    right[n] where no does. A leaf has feature -1 and a value (node, output); that of an inner node means nothing."""

    roots: NDArray[np.int32]  # (tree,)
    feature: NDArray[np.int32]  # (node,)
    threshold: Features
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    value: Features  # (node, output)
    link: Link
    single: bool = False  # whether features are rounded to float32 before they are compared, as scikit-learn does

    def __post_init__(self) -> None:
        nodes = self.feature.size
        if self.value.ndim != 2 or any(a.shape != (nodes,) for a in (self.threshold, self.left, self.right)):
            raise ValueError("the arrays of the trees do not belong together")
        inner = self.feature >= 0
        for ends in (self.roots, self.left[inner], self.right[inner]):
            if ends.size and not (ends.min() >= 0 and ends.max() < nodes):
                raise ValueError("a branch leads to no node")

    def probabilities(self, features: Features) -> Features:
        """(patient, feature) to (patient, class)."""
        parts = [self._answered(features[i : i + TOGETHER]) for i in range(0, len(features), TOGETHER)]
        return np.concatenate(parts) if parts else np.empty((0, max(2, self.value.shape[1])))

    def _answered(self, features: Features) -> Features:
        total = self.value[self._leaves(features)].sum(axis=1)  # (patient, output)
        if self.link == "mean":
            return np.asarray(total / self.roots.size)
        if self.link == "sigmoid":
            positive = 1.0 / (1.0 + np.exp(-total[:, 0]))
            return np.stack([1.0 - positive, positive], axis=1)
        raised = np.exp(total - total.max(axis=1, keepdims=True))
        return np.asarray(raised / raised.sum(axis=1, keepdims=True))

    def _leaves(self, features: Features) -> NDArray[np.int32]:
        """The leaf that each patient ends in, tree by tree (patient, tree)."""
        seen = features.astype(np.float32).astype(np.float64) if self.single else features
        rows = np.arange(len(features))[:, None]
        at = np.tile(self.roots, (len(features), 1))
        for _ in range(self.feature.size):  # no path is longer; a circle in damaged arrays ends here
            asked = self.feature[at]
            inner = asked >= 0
            if not inner.any():
                return at
            yes = seen[rows, np.where(inner, asked, 0)] <= self.threshold[at]
            at = np.where(inner, np.where(yes, self.left[at], self.right[at]), at)
        raise ValueError("the branches of a tree form a circle")


@dataclass(frozen=True, kw_only=True, eq=False)
class Forest:
    """A bundle's trees and the ranges they were fitted on: features are scaled by them, and held against them."""

    card: Card
    trees: Trees
    low: Features  # (feature,)
    high: Features

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.card.arguments["features"])

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.card.arguments["classes"])

    @property
    def grid_mm(self) -> float:
        """What the features were measured at; at another grid they are others."""
        return float(self.card.arguments["grid_mm"])

    def probabilities(self, features: Features) -> Features:
        """(patient, feature) in the units of extraction, columns as in `names`, to (patient, class)."""
        width = self.high - self.low
        return self.trees.probabilities((features - self.low) / np.where(width > 0, width, 1.0))

    def outside(self, features: Features) -> Features:
        """The share of features outside the range that training saw, by patient; what is no number is outside."""
        within = (features >= self.low) & (features <= self.high)
        return np.asarray(1.0 - within.mean(axis=1))

    def answer(self, features: Mapping[str, float]) -> dict[str, float] | None:
        """Probabilities by class for one patient, or None: too far from what the trees have seen to say."""
        row = np.array([[features[name] for name in self.names]])
        if self.outside(row)[0] > self.card.thresholds.get("outside", OUTSIDE):
            return None
        return dict(zip(self.classes, self.probabilities(row)[0].tolist(), strict=True))


def arrays_of(trees: Trees) -> dict[str, NDArray[Any]]:
    """What a bundle keeps of a forest."""
    return {name: getattr(trees, name) for name in ("roots", "feature", "threshold", "left", "right", "value")}


def text_array(text: str) -> NDArray[np.uint8]:
    """What a bundle keeps of a LightGBM model."""
    return np.frombuffer(text.encode("ascii"), np.uint8).copy()


def load_forest(folder: Path) -> Forest:
    """Verified against the card and built. Raises BundleError."""
    from models.bundle import BundleError, read_card, read_tensors

    card = read_card(folder)
    if card.architecture != ARCHITECTURE:
        raise BundleError(f"{folder.name}: {card.architecture!r} is no bundle of trees")
    arrays: dict[str, Any] = {name: tensor.numpy() for name, tensor in read_tensors(folder).items()}
    try:
        low, high = arrays.pop("low"), arrays.pop("high")
        if "text" in arrays:
            trees = of_text(arrays["text"].tobytes().decode("ascii"))
        else:
            trees = Trees(**arrays, link="mean", single=True)
        forest = Forest(card=card, trees=trees, low=low, high=high)
        _require_whole(forest)
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(f"{folder.name}: the tensors are not those of trees: {error}") from error
    return forest


def _require_whole(forest: Forest) -> None:
    features, outputs = len(forest.names), forest.trees.value.shape[1]
    if forest.low.shape != (features,) or forest.high.shape != (features,):
        raise ValueError("ranges and names of the features are not as many")
    if forest.trees.feature.max(initial=-1) >= features:
        raise ValueError("a tree asks for a feature that has no name")
    if len(forest.classes) != max(2, outputs):
        raise ValueError("as many classes as the trees tell apart must be named")
    if not forest.grid_mm > 0:
        raise ValueError(f"features were measured at {forest.grid_mm:g} mm")


def of_text(text: str) -> Trees:
    """The trees of LightGBM's model text (format v4: one block per tree, children below 0 are leaves, counted from ~0).

    Raises ValueError on what no model of this zoo has: categorical features, linear leaves, zero as a missing value.
    """
    head, *blocks = text.split("end of trees")[0].split("\nTree=")
    said = dict(line.split("=", 1) for line in head.splitlines() if "=" in line)
    objective = said["objective"].split()
    outputs = int(said["num_tree_per_iteration"])
    if objective[0] not in {"binary", "multiclass"} or objective[1:] not in (["sigmoid:1"], [f"num_class:{outputs}"]):
        raise ValueError(f"objective {said['objective']} is not known here")
    parts: list[_Part] = []
    first = 0
    for number, block in enumerate(blocks):
        parts.append(_part(block, first, output=number % outputs, outputs=outputs))
        first += parts[-1].feature.size
    return Trees(
        roots=np.array([part.root for part in parts], np.int32),
        feature=np.concatenate([part.feature for part in parts]),
        threshold=np.concatenate([part.threshold for part in parts]),
        left=np.concatenate([part.left for part in parts]),
        right=np.concatenate([part.right for part in parts]),
        value=np.concatenate([part.value for part in parts]),
        link="sigmoid" if objective[0] == "binary" else "softmax",
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Part:
    """One tree: its inner nodes, then its leaves."""

    root: int
    feature: NDArray[np.int32]
    threshold: Features
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    value: Features


def _part(block: str, first: int, *, output: int, outputs: int) -> _Part:
    said = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
    leaves = int(said["num_leaves"])
    inner = leaves - 1
    if int(said["num_cat"]) or int(said.get("is_linear", "0")):
        raise ValueError("trees with categorical features or linear leaves are not known here")

    def padded(name: str, kind: type[np.generic], filler: float) -> NDArray[Any]:
        found = np.array(said[name].split() if inner else [], dtype=kind)
        if found.size != inner:
            raise ValueError(f"{name} has {found.size} entries for {inner} nodes")
        return np.concatenate([found, np.full(leaves, filler, dtype=kind)])

    decisions = padded("decision_type", np.int32, 0)
    if (decisions & 0b1101).any():  # bit 0: categorical; bits 2 and 3: a missing value, of which there are none
        raise ValueError("splits that treat missing values apart are not known here")
    children = [padded(name, np.int32, 0) for name in ("left_child", "right_child")]
    left, right = (first + np.where(c < 0, inner + ~c, c).astype(np.int32) for c in children)
    value = np.zeros((inner + leaves, outputs))
    value[inner:, output] = np.array(said["leaf_value"].split(), np.float64)
    return _Part(
        root=first,
        feature=padded("split_feature", np.int32, -1),
        threshold=padded("threshold", np.float64, 0.0),
        left=left,
        right=right,
        value=value,
    )
