"""Losses of several tasks: known values, silence, weights that add up."""

from __future__ import annotations

import math

import pytest
import torch

from training.losses import class_cross_entropy, random_weights, uncertainty_weighted


def test_cross_entropy_of_classes_is_the_mean_over_what_is_known() -> None:
    logits = torch.tensor([[0.0, 0.0, 0.0], [0.0, math.log(3.0), 0.0], [9.0, 0.0, 0.0]], requires_grad=True)
    value = class_cross_entropy(logits, torch.tensor([2, 1, -1]))
    assert float(value.detach()) == pytest.approx((math.log(3.0) - math.log(0.6)) / 2.0)
    value.backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert logits.grad[2].tolist() == [0.0, 0.0, 0.0]
    assert float(class_cross_entropy(logits, torch.tensor([-1, -1, -1])).detach()) == 0.0


def test_random_weights_add_up_and_come_closer_to_the_mean_with_more_draws() -> None:
    torch.manual_seed(1)
    spread = []
    for draws in (1, 2, 500):
        weights = torch.stack([random_weights(3, draws) for _ in range(400)])
        torch.testing.assert_close(weights.sum(dim=1), torch.ones(400))
        assert (weights >= 0).all()
        torch.testing.assert_close(weights.mean(dim=0), torch.full((3,), 1 / 3), atol=0.05, rtol=0.0)
        spread.append(float(weights.std()))
    # The standard deviation of a flat Dirichlet of three is sqrt(1/18); of a mean of n draws, that by sqrt(n).
    assert spread == pytest.approx([1 / math.sqrt(18), 1 / math.sqrt(36), 1 / math.sqrt(9000)], rel=0.15)


def test_of_two_tasks_the_weight_is_even() -> None:
    torch.manual_seed(2)
    first = torch.stack([random_weights(2, 1) for _ in range(1000)])[:, 0]
    assert torch.histc(first, 4, 0.0, 1.0).tolist() == pytest.approx([250] * 4, abs=50)


def test_weights_are_repeated_by_their_seed() -> None:
    torch.manual_seed(3)
    weights = random_weights(3)
    torch.manual_seed(3)
    assert torch.equal(random_weights(3), weights)


def test_uncertainty_starts_as_the_mean_and_finds_the_variance_of_each_task() -> None:
    losses = torch.tensor([0.3, 2.0])
    log_variances = torch.zeros(2, requires_grad=True)
    assert float(uncertainty_weighted(losses, log_variances).sum().detach()) == pytest.approx(1.15)
    optimizer = torch.optim.SGD([log_variances], lr=0.5)
    for _ in range(300):
        optimizer.zero_grad()
        torch.autograd.backward([uncertainty_weighted(losses, log_variances).sum()])
        optimizer.step()
    # d/ds (L exp(-s) + s/2) = 0 where exp(s) = 2 L.
    assert log_variances.detach().exp().tolist() == pytest.approx([0.6, 4.0], rel=1e-3)
