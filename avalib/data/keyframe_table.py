"""The keyframes of a split: annotated seconds with people, labels and proposals, as flat arrays with offsets.

Source of the rules: MMAction2 v0.10.0 ava_dataset.py.
"""

from dataclasses import dataclass, fields

import numpy as np
import pandas as pd
import torch

from avalib.data.ava_csv import load_ava_table
from avalib.data.exclusions import read_exclusions
from avalib.data.kinetics_annotations import name_clips_of_proposals
from avalib.data.layout import DatasetLayout
from avalib.data.proposals import load_proposals
from avalib.data.row_checks import BOX_COLUMNS
from avalib.zoo.entry import ZooEntry
from avalib.zoo.recipe import Recipe

MAX_PROPOSALS = 1000  # of a keyframe
WHOLE_FRAME = [0.0, 0.0, 1.0, 1.0]


@dataclass(frozen=True)
class KeyframeTable:
    """K annotated seconds with G people and P proposals. Boxes are fractions of the frame (0..1).

    The people of keyframe k are rows box_start[k]:box_start[k+1] of boxes_norm and labels; its proposals are rows
    proposal_start[k]:proposal_start[k+1].
    """

    video_ids: np.ndarray  # (K,) str
    timestamps: np.ndarray  # (K,) float64 seconds
    box_start: np.ndarray  # (K+1,)
    boxes_norm: np.ndarray  # (G,4) float64, one row per person
    labels: np.ndarray  # (G,81) bool; 81: the layout's n_columns
    proposal_start: np.ndarray  # (K+1,)
    proposals_norm: np.ndarray  # (P,4) float64
    proposal_scores: np.ndarray  # (P,) float32
    n_without_proposals: int  # keyframes that got one whole-frame box instead
    start_s: np.ndarray  # (K,) float64: the second of the first frame of the keyframe's video
    last_frame: np.ndarray  # (K,) float64: the last frame number that its clip may contain

    def __len__(self):
        return len(self.timestamps)

    def __getstate__(self):
        """The arrays as tensors in shared memory: worker processes map them instead of copying them."""
        if "_shared" not in self.__dict__:  # cached: the memory must outlive the pickling, until the worker has it
            names = self.video_ids.astype(str)
            state = {field.name: getattr(self, field.name) for field in fields(self)}
            # tensors hold no text: each name as a row of code points, (K, letters)
            state["video_ids"] = names.view(np.int32).reshape(len(names), -1)
            for name, value in state.items():
                if isinstance(value, np.ndarray):
                    state[name] = torch.from_numpy(value).share_memory_()
            self.__dict__["_shared"] = state
        return self._shared

    def __setstate__(self, state):
        for name, value in state.items():
            self.__dict__[name] = value.numpy() if isinstance(value, torch.Tensor) else value
        code_points = self.video_ids
        self.__dict__["video_ids"] = code_points.view(f"<U{code_points.shape[1]}").ravel()

    def get_ground_truth(self, k):
        """boxes_norm (n,4) and labels (n,81) of keyframe k."""
        rows = slice(self.box_start[k], self.box_start[k + 1])
        return self.boxes_norm[rows], self.labels[rows]

    def get_proposals(self, k):
        """boxes_norm (n,4) of keyframe k."""
        return self.proposals_norm[self.proposal_start[k] : self.proposal_start[k + 1]]

    def count_consecutive(self, k, limit):
        """How many keyframes, from k on and at most `limit`, are of one video and rise in time."""
        same_video = self.video_ids[k : k + limit] == self.video_ids[k]
        rises = np.diff(self.timestamps[k : k + limit]) > 0
        continues = np.append(same_video[1:] & rises, False)
        return 1 + int(np.argmin(continues))


@dataclass(frozen=True)
class SelectedProposals:
    """The proposals of K keyframes, ordered by keyframe: the fields of KeyframeTable."""

    start: np.ndarray  # (K+1,)
    boxes_norm: np.ndarray  # (P,4) float64
    scores: np.ndarray  # (P,) float32
    n_without: int  # keyframes that got a whole-frame box


