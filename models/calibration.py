"""A site's map from a model's score to a probability: fitted elsewhere, stored as JSON, applied with numpy alone.

Two forms (both fitted in `training.calibrate`): "platt", a logistic function of the score's log odds, and "isotonic", a
non-decreasing line through knots. Either way the order of two studies is never reversed. Pure.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

Method = Literal["platt", "isotonic"]
FORMAT = 1  # of the JSON file
# A score of exactly 0 or 1 has no log odds; a float32 sigmoid saturates at about this distance from 1.
CLOSEST = 1e-7


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """One map, and what it was made from. `slope` and `intercept` belong to "platt", the knots to "isotonic"."""

    method: Method
    slope: float = 0.0
    intercept: float = 0.0
    scores: tuple[float, ...] = ()  # knots, ascending, in [0, 1]
    probabilities: tuple[float, ...] = ()  # at the knots, non-decreasing, in [0, 1]
    cases: int  # that it was fitted on
    positives: int
    made_on: str  # ISO date
    model: str = ""  # name and version of the model whose scores these are; empty: not said
    model_sha256: str = ""  # of its tensors

    def __post_init__(self) -> None:
        if self.method not in get_args(Method):
            raise ValueError(f"method {self.method!r} is none of {', '.join(get_args(Method))}")
        if not 0 < self.positives < self.cases:
            raise ValueError(f"{self.positives} positives of {self.cases} cases: needs some of both classes")
        if self.method == "platt":
            self._require_rising()
        else:
            self._require_knots()

    def _require_rising(self) -> None:
        if not (np.isfinite([self.slope, self.intercept]).all() and self.slope > 0.0):
            raise ValueError(f"slope {self.slope} and intercept {self.intercept}: the slope must be positive")

    def _require_knots(self) -> None:
        x, y = np.asarray(self.scores, np.float64), np.asarray(self.probabilities, np.float64)
        if x.size < 2 or x.shape != y.shape:
            raise ValueError(f"{x.size} scores and {y.size} probabilities: needs as many of each, two at least")
        if not (np.isfinite(x).all() and (np.diff(x) > 0).all() and x[0] >= 0.0 and x[-1] <= 1.0):
            raise ValueError("the scores at the knots must ascend within [0, 1]")
        if not (np.isfinite(y).all() and (np.diff(y) >= 0).all() and y[0] >= 0.0 and y[-1] <= 1.0):
            raise ValueError("the probabilities at the knots must not fall and stay within [0, 1]")

    def probabilities_of(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Probabilities in [0, 1] of scores in [0, 1], of the same shape."""
        s = np.asarray(scores, np.float64)
        if self.method == "isotonic":
            return np.asarray(np.interp(s, self.scores, self.probabilities))  # flat beyond the outer knots
        return np.asarray(0.5 * (1.0 + np.tanh(0.5 * (self.slope * log_odds(s) + self.intercept))))

    def probability(self, score: float) -> float:
        """Probability in [0, 1] of one score."""
        return float(self.probabilities_of(score))

    def to_json(self) -> str:
        fields = asdict(self)
        used = {"scores", "probabilities"} if self.method == "platt" else {"slope", "intercept"}
        return json.dumps({"format": FORMAT, **{k: v for k, v in fields.items() if k not in used}}, indent=2)

    @classmethod
    def from_json(cls, text: str) -> Calibration:
        """Raises ValueError on anything that is no calibration."""
        try:
            fields: dict[str, Any] = json.loads(text)
            if fields.pop("format") != FORMAT:
                raise ValueError(f"this version reads format {FORMAT} only")
            for name in {"scores", "probabilities"} & fields.keys():
                fields[name] = tuple(float(value) for value in fields[name])
            for name in {"slope", "intercept"} & fields.keys():
                fields[name] = float(fields[name])
            return cls(**fields)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a calibration: {type(error).__name__} {error}") from error


def log_odds(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """ln(s / (1 - s)), finite for 0 and 1 too."""
    s = np.clip(scores, CLOSEST, 1.0 - CLOSEST)
    return np.asarray(np.log(s) - np.log1p(-s))
