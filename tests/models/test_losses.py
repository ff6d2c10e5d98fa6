"""The loss and the logged metrics against recorded outputs of the original training."""

import json
from pathlib import Path

import pytest
import torch

from avalib.models.losses import compute_action_loss, compute_batch_metrics

FLOW = json.loads((Path(__file__).parents[1] / "golden" / "golden.json").read_text(encoding="utf-8"))["training_flow"]


def test_loss_leaves_out_column_0_and_rows_without_action():
    logits = torch.randn(3, 81, generator=torch.Generator().manual_seed(0))
    wanted = torch.zeros(3, 81)
    wanted[0, [5, 9]] = 1
    wanted[1, 0] = 1  # column 0 alone is no action
    by_hand = -(torch.log_softmax(torch.stack([logits[0, 1:], torch.zeros(80)]), 0))
    expected = torch.where(wanted[0, 1:] > 0, by_hand[0], by_hand[1]).mean()
    assert compute_action_loss(logits, wanted).item() == pytest.approx(expected.item(), rel=1e-6)
    assert compute_action_loss(logits[1:], wanted[1:]).isnan()


def test_loss_of_the_recorded_flow():
    """The logged numbers follow from the logits alone; the networks' own are in test_models."""
    logits = torch.tensor([[0.0] + [3.0] * 2 + [-3.0] * 78])
    wanted = torch.zeros(1, 81)
    wanted[0, [1, 40]] = 1
    numbers = compute_batch_metrics(logits, wanted)
    assert numbers["recall@thr=0.5"] == 0.5 and numbers["prec@thr=0.5"] == pytest.approx(0.5, abs=1e-6)
    assert numbers["prec@top3"] == pytest.approx(1 / 3, abs=1e-6) and set(numbers) == set(
        FLOW["train_flow"]["losses"]
    ) - {"loss_action_cls"}
