"""The loss and the logged metrics."""

import golden_outputs
import pytest
import torch

from avalib.models.losses import compute_action_loss, compute_batch_metrics


@pytest.fixture
def batch():
    """Logits and targets of three boxes: one with two actions, one with the reserved column alone, one with none."""
    logits = torch.randn(3, 81, generator=torch.Generator().manual_seed(0))
    targets = torch.zeros(3, 81)
    targets[0, [5, 9]] = 1
    targets[1, 0] = 1
    return logits, targets


def test_loss_leaves_out_column_0_and_boxes_without_action(batch):
    logits, targets = batch
    log_scores = torch.log_softmax(torch.stack([logits[0, 1:], torch.zeros(80)]), dim=0)
    expected = -torch.where(targets[0, 1:] > 0, log_scores[0], log_scores[1]).mean()
    assert compute_action_loss(logits, targets).item() == pytest.approx(expected.item(), rel=1e-6)


def test_loss_without_any_action_is_nan(batch):
    logits, targets = batch
    assert compute_action_loss(logits[1:], targets[1:]).isnan()


@pytest.fixture
def metrics():
    """Of one box with the actions 1 and 40, predicted as 1 and 2."""
    logits = torch.tensor([[0.0] + [3.0] * 2 + [-3.0] * 78])
    targets = torch.zeros(1, 81)
    targets[0, [1, 40]] = 1
    return compute_batch_metrics(logits, targets)


def test_metrics_have_the_names_of_the_original(metrics):
    recorded = golden_outputs.GOLDEN["training_flow"]["train_flow"]["losses"]
    assert set(metrics) == set(recorded) - {"loss_action_cls"}


def test_recall_and_precision(metrics):
    assert metrics["recall@thr=0.5"] == 0.5
    assert metrics["prec@thr=0.5"] == pytest.approx(0.5, abs=1e-6)
    assert metrics["prec@top3"] == pytest.approx(1 / 3, abs=1e-6)
