"""Labels that phantoms lack, made from what is known of them: CT reading, nucleic acid test, severity.

They are simulated. A phantom has no test and no course of disease, so a score against these labels says that a network
and its training work, and supports no conclusion about patients, nor about one method being better than another.

The rule follows the structure of COVID-MTL's cohort (Bao et al., section 3; labels as in the released table): the CT is
positive where there is pneumonia of whatever cause; the nucleic acid test is positive in COVID-19 alone, so that
community-acquired pneumonia plays the "suspected" (CT positive, test negative); severity is 0 exactly where the test is
negative, and else by how much of the lungs is affected.
"""

from __future__ import annotations

from collections.abc import Mapping

COVID, CAP = "covid", "cap"
# Affected share of the lungs from which COVID-19 is called severe or critical: about a quarter of what is drawn, as is
# of the cohort's test-positive patients (199 of 761).
SEVERE = 0.15


def simulated_labels(kind: str, affected: float) -> Mapping[str, int]:
    """Class by task (CT, NAT, severity) of a phantom of that kind (covid, cap, normal, other) with that affected share
    of the lungs, 0 to 1."""
    if not 0.0 <= affected <= 1.0:
        raise ValueError(f"{affected} is no share of the lungs")
    infected = kind == COVID
    return {
        "CT": int(kind in (COVID, CAP)),
        "NAT": int(infected),
        "severity": (2 if affected >= SEVERE else 1) if infected else 0,
    }
