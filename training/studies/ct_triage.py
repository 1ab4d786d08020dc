"""CT triage, table 2 (Goncharov et al.): six methods that identify COVID-19, rank by severity and find lesions.

"All others" are the healthy, CAP and atelectasis, as in the paper; nodules and effusions are negatives to train on.
Thresholds are searched for on the patients that the networks are trained on, as the paper searched on its own.
"""

from __future__ import annotations

from training import reported
from training.columns import NOT_OTHER, area, covid_or, covid_with_lesions, lesion_dice, rank
from training.comparison import Column, Row, Section, Study, Training
from training.evaluate import NORMAL

_TRAINED = {
    "3D U-Net": "lesion-unet-3d",
    "2D U-Net": "lesion-unet",
    "2D U-Net+": "lesion-unet-plus",
    "ResNet50": "slice-pool",
    "Proposed": "ct-triage",
}

STUDY = Study(
    name="ct-triage",
    title="CT triage",
    budget="every network sees 6,400 slices: 800 batches of 8, or 400 of two boxes of 8",
    sections=(
        Section(
            title=reported.CT_TRIAGE[0].title,
            paper=reported.CT_TRIAGE[0],
            columns=(
                Column(name="AUC vs healthy", metric=area(covid_or(NORMAL))),
                Column(name="AUC vs all others", metric=area(NOT_OTHER)),
                Column(name="Spearman rho", metric=rank(), digits=2, reference=False),
                Column(name="Dice", metric=lesion_dice(covid_with_lesions), digits=2),
            ),
            rows=(
                Row(name="Thresholding", parts={"": Training(recipe="thresholding")}),
                *(
                    Row(name=name, parts={"": Training(recipe=recipe)}, headline=True)
                    for name, recipe in _TRAINED.items()
                ),
            ),
        ),
    ),
)
