"""The 198 CTs of the Henri Becquerel Center, which Amyar et al. use: 100 normal, 98 with lung cancer. Not public."""

from __future__ import annotations

from training.datasets.public.case import DataSet

DATA_SET = DataSet(
    name="henri-becquerel",
    title="Henri Becquerel Center",
    url="",
    licence="private",
    citation="Amyar et al., Computers in Biology and Medicine 126:104037, 2020",
    masks="none",
    classes=("normal", "other"),
    size="198 CTs: 100 normal, 98 with lung cancer",
    note="not public; the nearest public ones are CT-0 of mosmed-1110 for normal, and nsclc for lung cancer",
)
