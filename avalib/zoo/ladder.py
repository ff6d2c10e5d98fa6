"""The ladder of SlowOnly on AVA-Kinetics: seven published models, each of which changes one thing in the one before."""

from typing import TYPE_CHECKING

from avalib.zoo.entries import get
from avalib.zoo.entry import ZooEntry, compare_fields

if TYPE_CHECKING:
    import pandas as pd

LADDER = (
    "slowonly_r50_4x16_ak",
    "slowonly_r50_8x8_ak",
    "slowonly_r50_8x8_ak_context",
    "slowonly_r50_8x8_ak_context_tmax",
    "slowonly_r50_8x8_ak_nlhead",
    "slowonly_r50_8x8_ak_nlhead_focal",
    "slowonly_r50_16x4_ak_tricks",
)
# fields in which any two models differ
NAMES_AND_FILES = ("alias", "name", "published_mAP", "checkpoint_url", "checkpoint_sha256", "log_url", "json_url")
# fields that change together
CLIP = ("clip_len", "frame_interval")
LOSS = ("focal_alpha", "focal_gamma")


def list_changes(base: ZooEntry, other: ZooEntry) -> list[str]:
    """List what another model changes in network, training, data or test.

    Parameters
    ----------
    base, other : ZooEntry

    Returns
    -------
    list of str
        Each change as text: "clips of 8x8", "max over time". Fields without a text of their own: "lr: 0.1 -> 0.2".
    """
    changed = {field: values for field, values in compare_fields(base, other).items() if field not in NAMES_AND_FILES}
    changes = []
    # fields that change together, as one text
    if any(field in changed for field in CLIP):
        changes.append(f"clips of {other.clip_len}x{other.frame_interval}")
    if any(field in changed for field in LOSS):
        changes.append(f"focal loss (alpha {other.focal_alpha:g}, gamma {other.focal_gamma:g})")
    # texts for the values that the ladder and other later models have
    texts = {
        ("context", True): "context: a feature of the whole picture",
        ("temporal_pool", "max"): "max over time",
        ("head_width", 4096): "classifier of two layers",
    }
    for field, (value, other_value) in changed.items():
        if field not in CLIP + LOSS:
            changes.append(texts.get((field, other_value), f"{field}: {value} -> {other_value}"))
    return changes


def build_ladder_table() -> "pd.DataFrame":
    """Build the table of the ladder.

    Returns
    -------
    DataFrame
        A row per step: model, change (of the step before, as text), published mAP (percent, AVA v2.2 val), gain (over
        the step before, in points; NaN for the first).
    """
    import pandas as pd

    entries = [get(alias) for alias in LADDER]
    changes = [f"clips of {entries[0].clip_len}x{entries[0].frame_interval}"]
    for base, other in zip(entries, entries[1:], strict=False):
        changes.append(", ".join(list_changes(base, other)))
    # the gain of each step over the one before
    published = [entry.published_mAP for entry in entries]
    table = pd.DataFrame({"model": LADDER, "change": changes, "published mAP": published})
    return table.assign(gain=table["published mAP"].diff().round(2))