def load_keyframes(
    layout: DatasetLayout,
    split: str,
    person_score: float = 0.9,
    training: bool = False,
    only_with_boxes: bool = False,
) -> KeyframeTable:
    """Load the keyframes of a split, in the order of its csv.

    Rows with the same box are one person with several labels.

    Parameters
    ----------
    layout : DatasetLayout
        The data set.
    split : {"train", "val"}
        The split.
    person_score : float
        Proposals with at least this score are used, or the frame's best if none has it; at most MAX_PROPOSALS a
        keyframe. A keyframe without any gets one whole-frame box.
    training : bool
        Whether to leave out excluded timestamps. In a test they are scored, and the evaluation drops them.
    only_with_boxes : bool
        Whether to leave out keyframes that have no proposal with `person_score`, as PySlowFast and UMT do.

    Returns
    -------
    KeyframeTable
    """
    annotations = load_ava_table(layout.get_csv_path(split), "ground_truth").dropna(subset=["x1"])
    proposals = load_proposals(layout.get_proposals_path(split))
    video_names = annotations.video_id.cat.categories
    if layout.has_kinetics:
        proposals = name_clips_of_proposals(proposals, video_names)
    row_keys = _compute_keyframe_keys(annotations, video_names)
    if training:
        exclusions = read_exclusions(layout.get_exclusions_path(split)).astype({"video_id": "category"})
        is_included = ~np.isin(row_keys, _compute_keyframe_keys(exclusions, video_names))
        annotations, row_keys = annotations[is_included], row_keys[is_included]
    if only_with_boxes:
        proposals = proposals[proposals.score >= person_score]
        is_included = np.isin(row_keys, _compute_keyframe_keys(proposals, video_names))
        annotations, row_keys = annotations[is_included], row_keys[is_included]

    # the keyframe of each annotation (N,), numbered in the csv's order; the key of each keyframe (K,)
    keyframe_of_row, keyframe_keys = pd.factorize(row_keys)
    n_keyframes = len(keyframe_keys)
    first_row = np.unique(keyframe_of_row, return_index=True)[1]  # (K,) where each keyframe begins

    # the first annotation of each person (G,), by keyframe; inside a keyframe, in the csv's order
    person_of_row = _number_people(annotations, keyframe_of_row)
    person_row = np.unique(person_of_row, return_index=True)[1]
    labels = np.zeros((len(person_row), layout.n_columns), bool)
    labels[person_of_row, annotations.action_id.to_numpy()] = True
    by_keyframe = np.argsort(keyframe_of_row[person_row], kind="stable")

    # the keyframe of each proposal (P,); -1 for those of seconds without annotation
    keyframe_of_proposal = pd.Index(keyframe_keys).get_indexer(_compute_keyframe_keys(proposals, video_names))
    selected = _select_proposals(proposals, keyframe_of_proposal, n_keyframes, person_score)
    video_of_keyframe = annotations.video_id.cat.codes.to_numpy()[first_row]  # (K,) numbers of names
    return KeyframeTable(
        video_ids=video_names.to_numpy().astype(str)[video_of_keyframe],
        timestamps=annotations.timestamp.to_numpy()[first_row],
        box_start=_compute_offsets(keyframe_of_row[person_row], n_keyframes),
        boxes_norm=annotations[BOX_COLUMNS].to_numpy()[person_row[by_keyframe]],
        labels=labels[by_keyframe],
        proposal_start=selected.start,
        proposals_norm=selected.boxes_norm,
        proposal_scores=selected.scores,
        n_without_proposals=selected.n_without,
        start_s=np.array([layout.get_start_s(name) for name in video_names], np.float64)[video_of_keyframe],
        last_frame=np.array([layout.get_last_frame(name) for name in video_names], np.float64)[video_of_keyframe],
    )


