"""A label is not a barrier: weights trained on synthetic data do not order a live list unless the site accepts them."""

from __future__ import annotations

from models.predict import resolve
from triaged.analysis.calibration import read_calibration
from triaged.config import Config
from triaged.errors import TriagedError


class ResearchWeights(TriagedError):
    """The configuration names a model trained on synthetic data, in live mode, without accepting it."""


def require_admitted(config: Config, device: str) -> list[str]:
    """Load what the roles name and return it as "name version". Raises ResearchWeights, UnknownModel, BundleError,
    CalibrationError."""
    settings = config.analysis
    cards = [resolve(settings.lungs, "lungs", device).card, resolve(settings.triage, "triage", device).card]
    synthetic = [card.name for card in cards if card.synthetic]
    if synthetic and config.mode == "live" and not settings.accept_research_weights:
        raise ResearchWeights(
            f"trained on synthetic data: {', '.join(synthetic)}. Set [analysis] accept_research_weights = true "
            'to order a live list by it, or lungs = "classical-lungs" and triage = "thresholding", or mode = "shadow"'
        )
    site = read_calibration(settings.calibration, cards[1])
    return [f"{card.name} {card.version}" for card in cards] + ([site.words] if site is not None else [])
