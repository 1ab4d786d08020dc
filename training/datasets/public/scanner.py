"""What a DICOM series says of how it was made, for sub-groups: scanner, kernel, thickness of the slices."""

from __future__ import annotations

from training.cases import thickness_group
from training.datasets.public.case import Image
from training.datasets.public.files import PICTURES, VOLUMES

TAGS = ("Manufacturer", "ManufacturerModelName", "ConvolutionKernel", "SliceThickness")


def facts(image: Image) -> dict[str, str]:
    """By what; of a file that is no DICOM instance nothing is known."""
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    first = image.paths[0]
    if first.name.lower().endswith((*PICTURES, *VOLUMES)):
        return {}
    try:
        header = dcmread(first, stop_before_pixels=True, specific_tags=list(TAGS))
        made_by, model, kernel = (str(header.get(tag) or "").strip() for tag in TAGS[:3])
        thickness = header.get("SliceThickness")
        millimetres = None if thickness is None else float(thickness)
    except (InvalidDicomError, OSError, ValueError):
        return {}
    found = {"scanner": f"{made_by} {model}".strip(), "kernel": kernel}
    if millimetres is not None:
        found["slice thickness"] = thickness_group(millimetres)
    return {what: said for what, said in found.items() if said}
