"""Mistakes for a look: the surest ones that differ from each other."""

from collections import Counter

import pandas as pd

SHARE = 1 / 5  # of the selection that one action, or one video, may have


def select_varied_mistakes(mistakes: pd.DataFrame, n: int = 20) -> pd.DataFrame:
    """Select mistakes that differ.

    A model that takes many people for standing makes one mistake many times. Here each mistake is the only one of its
    video with the same detected action and the same true actions, and no action and no video has more than a fifth of
    the selection, unless there are fewer than five of them.

    Parameters
    ----------
    mistakes : DataFrame
        From ErrorAnalysis.find_top_mistakes, many more than n.
    n : int
        At most this many.

    Returns
    -------
    DataFrame
        Rows of `mistakes`, in their order.
    """
    limits = {
        "action_id": max(SHARE * n, n / max(mistakes["action_id"].nunique(), 1)),
        "video_id": max(SHARE * n, n / max(mistakes["video_id"].nunique(), 1)),
    }
    counts = Counter()
    chosen = []
    for i, mistake in enumerate(mistakes.to_dict("records")):
        # how often each of these may be chosen
        allowed = {(name, mistake[name]): limit for name, limit in limits.items()}
        allowed["same", mistake["video_id"], mistake["action_id"], mistake["does"]] = 1
        if len(chosen) < n and all(counts[key] + 1 <= limit for key, limit in allowed.items()):
            counts.update(allowed.keys())
            chosen.append(i)
    return mistakes.iloc[chosen].reset_index(drop=True)
