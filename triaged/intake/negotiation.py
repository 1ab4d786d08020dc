"""What we accept of what a peer proposes: every storage class it names, and the least lossy syntax it can send.

Pure. The contexts are made per association from the proposal (PS3.8 section 9.3.2.2), so that private, retired and
future SOP classes and transfer syntaxes are accepted without being listed here.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEG2000MCLossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)
from pynetdicom.presentation import PresentationContext
from pynetdicom.service_class import StorageServiceClass
from pynetdicom.sop_class import uid_to_service_class

VERIFICATION = UID("1.2.840.10008.1.1")

# One syntax is chosen per context: the best rank, and within a rank the one that the sender named first, since that
# is usually how it holds the image. Explicit VR keeps what private attributes are; implicit VR forgets it.
_EXPLICIT_OR_LOSSLESS = 0
_IMPLICIT = 1
_AWKWARD = 2  # lossless, but few programs read it back
_UNKNOWN = 3  # private, retired or new: cannot say what it does to the pixels
_LOSSY = 4

_RANKS = {
    ExplicitVRLittleEndian: _EXPLICIT_OR_LOSSLESS,
    RLELossless: _EXPLICIT_OR_LOSSLESS,
    JPEGLossless: _EXPLICIT_OR_LOSSLESS,
    JPEGLosslessSV1: _EXPLICIT_OR_LOSSLESS,
    JPEGLSLossless: _EXPLICIT_OR_LOSSLESS,
    JPEG2000Lossless: _EXPLICIT_OR_LOSSLESS,
    JPEG2000MCLossless: _AWKWARD,
    "1.2.840.10008.1.2.4.201": _EXPLICIT_OR_LOSSLESS,  # HTJ2K lossless
    "1.2.840.10008.1.2.4.202": _EXPLICIT_OR_LOSSLESS,  # HTJ2K lossless RPCL
    "1.2.840.10008.1.2.4.110": _AWKWARD,  # JPEG XL lossless
    ImplicitVRLittleEndian: _IMPLICIT,
    DeflatedExplicitVRLittleEndian: _AWKWARD,
    ExplicitVRBigEndian: _AWKWARD,
}
# Every other syntax under this root encodes pixels as JPEG, MPEG and the like, with loss or possibly so.
_COMPRESSED_ROOT = "1.2.840.10008.1.2.4."


def loss_rank(syntax: str) -> int:
    """0 for the most wanted transfer syntaxes, 4 for those that lose, or may lose, information."""
    return _RANKS.get(syntax, _LOSSY if syntax.startswith(_COMPRESSED_ROOT) else _UNKNOWN)


def in_order_of_preference(syntaxes: Sequence[UID]) -> list[UID]:
    """The proposed transfer syntaxes, lossless first, lossy last; the sender's order within a rank."""
    return sorted(syntaxes, key=loss_rank)


def is_storage(sop_class: UID) -> bool:
    """Whether C-STORE may be what this class is for: a known storage class, or one that nobody here knows."""
    if sop_class == VERIFICATION:
        return False
    known = uid_to_service_class(sop_class)
    return issubclass(known, StorageServiceClass) or sop_class.is_private or sop_class.name == sop_class


def narrow(proposed: Sequence[PresentationContext]) -> None:
    """Leave each proposed storage context the one syntax that we want of it.

    pynetdicom's acceptor has one order of preference per SOP class; but of two contexts for one class, the sender may
    mean the one for what it holds compressed and the other for the rest.
    """
    for context in proposed:
        if context.abstract_syntax is not None and is_storage(context.abstract_syntax):
            context.transfer_syntax = [*in_order_of_preference(context.transfer_syntax)[:1]]


def accepted_contexts(proposed: Sequence[PresentationContext]) -> list[PresentationContext]:
    """What to support on one association, so that each proposed storage context is accepted."""
    wanted: dict[UID, list[UID]] = {VERIFICATION: [ImplicitVRLittleEndian, ExplicitVRLittleEndian]}
    for context in proposed:
        sop_class = context.abstract_syntax
        if sop_class is None or not is_storage(sop_class):
            continue
        known = wanted.setdefault(sop_class, [])
        known.extend(s for s in context.transfer_syntax if s not in known)
    return [_supported(sop_class, syntaxes) for sop_class, syntaxes in wanted.items()]


def _supported(sop_class: UID, syntaxes: Sequence[UID]) -> PresentationContext:
    context = PresentationContext()
    context.abstract_syntax = sop_class
    context.transfer_syntax = [*syntaxes]
    return context
