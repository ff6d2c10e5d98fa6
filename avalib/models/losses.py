"""The loss of the action head, and the batch metrics that are logged beside it.

Source: MMAction2 v0.10.0 bbox_head.py (loss, recall_prec, topk_accuracy).
"""

import torch
import torch.nn.functional as F


def compute_action_loss(logits, targets, focal_alpha=1.0, focal_gamma=0.0):
    """Binary cross entropy of the boxes that have an action, or its focal form.

    Parameters
    ----------
    logits, targets : Tensor
        (N,81); targets are 0 or 1. Column 0, which is reserved, and boxes without an action are left out.
    focal_alpha, focal_gamma : float
        The loss of an element with cross entropy b is alpha (1 - p)^gamma b, where p = exp(-b) is the probability of
        its target. Source: MMAction2 1.x bbox_head.py; arXiv:1708.02002.

    Returns
    -------
    Tensor
        The mean over boxes x 80 actions, a scalar; NaN where no box has an action, as in the original.
    """
    # only boxes with an action count, without the reserved column 0: (N,81) -> (M,80)
    has_action = targets[:, 1:].sum(dim=1) > 0  # (N,)
    logits, targets = logits[has_action, 1:].float(), targets[has_action, 1:].float()
    if (focal_alpha, focal_gamma) == (1.0, 0.0):
        return F.binary_cross_entropy_with_logits(logits, targets)
    # focal: elements that are predicted well weigh less
    losses = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")  # (M,80)
    return (focal_alpha * (1 - torch.exp(-losses)) ** focal_gamma * losses).mean()


@torch.no_grad()
def compute_batch_metrics(logits, targets, top=(3, 5)):
    """Recall and precision of the predicted actions at score 0.5, and of the k best ones.

    Parameters
    ----------
    logits, targets : Tensor
        (N,81) as for the loss.
    top : sequence of int
        The values of k.

    Returns
    -------
    dict of str to float
        {"recall@thr=0.5", "prec@thr=0.5", "recall@top3", …}: means over the boxes that have an action, 0..1.
    """
    has_action = targets[:, 1:].sum(dim=1) > 0  # (N,)
    scores = logits[has_action, 1:].sigmoid()  # (M,80)
    truth = targets[has_action, 1:] > 0.5  # (M,80)
    # {criterion: predicted actions (M,80) bool}
    predictions = {"thr=0.5": scores > 0.5}
    for k in top:
        best = scores.topk(min(k, scores.shape[1]), dim=1).indices  # (M,k)
        predictions[f"top{k}"] = torch.zeros_like(truth).scatter_(1, best, True)
    # recall and precision of each box, then the means over the boxes
    metrics = {}
    for name, predicted in predictions.items():
        n_correct = (predicted & truth).sum(dim=1)  # (M,)
        metrics[f"recall@{name}"] = (n_correct / truth.sum(dim=1)).mean()
        metrics[f"prec@{name}"] = (n_correct / (predicted.sum(dim=1) + 1e-6)).mean()
    # all numbers at once: a GPU is waited for a single time
    return dict(zip(metrics, torch.stack(list(metrics.values())).tolist(), strict=True))
