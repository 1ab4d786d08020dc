"""Losses of the lesion networks that DeepSC-COVID compares: known values, silence, gradients."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch

from training.losses import focal_loss, noise_robust_dice, task_aware_loss

NAN = torch.nan
FOCAL = partial(focal_loss, alpha=0.9, gamma=2.0)


def test_focal_loss_of_known_probabilities() -> None:
    likely = torch.tensor([0.8, 0.3, 0.5])
    found = FOCAL(torch.logit(likely), torch.tensor([1.0, 0.0, NAN]))
    expected = (-0.9 * 0.2**2 * math.log(0.8) - 0.1 * 0.3**2 * math.log(0.7)) / 2
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_without_focus_it_is_half_the_cross_entropy() -> None:
    logits, target = torch.tensor([1.3, -0.4, 80.0]), torch.tensor([1.0, 1.0, 0.0])
    expected = 0.5 * torch.nn.functional.binary_cross_entropy_with_logits(logits, target)
    assert float(focal_loss(logits, target, 0.5, 0.0)) == pytest.approx(float(expected), rel=1e-6)


def test_noise_robust_dice_of_known_probabilities() -> None:
    likely = torch.tensor([0.8, 0.3, 0.5])
    found = noise_robust_dice(torch.logit(likely), torch.tensor([1.0, 0.0, NAN]))
    expected = (0.2**1.5 + 0.3**1.5) / (0.8**2 + 0.3**2 + 1.0 + 1e-5)
    assert float(found) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("loss", [FOCAL, noise_robust_dice])
def test_silence_teaches_nothing_and_certainty_keeps_its_gradient_finite(loss: object) -> None:
    logits = torch.tensor([0.3, 200.0, -200.0], requires_grad=True)
    silent = loss(logits, torch.full((3,), NAN))  # type: ignore[operator]
    assert float(silent.detach()) == 0.0
    loss(logits, torch.tensor([NAN, 1.0, 0.0])).backward()  # type: ignore[operator]
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    assert logits.grad[0] == 0.0


def test_lesions_and_evidence_that_agree_cost_nothing() -> None:
    scales = [torch.randn(2, 1, 1, 2, 2), torch.randn(2, 1, 2, 4, 4)]
    assert float(task_aware_loss(scales, scales, (0.25, 0.5), torch.tensor([True, True]))) == 0.0


def test_evidence_counts_by_scale_and_only_where_it_speaks() -> None:
    lesions = [torch.full((2, 1, 1, 2, 2), 0.0), torch.full((2, 1, 2, 4, 4), 0.0)]
    sure = [torch.full_like(maps, 90.0) for maps in lesions]
    sure[0][1] = sure[1][1] = -3.0  # of a scan without pneumonia
    speaks = torch.tensor([True, False])
    assert float(task_aware_loss(lesions, sure, (0.25, 0.5), speaks)) == pytest.approx(0.75 * 0.25)
    assert float(task_aware_loss(lesions[:1], sure[:1], (0.25,), speaks)) == pytest.approx(0.25 * 0.25)


def test_the_task_aware_loss_teaches_both_sides_and_nobody_in_silence() -> None:
    lesions, evidence = (torch.randn(2, 1, 1, 2, 2, requires_grad=True) for _ in range(2))
    task_aware_loss([lesions], [evidence], (1.0,), torch.tensor([False, True])).backward()  # type: ignore[no-untyped-call]
    for maps in (lesions, evidence):
        assert maps.grad is not None
        assert not maps.grad[0].any()
        assert maps.grad[1].all()
    assert float(task_aware_loss([lesions], [evidence], (1.0,), torch.tensor([False, False])).detach()) == 0.0
