"""What is accepted of what a peer proposes."""

from __future__ import annotations

import random

from pydicom.uid import UID
from pynetdicom.presentation import PresentationContext, negotiate_as_acceptor

from triaged.intake.negotiation import accepted_contexts, in_order_of_preference, narrow

CT = "1.2.840.10008.5.1.4.1.1.2"
IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
JPEG_LS, JPEG_LS_NEAR, JPEG_BASELINE = "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81", "1.2.840.10008.1.2.4.50"


def proposed(number: int, sop_class: str, *syntaxes: str) -> PresentationContext:
    context = PresentationContext()
    context.context_id = number
    context.abstract_syntax = UID(sop_class)
    context.transfer_syntax = [UID(s) for s in syntaxes]
    return context


def negotiated(*contexts: PresentationContext) -> dict[int, str | None]:
    narrow(contexts)
    results, _ = negotiate_as_acceptor(list(contexts), accepted_contexts(contexts))
    return {c.context_id: c.transfer_syntax[0] if c.result == 0 else None for c in results if c.context_id}


def test_lossless_is_preferred_however_the_sender_lists_them() -> None:
    offered = [JPEG_BASELINE, JPEG_LS_NEAR, IMPLICIT, EXPLICIT]
    for seed in range(10):
        shuffled = random.Random(seed).sample(offered, len(offered))
        assert negotiated(proposed(1, CT, *shuffled)) == {1: EXPLICIT}
    assert in_order_of_preference([UID(s) for s in offered])[-2:] == [JPEG_BASELINE, JPEG_LS_NEAR]


def test_among_lossless_ones_the_sender_keeps_what_it_holds() -> None:
    assert negotiated(proposed(1, CT, JPEG_LS, EXPLICIT)) == {1: JPEG_LS}


def test_each_context_of_one_class_gets_its_own_best() -> None:
    assert negotiated(proposed(1, CT, JPEG_BASELINE), proposed(3, CT, IMPLICIT), proposed(5, CT, JPEG_LS)) == {
        1: JPEG_BASELINE,
        3: IMPLICIT,
        5: JPEG_LS,
    }


def test_a_context_for_what_is_compressed_is_not_overruled_by_another_of_the_same_class() -> None:
    first, second = proposed(1, CT, EXPLICIT, IMPLICIT), proposed(3, CT, JPEG_LS, EXPLICIT, IMPLICIT)
    assert negotiated(first, second) == {1: EXPLICIT, 3: JPEG_LS}


def test_private_unknown_and_retired_are_accepted() -> None:
    retired, private_class, future = (
        "1.2.840.10008.1.2.4.55",
        "1.3.46.670589.11.0.0.12.1",
        "1.2.840.10008.5.1.4.1.1.999",
    )
    assert negotiated(
        proposed(1, CT, retired), proposed(3, private_class, EXPLICIT), proposed(5, future, "1.2.3.4")
    ) == {
        1: retired,
        3: EXPLICIT,
        5: "1.2.3.4",
    }


def test_what_is_no_storage_is_not_accepted_and_verification_is() -> None:
    find, verification = "1.2.840.10008.5.1.4.1.2.2.1", "1.2.840.10008.1.1"
    assert negotiated(proposed(1, find, IMPLICIT), proposed(3, verification, IMPLICIT)) == {1: None, 3: IMPLICIT}
