"""A site's calibration in force: read once, checked against the model it belongs to, applied to findings.

A map belongs to one model. Applied to another's scores it would state a probability that nobody measured, so it is
refused then, where it names its model.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from models import zoo
from models.bundle import BundleError, read_card
from models.calibration import Calibration
from models.cards import Card
from triaged.errors import TriagedError
from triaged.records import Findings, Flag

SHOWN = 12  # hexadecimal digits of a digest: enough to tell two files of a site apart


class CalibrationError(TriagedError):
    """`[analysis] calibration` cannot be used; the message says why."""


@dataclass(frozen=True, kw_only=True)
class SiteCalibration:
    """The map, and the sha256 of the file it came from."""

    map: Calibration
    digest: str

    @property
    def words(self) -> str:
        """For the parameters of the triage model in reports."""
        return f"calibrated at this site: {self.map.method} on {self.map.cases} cases, sha256 {self.digest[:SHOWN]}"


def read_calibration(path: Path | None, triage: Card) -> SiteCalibration | None:
    """The calibration of a file, None where there is no file to read. Raises CalibrationError where it cannot be read,
    belongs to another model, or the model gives no score."""
    if path is None:
        return None
    try:
        content = path.read_bytes()
        found = Calibration.from_json(content.decode("utf-8"))
    except OSError as error:
        raise CalibrationError(f"calibration: {path} cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise CalibrationError(f"calibration: {path} is not one that `triaged calibrate` wrote ({error})") from error
    _require_score(triage)
    if found.model_sha256 and found.model_sha256 != triage.sha256:
        name = f"{triage.name} {triage.version}"
        raise CalibrationError(
            f"calibration: {path} was fitted to the scores of {found.model}, not to these weights of {name}: "
            "fit it again, or leave it out"
        )
    return SiteCalibration(map=found, digest=hashlib.sha256(content).hexdigest())


def card_of(model: str) -> Card:
    """The card of a model whose scores can be calibrated, by its name or the folder of its bundle. Loads no network.
    Raises CalibrationError."""
    try:
        card = zoo.METHODS.get(model) or read_card(zoo.shipped().get(model, Path(model)))
    except BundleError as error:
        raise CalibrationError(f"{model} is neither a model nor the folder of a bundle") from error
    _require_score(card)
    return card


def _require_score(card: Card) -> None:
    if "probability" not in card.outputs:
        raise CalibrationError(f"calibration: {card.name} gives no score that could be calibrated")


def calibrated(found: Findings, site: SiteCalibration) -> Findings:
    """The findings with a probability in place of the score. The scores of the classes stay scores."""
    if found.covid_probability is None:
        return found
    flags = tuple(flag for flag in found.flags if flag is not Flag.UNCALIBRATED)
    return replace(found, covid_probability=site.map.probability(found.covid_probability), flags=flags)
