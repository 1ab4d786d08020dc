"""MedSeg-29: nine volumes of medicalsegmentation.com and the twenty of Zenodo 3757476; CT triage is trained on them.

The ten "radiopaedia" volumes of Zenodo are the lung window from -1250 to 250 HU as 0 to 255, and come back as that.
Their headers contradict those of their masks, which fit voxel by voxel: the masks' headers hold, which amounts to the
flips in CT triage's published prepare_medseg.py. Pleural effusion (3) is no lesion here, while CT triage counts it.

Scans of one Radiopaedia case are scans of one patient. The nine come from Radiopaedia too, and from which cases is not
said: one of them may be among the ten.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from training.datasets.public.case import Case, DataSet, Image, Mask, label
from training.datasets.public.layout import files, found, not_here, without_suffix

LAYOUT = (
    "rp_im/1.nii.gz, rp_msk/, rp_lung_msk/; COVID-19-CT-Seg_20cases/coronacases_001.nii.gz, Lung_Mask/, "
    "Infection_Mask/ (one of the two is enough)"
)
NINE, TWENTY = "rp_im", "COVID-19-CT-Seg_20cases"
GREY_HU = (-1250.0, 250.0)  # as the publishers of the twenty say
RADIOPAEDIA = (
    *("10_85902_1", "10_85902_3", "14_85914_0", "27_86410_0", "29_86490_1"),
    *("29_86491_1", "36_86526_0", "40_86625_0", "4_85506_1", "7_85703_0"),
)


def cases(folder: Path) -> Iterator[Case]:
    nine, twenty = found(folder, NINE), found(folder, TWENTY)
    if nine is None and twenty is None:
        raise not_here(folder, LAYOUT)
    for path in files(nine, "*.nii.gz") if nine else ():
        yield Case(
            id=f"medseg_{without_suffix(path)}",
            patient=f"medseg_{without_suffix(path)}",
            kind="covid",
            image=Image(paths=(path,)),
            lungs=Mask(path=path.parents[1] / "rp_lung_msk" / path.name, known=None),
            lesions=Mask(path=path.parents[1] / "rp_msk" / path.name, inside=label(1, 2), known=label(1, 2, 3)),
            facts={"source": "medicalsegmentation.com"},
        )
    for path in files(twenty, "*.nii.gz") if twenty else ():
        yield _of_twenty(path)


def _of_twenty(path: Path) -> Case:
    name = without_suffix(path)
    lesions = path.parents[1] / "Infection_Mask" / path.name
    windowed = name.startswith("radiopaedia")
    return Case(
        id=name,
        patient="_".join(name.split("_")[:2]),
        kind="covid",
        image=Image(paths=(path,), grey_hu=GREY_HU if windowed else None, placed_by=lesions if windowed else None),
        lungs=Mask(path=path.parents[1] / "Lung_Mask" / path.name, inside=label(1, 2), known=label(1, 2)),
        lesions=Mask(path=lesions),
        facts={"source": "radiopaedia" if windowed else "coronacases"},
    )


DATA_SET = DataSet(
    name="medseg-29",
    title="MedSeg-29",
    url="http://medicalsegmentation.com/covid19/ and https://zenodo.org/records/3757476",
    licence="the nine: CC0; the twenty: CC BY 4.0, Radiopaedia's own usually CC BY-NC-SA",
    citation=(
        "MedSeg, COVID-19 CT segmentation dataset, 2020; Ma et al., Towards Data-Efficient Learning: A Benchmark for "
        "COVID-19 CT Lung and Infection Segmentation, Medical Physics 2021"
    ),
    masks="lesions: 1 ground glass, 2 consolidation (the twenty: 1 both); 3, effusion, is left out; lungs: 1, 2",
    classes=("covid",),
    size="29 volumes with lungs and lesions",
    layout=LAYOUT,
    cases=cases,
    expected=(
        *(f"medseg_{n}" for n in range(1, 10)),
        *(f"coronacases_{n:03}" for n in range(1, 11)),
        *(f"radiopaedia_{n}" for n in RADIOPAEDIA),
    ),
)
