"""The loss of the action head and the batch metrics that are logged beside it."""

import torch
import torch.nn.functional as F


def compute_action_loss(logits, targets):
    """Binary cross entropy over the rows that have an action, columns 1..80, mean over rows x 80.

    logits, targets (N,81). Column 0 and rows without an action are left out; no row left gives NaN, as the original.
    """
    kept = targets[:, 1:].sum(dim=1) > 0
    return F.binary_cross_entropy_with_logits(logits[kept, 1:].float(), targets[kept, 1:].float())


@torch.no_grad()
def compute_batch_metrics(logits, targets, top=(3, 5)):
    """Recall and precision at score 0.5 and of the k best actions a box, means over the rows that have an action.

    -> {"recall@thr=0.5": …, "prec@thr=0.5": …, "recall@top3": …, …}, floats 0..1.
    """
    kept = targets[:, 1:].sum(dim=1) > 0
    scores, truth = logits[kept, 1:].sigmoid(), targets[kept, 1:] > 0.5
    predictions = {"thr=0.5": scores > 0.5}
    for k in top:
        best = scores.topk(min(k, scores.shape[1]), dim=1).indices
        predictions[f"top{k}"] = torch.zeros_like(truth).scatter_(1, best, True)
    numbers = {}
    for name, predicted in predictions.items():
        correct = (predicted & truth).sum(dim=1)
        numbers[f"recall@{name}"] = (correct / truth.sum(dim=1)).mean().item()
        numbers[f"prec@{name}"] = (correct / (predicted.sum(dim=1) + 1e-6)).mean().item()
    return numbers