def load_test_keyframes(entry: ZooEntry, layout: DatasetLayout, split: str, recipe: Recipe) -> KeyframeTable:
    """Load the keyframes of a split that a model is tested on, with their proposals."""
    # of the published tests, those of MMAction2 score a frame's best boxes even where all scores are low
    only_with_boxes = layout.is_real_ava and entry.code_base != "mmaction"
    return load_keyframes(layout, split, recipe.person_score, only_with_boxes=only_with_boxes)


def load_splits(layout, recipe):
    """{"train": KeyframeTable, "val": KeyframeTable} of a training. Raises ValueError if one of them is empty."""
    keyframes = {}
    for split, purpose in (("train", "train on"), ("val", "validate with")):
        keyframes[split] = load_keyframes(layout, split, recipe.person_score, training=split == "train")
        if len(keyframes[split]) == 0:
            raise ValueError(
                f"{layout.get_csv_path(split)}: no keyframes with boxes, so there is nothing to {purpose}. Put some of "
                "the videos into this split (import_data's val_share, or a split column), or run avalib.check."
            )
    return keyframes


def _compute_keyframe_keys(table, video_names):
    """One int64 (N,) for each row's video and second, the same in all tables; negative for videos not in the names."""
    codes = video_names.get_indexer(table.video_id.cat.categories)[table.video_id.cat.codes].astype(np.int64)
    milliseconds = np.rint(table.timestamp.to_numpy() * 1000).astype(np.int64)
    return np.where(codes < 0, -1 - milliseconds, (codes << 40) + milliseconds)


def _number_people(annotations, keyframe_of_row):
    """The person of each annotation (N,), numbered from 0: rows with the same keyframe and box are one person."""
    columns = annotations[BOX_COLUMNS].assign(keyframe=keyframe_of_row)
    return columns.groupby(["keyframe", *BOX_COLUMNS], sort=False).ngroup().to_numpy()


def _compute_offsets(groups, n_groups):
    """Where each group begins (n_groups+1,) once rows are sorted by their group (N,)."""
    return np.concatenate([[0], np.cumsum(np.bincount(groups, minlength=n_groups))])


def _select_proposals(proposals, keyframe_of_proposal, n_keyframes, person_score):
    """Choose the proposals of each keyframe by score; a keyframe without any gets the whole frame."""
    # those of some keyframe, by keyframe; inside a keyframe, in the file's order
    rows = np.flatnonzero(keyframe_of_proposal >= 0)
    rows = rows[np.argsort(keyframe_of_proposal[rows], kind="stable")]
    chosen = pd.DataFrame({"row": rows, "keyframe": keyframe_of_proposal[rows]})
    chosen["score"] = proposals.score.to_numpy()[rows]

    # those with the person score, or the best of the keyframe if none has it
    best = chosen.groupby("keyframe").score.transform("max")
    chosen = chosen[chosen.score >= np.minimum(person_score, best)]
    # the first MAX_PROPOSALS of a keyframe
    chosen = chosen[chosen.groupby("keyframe").cumcount() < MAX_PROPOSALS]

    # append a whole-frame box for each keyframe without proposals, then sort it into its place
    without = np.flatnonzero(np.bincount(chosen.keyframe, minlength=n_keyframes) == 0)
    keyframe = np.concatenate([chosen.keyframe, without])
    boxes = np.concatenate(
        [proposals[BOX_COLUMNS].to_numpy(np.float64)[chosen.row], np.tile(WHOLE_FRAME, (len(without), 1))]
    )
    scores = np.concatenate([chosen.score, np.ones(len(without))])
    order = np.argsort(keyframe, kind="stable")
    return SelectedProposals(
        start=_compute_offsets(keyframe, n_keyframes),
        boxes_norm=boxes[order],
        scores=scores[order].astype(np.float32),
        n_without=len(without),
    )
