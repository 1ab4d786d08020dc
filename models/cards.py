"""What a model says about itself: pure data that lists, web pages and reports read without loading it. No torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from models.case import Aggregator, InputSpec, Kind, MaskPolicy

ROLES = ("lungs", "triage")


@dataclass(frozen=True, kw_only=True)
class Card:
    """One model: what it is, what it was made from, what it is worth."""

    name: str
    version: str
    number: int  # among the 36 models and methods of the four papers
    paper: str
    roles: tuple[str, ...]
    outputs: tuple[str, ...]  # of "lungs", "lesions", "probability", "class_probabilities"
    thresholds: Mapping[str, float] = field(default_factory=dict)
    licence: str = "Apache-2.0"
    synthetic: bool = False  # trained on synthetic data
    training_data: str = ""
    scores: Mapping[str, float] = field(default_factory=dict)  # of the patients it was chosen on
    # Of cases that nothing was chosen on, which `held_out_data` describes: value and ends of its 95 % interval.
    held_out: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)
    held_out_data: str = ""
    limits: str = ""
    # What of `models.familiar` was measured over the patients of training and choosing: lowest and highest. A study
    # outside is flagged, or not analysed.
    familiar: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    architecture: str = ""  # a name of the zoo; empty for a method without weights
    arguments: Mapping[str, Any] = field(default_factory=dict)  # of the architecture's constructor
    input: InputSpec | None = None
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # of each task, in the order of its logits
    sha256: str = ""  # of tensors.safetensors

    def __post_init__(self) -> None:
        unknown = [role for role in self.roles if role not in ROLES]
        if unknown or not self.roles:
            raise ValueError(f"roles {self.roles} of {self.name}: must be of {ROLES}")

    @property
    def parameters(self) -> str:
        """Thresholds in one line, for the structured report."""
        return ", ".join(f"{name} {value:g}" for name, value in self.thresholds.items())

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Card:
        """Raises ValueError on anything that is no card."""
        try:
            fields = json.loads(text)
            spec = fields.pop("input", None)
            if spec is not None:
                low, high = spec.pop("window_hu")
                kind, mask = Kind(spec.pop("kind")), MaskPolicy(spec.pop("mask"))
                for name in ("size", "mean_sd", "resized", "tile", "overview", "plane"):
                    if spec.get(name) is not None:
                        spec[name] = tuple(spec[name])
                if spec.get("aggregator") is not None:
                    spec["aggregator"] = Aggregator(spec["aggregator"])
                spec = InputSpec(kind=kind, mask=mask, window_hu=(low, high), **spec)
            for name in ("roles", "outputs"):
                fields[name] = tuple(fields[name])
            classes = {task: tuple(names) for task, names in fields.pop("classes", {}).items()}
            familiar = {name: (float(low), float(high)) for name, (low, high) in fields.pop("familiar", {}).items()}
            held_out = {name: (float(v), float(a), float(b)) for name, (v, a, b) in fields.pop("held_out", {}).items()}
            return cls(classes=classes, familiar=familiar, held_out=held_out, input=spec, **fields)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a model card: {error}") from error
