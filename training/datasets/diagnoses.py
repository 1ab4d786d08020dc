"""The three classes of DeepSC-COVID's classifiers, and which of them a synthetic patient is."""

from __future__ import annotations

from collections.abc import Mapping

# Numbers of `models.volume_triage.DIAGNOSES`: COVID-19, community-acquired pneumonia, non-pneumonia.
DIAGNOSIS: Mapping[str, int] = {"covid": 0, "cap": 1, "normal": 2, "other": 2}
