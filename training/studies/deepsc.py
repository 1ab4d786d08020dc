"""DeepSC-COVID, tables II and III (Wang et al.), and its ablations: inception, cross-stitch, the task-aware weight.

As in the paper, segmenters are scored on COVID-19 and CAP, voxels inside the lungs alone, classifiers on all three
classes. U-Net++ L1 and L4 come from one training. Its surfaces agree within 3 mm (the paper does not say).
"""

from __future__ import annotations

from dataclasses import replace

from training import reported
from training.columns import (
    lesion_dice,
    mask,
    mean_area,
    of_diagnosis,
    rate,
    seconds,
    with_lesions,
)
from training.comparison import Column, Row, Section, Study, Training

SEGMENTATION, DIAGNOSIS, SCALES = reported.DEEPSC
UNETPP = Training(recipe="unetpp")
DEEPSC = Training(recipe="deepsc")
FULL = Row(name="DeepSC-COVID", parts={"": DEEPSC}, headline=True)

# Said of the scale small: no plan was looked for at any other.
PLAN = (
    "At small every network keeps its last step. Four short runs of DeepSC-COVID and of its diagnosis alone, at rates "
    "of 1e-3, 3e-4 and 1e-4 and read by validation patients, left the diagnosis at chance; nothing was chosen by them, "
    "and its rates are the paper's. COPLE-Net has its paper's rate after three trainings at the 1e-3 of the other "
    "segmenters had called whole slices lesions. No test case was looked at before."
)

_TIME = Column(name="time s", metric=seconds(), digits=1, ordered=False, reference=False)
_DSC = Column(name="DSC %", metric=lesion_dice(with_lesions), scale=100, digits=1, spread="cases")
_LESIONS = (
    _DSC,
    Column(name="sensitivity %", metric=mask("sensitivity"), scale=100, digits=1, spread="cases"),
    Column(name="specificity %", metric=mask("specificity"), scale=100, digits=1, spread="cases"),
    Column(name="NSD %", metric=mask("nsd_3mm"), scale=100, digits=1, spread="cases"),
    Column(name="RMSD mm", metric=mask("rmsd_mm"), digits=1, spread="cases", lower_is_better=True),
)
_ACCURACY = Column(name="accuracy %", metric=of_diagnosis(rate("accuracy")), scale=100, digits=1, spread="resamples")
_RECALL = Column(
    name="sensitivity %", metric=of_diagnosis(rate("macro recall")), scale=100, digits=1, spread="resamples"
)
_AUC = Column(name="AUC %", metric=of_diagnosis(mean_area), scale=100, digits=1, spread="resamples")
_CLASSES = (
    _ACCURACY,
    _RECALL,
    Column(
        name="specificity %", metric=of_diagnosis(rate("macro specificity")), scale=100, digits=1, spread="resamples"
    ),
    Column(name="F1 %", metric=of_diagnosis(rate("macro F1")), scale=100, digits=1, spread="resamples"),
    _AUC,
)
_BOTH = (
    replace(_ACCURACY, spread=None),
    replace(_RECALL, name="cls sensitivity %", spread=None),
    replace(_AUC, spread=None),
    replace(_DSC, spread=None),
    replace(_LESIONS[1], name="seg sensitivity %", spread=None),
    replace(_LESIONS[3], spread=None),
)
# The ten of Fig. 8 and 9: (a) lesions, (b) diagnosis.
_EACH = (
    _BOTH[3],
    _BOTH[4],
    replace(_LESIONS[2], name="seg specificity %", spread=None),
    _BOTH[5],
    replace(_LESIONS[4], spread=None),
    _BOTH[0],
    _BOTH[1],
    replace(_CLASSES[2], name="cls specificity %", spread=None),
    replace(_CLASSES[3], spread=None),
    _BOTH[2],
)


def _changed(name: str, change: str) -> Row:
    return Row(name=name, parts={"": Training(recipe="deepsc", changes=(change,))})


STUDY = Study(
    name="deepsc",
    title="DeepSC-COVID",
    budget="every network sees 300 scans; one that sees single slices, 8 of each",
    surfaces=True,
    sections=(
        Section(
            title=SEGMENTATION.title,
            paper=SEGMENTATION,
            note=f"Time is that of the model on this machine, reading and lungs left out. {PLAN}",
            columns=(_TIME, *_LESIONS),
            rows=(
                Row(name="U-Net++ L1", parts={"": replace(UNETPP, bundle="bundle-unetpp-l1")}),
                Row(name="U-Net++ L4", parts={"": UNETPP}),
                Row(name="DenseVNet", parts={"": Training(recipe="densevnet")}),
                Row(name="COPLE-Net", parts={"": Training(recipe="coplenet")}, headline=True),
                Row(name="FSS-2019-nCov", parts={"": Training(recipe="fss")}),
                Row(name="DeepSC w/o Cls.", parts={"": Training(recipe="deepsc-lesions")}, headline=True),
                FULL,
            ),
        ),
        Section(
            title=DIAGNOSIS.title,
            paper=DIAGNOSIS,
            note="Time is that of the model on this machine, reading and lungs left out. Deviations are of the "
            f"bootstrap; networks begin with random weights. {PLAN}",
            columns=(_TIME, *_CLASSES),
            rows=(
                Row(name="ResNet-50", parts={"": Training(recipe="resnet50")}),
                Row(name="3D ResNet-50", parts={"": Training(recipe="resnet50-3d")}),
                Row(name="COVNet", parts={"": Training(recipe="covnet")}),
                Row(name="DeCoVNet", parts={"": Training(recipe="decovnet")}, headline=True),
                Row(name="DeepSC w/o Seg.", parts={"": Training(recipe="deepsc-diagnosis")}, headline=True),
                FULL,
            ),
        ),
        Section(
            title=SCALES.title,
            paper=SCALES,
            columns=_BOTH,
            rows=(
                _changed("single scale", "multi_scale=false"),
                Row(name="multi-scale", parts={"": DEEPSC}, headline=True),
            ),
        ),
        Section(
            title="DeepSC-COVID, Figs. 8 and 9: what each part is worth",
            note="The paper has bars and no numbers; `triaged analyse bars` draws ours.",
            columns=_EACH,
            rows=(
                FULL,
                _changed("no 3D inception", "inception=false"),
                _changed("no cross-stitch", "cross_stitch=false"),
                *(_changed(f"task-aware weight {weight}", f"task_aware={weight}") for weight in (0, 1, 100)),
                Row(name="task-aware weight 10", parts={"": DEEPSC}, headline=True),
            ),
        ),
    ),
)
