"""iCTCF (HUST-19), of which COVID-MTL is made: its images are hundreds of gigabytes, its features one table.

`training.datasets.ictcf` reads the table of the 375 features; `triaged tables` and the forests are given it. The images
can be listed as a folder of one's own: an archive per patient, DICOM instances in "Patient N/CT".
"""

from __future__ import annotations

from training.datasets.public.case import DataSet

DATA_SET = DataSet(
    name="ictcf",
    title="iCTCF (HUST-19)",
    url="https://ngdc.cncb.ac.cn/ictcf/ and https://github.com/guoqingbao/COVID-MTL (features)",
    licence="not stated with the features",
    citation="Ning et al., Nature Biomedical Engineering 4:1197-1207, 2020; Bao et al., Pattern Recognition 2022",
    masks="none",
    classes=("covid", "other"),
    size="1,521 patients of two hospitals in Wuhan, 1,342 with CT; 1,329 in the feature table",
    note="the feature table: triaged tables covid-mtl --data ictcf=FILE; images: list them in an own folder",
)
