"""Losses: known values, silence, gradients."""

from __future__ import annotations

import math

import pytest
import torch

from training.losses import binary_cross_entropy, dice_loss

NAN = torch.nan


def test_cross_entropy_is_the_mean_over_what_is_said() -> None:
    logits = torch.tensor([0.0, 2.0, -50.0])
    target = torch.tensor([1.0, 0.0, NAN])
    expected = (math.log(2.0) + math.log(1.0 + math.e**2)) / 2.0
    assert float(binary_cross_entropy(logits, target)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("loss", [binary_cross_entropy, dice_loss])
def test_silence_teaches_nothing(loss: object) -> None:
    logits = torch.tensor([0.3, -0.2], requires_grad=True)
    value = loss(logits, torch.tensor([NAN, NAN]))  # type: ignore[operator]
    value.backward()
    assert float(value.detach()) == 0.0
    assert logits.grad is not None
    assert logits.grad.tolist() == [0.0, 0.0]


def test_dice_loss_runs_from_none_to_all() -> None:
    target = (torch.arange(200) < 100).float()
    sure = 40.0 * (2.0 * target - 1.0)
    assert float(dice_loss(sure, target)) == pytest.approx(0.0, abs=1e-6)
    assert float(dice_loss(-sure, target)) == pytest.approx(1.0 - 1.0 / 201.0, abs=1e-6)
    half = torch.where(torch.arange(200) < 50, 40.0, -40.0)
    assert float(dice_loss(half, target)) == pytest.approx(1.0 - 101.0 / 151.0, abs=1e-6)


def test_unsaid_pixels_get_no_gradient() -> None:
    logits = torch.zeros(4, requires_grad=True)
    target = torch.tensor([1.0, NAN, 0.0, NAN])
    (binary_cross_entropy(logits, target) + dice_loss(logits, target)).backward()
    assert logits.grad is not None
    assert (logits.grad != 0).tolist() == [True, False, True, False]
