"""Where the mAP goes: what each kind of mistake costs every action, what perfect boxes or perfect naming would give.

    found = errors.analyse("gt.csv", "detections.csv", label_map, exclusions)
    found.compute_loss_breakdown()   found.compute_oracle_map()   found.find_confusions()   found.find_top_mistakes()   found.compare_with_training("train.csv")

A false positive is named by the annotated person that its box overlaps most, whatever that person does: background (IoU
below 0.1), wrong box (below the metric's IoU, or a person taken already), and on a right box wrong action (scored at
least as high as everything this person does) or ranking (lower than that, but above others who do it).
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from avalib.data.ava_csv import read_ava_csv
from avalib.data.exclusions import read_exclusions
from avalib.data.labels import get_action_groups
from avalib.data.row_checks import BOX_COLUMNS, KEYFRAME_COLUMNS, NO_ACTION
from avalib.evaluation.average_precision import compute_average_precision
from avalib.evaluation.evaluator import evaluate
from avalib.evaluation.frame_index import check_thresholds, resolve_label_map
from avalib.evaluation.matching import iter_pair_blocks
from avalib.evaluation.protocols import get_protocol
from avalib.evaluation.report import Report
from avalib.utils.boxes import compute_iou_pairs
from avalib.utils.process import check_memory

NEAR = 0.1  # below this IoU a box has nothing to do with a person
TRUE, BACKGROUND, WRONG_BOX, WRONG_ACTION, RANKING, MISSED = range(6)
KINDS = ("true", "background", "wrong_box", "wrong_action", "ranking", "missed_people")


def analyze_errors(ground_truth, detections, label_map=None, exclusions=None, protocol="mmaction", iou=0.5):
    """An `Analysis` of detections; arguments as `metrics.evaluate`'s, one IoU. Raises what that raises."""
    label_map = resolve_label_map(label_map)
    thresholds = check_thresholds(iou)
    if len(thresholds) > 1:
        raise ValueError(f"iou {iou!r}: expected one threshold; the analysis is of one")
    gt, det = read_ava_csv(ground_truth, "ground_truth"), read_ava_csv(detections, "detections")
    if exclusions is not None:
        out = pd.MultiIndex.from_frame(read_exclusions(exclusions))
        det = det[~pd.MultiIndex.from_frame(det[KEYFRAME_COLUMNS]).isin(out)].reset_index(drop=True)
        if get_protocol(protocol)[1].excluded == "both":
            gt = gt[~pd.MultiIndex.from_frame(gt[KEYFRAME_COLUMNS]).isin(out)].reset_index(drop=True)
    report = evaluate(gt, det, label_map, None, protocol, thresholds)
    gt = gt[gt["action_id"] != NO_ACTION].reset_index(drop=True)
    keys = (
        pd.concat([det[KEYFRAME_COLUMNS], gt[KEYFRAME_COLUMNS]])
        .groupby(KEYFRAME_COLUMNS, sort=False)
        .ngroup()
        .to_numpy()
    )
    return ErrorAnalysis(report, gt, det, *_people(gt, keys[len(det) :], label_map), *_meet(gt, det, keys), protocol)


def _people(gt, frame, label_map):
    """(the person of every ground-truth row, first row of every person, labels (P,K) bool)."""
    person = gt.assign(frame=frame).groupby(["frame", *BOX_COLUMNS], sort=False).ngroup().to_numpy()
    first = np.unique(person, return_index=True)[1]
    labels = np.zeros((len(first), len(label_map)), bool)
    column = gt["action_id"].map({action: k for k, action in enumerate(label_map)})
    counted = column.notna().to_numpy()
    labels[person[counted], column[counted].astype(int)] = True
    return person, first, labels


def _meet(gt, det, keys):
    """(distinct box of every detection, first row of every box, overlapping pairs: box, person, IoU), pairs by box."""
    frame, gt_frame = keys[: len(det)], keys[len(det) :]
    box = det.assign(frame=frame).groupby(["frame", *BOX_COLUMNS], sort=False).ngroup().to_numpy()
    first = np.unique(box, return_index=True)[1]
    people = np.unique(
        gt.assign(frame=gt_frame).groupby(["frame", *BOX_COLUMNS], sort=False).ngroup(), return_index=True
    )[1]
    order = np.argsort(gt_frame[people], kind="stable")
    parts, boxes, gt_boxes = (
        [(np.zeros(0, int), np.zeros(0, int), np.zeros(0))],
        det[BOX_COLUMNS].to_numpy(),
        gt[BOX_COLUMNS].to_numpy(),
    )
    for block in iter_pair_blocks(frame[first], gt_frame[people[order]]):
        b, p = block.left, order[block.right]
        iou = compute_iou_pairs(boxes[first[b]], gt_boxes[people[p]])
        parts.append((b[iou > 0], p[iou > 0], iou[iou > 0]))
    return box, first, *map(np.concatenate, zip(*parts, strict=True))


@dataclass
class ErrorAnalysis:
    """One set of detections beside the people that were there; rows are row numbers of `gt` and `det`.

    person (G,), person_row (P,), labels (P,K): the person of each annotation, and what each does; box (D,), box_row
    (B,): the distinct box of each detection; pair_box, pair_person, pair_iou: the boxes and people of each keyframe,
    where they overlap.
    """

    report: Report
    gt: pd.DataFrame
    det: pd.DataFrame
    person: np.ndarray
    person_row: np.ndarray
    labels: np.ndarray
    box: np.ndarray
    box_row: np.ndarray
    pair_box: np.ndarray
    pair_person: np.ndarray
    pair_iou: np.ndarray
    protocol: str

    def __post_init__(self):
        self.iou = self.report.thresholds[0]
        self.actions = list(self.report.label_map)
        self.nearest, self.near_iou = _best_of(self.pair_box, self.pair_person, self.pair_iou, len(self.box_row))
        self.nearest_box, self.found_iou = _best_of(
            self.pair_person, self.pair_box, self.pair_iou, len(self.person_row)
        )
        check_memory(8 * len(self.box_row) * len(self.actions), "scores of every box for every action")
        self.scores = np.full((len(self.box_row), len(self.actions)), -np.inf)  # of every box for every action
        column = self.det["action_id"].map({action: k for k, action in enumerate(self.actions)})
        there = np.flatnonzero(column.notna())
        np.maximum.at(self.scores, (self.box[there], column.iloc[there].astype(int)), self.det["score"].iloc[there])
        own = np.where(self._nearest_labels(), self.scores, -np.inf)
        self.best_own = own.max(axis=1, initial=-np.inf)  # the best score of what the nearest person really does

    def _nearest_labels(self):
        """Labels (B,K) of the person nearest to every box; none where there is nobody."""
        if not len(self.labels):
            return np.zeros((len(self.box_row), len(self.actions)), bool)
        return self.labels[self.nearest] & (self.near_iou >= NEAR)[:, None]

    def classify_detections(self, action):
        """What each detection in an action's ranking is (N,): an index into KINDS."""
        ranking, k = self.report.rankings[action], self.actions.index(action)
        box = self.box[ranking.rows]
        overlap = self.near_iou[box]
        right = np.where(self.scores[box, k] >= self.best_own[box], WRONG_ACTION, RANKING)
        if len(self.labels):
            right[self.labels[self.nearest[box], k]] = WRONG_BOX  # the person does it, another box got it
        kind = np.where(overlap >= self.iou, right, np.where(overlap >= NEAR, WRONG_BOX, BACKGROUND))
        kind[ranking.true[0]] = TRUE
        return kind

    def compute_loss_breakdown(self):
        """What each kind of mistake costs: DataFrame action_id, action, group, ground_truth, AP, background, wrong_box,
        wrong_action, ranking, missed_people, a row per action with ground truth; the last six add up to 1.

        AP is the mean over the ground truth of the precision at which each box is found, 0 where it isn't. What a found
        one lacks to precision 1 is shared among the false positives ranked above it, by kind; one that isn't found is
        missed_people (no box near), wrong_action (its box has no row for the action) or wrong_box.
        """
        rows = [self._losses(action) for action in self.actions if self.report.rankings[action].n_gt]
        return pd.DataFrame(rows, columns=["action_id", "action", "group", "ground_truth", "AP", *KINDS[1:]])

    def _losses(self, action):
        ranking, k = self.report.rankings[action], self.actions.index(action)
        kind, true = self.classify_detections(action), ranking.true[0]
        at = np.flatnonzero(true)
        precision = np.arange(1, len(at) + 1) / (at + 1)
        peaks = np.flatnonzero(precision == np.maximum.accumulate(precision[::-1])[::-1])
        read = at[peaks[np.searchsorted(peaks, np.arange(len(at)))]]  # where the envelope takes its value from
        lost = [(np.cumsum(kind == wrong)[read] / (read + 1)).sum() for wrong in range(1, MISSED)] + [0.0]

        people = np.setdiff1d(self.person[np.flatnonzero(self.gt["action_id"] == action)], self._claimed(ranking, k))
        missed = (self.found_iou[people] < NEAR).sum()
        unscored = ((self.found_iou[people] >= self.iou) & ~self._scored(people, k)).sum()
        lost[MISSED - 1] += missed
        lost[WRONG_ACTION - 1] += unscored
        lost[WRONG_BOX - 1] += ranking.n_gt - len(at) - missed - unscored
        ap = compute_average_precision(true, ranking.scores, ranking.n_gt)
        name, group = self.report.label_map[action], get_action_groups(self.report.label_map)[action]
        return action, name, group, ranking.n_gt, ap, *(share / ranking.n_gt for share in lost)

    def _claimed(self, ranking, k):
        """People found by a true positive: of those near its box who do the action the one it overlaps most."""
        boxes = self.box[ranking.rows[ranking.true[0]]]
        doing = self.labels[self.pair_person, k] if len(self.pair_person) else np.zeros(0, bool)
        person, _ = _best_of(self.pair_box[doing], self.pair_person[doing], self.pair_iou[doing], len(self.box_row))
        return person[boxes]

    def _scored(self, people, k):
        """Whether the box nearest to each person has a score for the action."""
        return np.isfinite(self.scores[self.nearest_box[people], k]) if len(self.scores) else people < 0

    def compute_oracle_map(self):
        """AP if one thing were perfect: DataFrame action_id, action, AP, perfect_boxes, perfect_actions; the mAPs are
        in `.attrs`, by the same names.

        perfect_boxes: every annotated person has its own box, scored as the nearest detected box was (0 if none was
        near), and there is nothing else. perfect_actions: the detected boxes as they are, each scored for what its
        person does (IoU at least the metric's), the better of two boxes higher, and for nothing else.
        """
        people = self.gt.iloc[self.person_row][[*KEYFRAME_COLUMNS, *BOX_COLUMNS]].reset_index(drop=True)
        near = self.found_iou >= NEAR
        scores = np.where(near[:, None], self.scores[self.nearest_box] if len(self.scores) else 0.0, 0.0)
        boxes = self.det.iloc[self.box_row][[*KEYFRAME_COLUMNS, *BOX_COLUMNS]].reset_index(drop=True)
        right = self._nearest_labels() & (self.near_iou >= self.iou)[:, None]
        order = np.argsort(-self.near_iou, kind="stable")  # a person with two boxes is found by the better one
        perfect = {
            "perfect_boxes": self._table(
                people, np.where(np.isfinite(scores), scores, 0.0), np.ones(scores.shape, bool)
            ),
            "perfect_actions": self._table(boxes.iloc[order], self.near_iou[order, None] * right[order], right[order]),
        }
        table = self.report.per_class[["action_id", "action", "AP"]].copy()
        table.attrs["AP"] = self.report.mAP
        for name, detections in perfect.items():
            report = evaluate(self.gt, detections, self.report.label_map, None, self.protocol, self.iou)
            table[name] = report.per_class["AP"]
            table.attrs[name] = report.mAP
        return table[table["AP"].notna()].reset_index(drop=True)

    def _table(self, boxes, scores, mask):
        """A detections table of boxes (N rows) with scores (N,K) where mask (N,K)."""
        row, k = np.nonzero(mask)
        return boxes.iloc[row].reset_index(drop=True).assign(action_id=np.array(self.actions)[k], score=scores[row, k])

    def compare_with_training(self, train):
        """AP beside the boxes to learn from: DataFrame action_id, action, group, AP, training_boxes."""
        counts = read_ava_csv(train, "ground_truth")["action_id"].value_counts()
        table = self.report.per_class[["action_id", "action", "group", "AP"]].dropna(subset="AP")
        boxes = table["action_id"].map(counts).fillna(0).astype(np.int64)
        return table.assign(training_boxes=boxes).reset_index(drop=True)

    def find_confusions(self, n=20):
        """The n commonest: DataFrame does_id, does, taken_for_id, taken_for, people, share, mean_score.

        On a right box, an action the person doesn't do, scored above everything they do; share is of the right boxes of
        all who do `does`."""
        boxes = np.flatnonzero(self.near_iou >= self.iou)
        labels = self._nearest_labels()[boxes]
        confident = (self.scores[boxes] > self.best_own[boxes, None]) & ~labels
        scores = np.where(confident, self.scores[boxes], 0)
        people = labels.T.astype(float) @ confident  # (K does, K taken for)
        total = labels.T.astype(float) @ scores
        does, taken = np.unravel_index(np.argsort(-people, axis=None, kind="stable")[:n], people.shape)
        names = list(self.report.label_map.values())
        table = pd.DataFrame(
            {
                "does_id": [self.actions[i] for i in does],
                "does": [names[i] for i in does],
                "taken_for_id": [self.actions[i] for i in taken],
                "taken_for": [names[i] for i in taken],
                "people": people[does, taken].astype(int),
                "share": people[does, taken] / np.maximum(labels.sum(axis=0)[does], 1),
                "mean_score": total[does, taken] / np.maximum(people[does, taken], 1),
            }
        )
        return table[table["people"] > 0].reset_index(drop=True)

    def find_top_mistakes(self, n=20, per_person=1):
        """The n most confident mistakes, ready to be drawn: DataFrame video_id, timestamp, x1, y1, x2, y2 (detection),
        action_id, score, action, kind, does (what the nearest person does), iou, gt_x1, gt_y1, gt_x2, gt_y2 (NaN
        without one). At most `per_person` for one action and person (on background: and box)."""
        parts = []
        for action in self.actions:
            rows, kind = self.report.rankings[action].rows, self.classify_detections(action)
            parts += [pd.DataFrame({"row": rows[kind != TRUE][: 50 * n], "kind": kind[kind != TRUE][: 50 * n]})]
        wrong = pd.concat(parts, ignore_index=True)
        box = self.box[wrong["row"]]
        wrong["score"] = self.det["score"].to_numpy()[wrong["row"]]
        wrong["person"] = np.where(self.near_iou[box] >= NEAR, self.nearest[box], -1 - box)
        wrong["action_id"] = self.det["action_id"].to_numpy()[wrong["row"]]
        wrong = wrong.sort_values("score", ascending=False, kind="stable")
        wrong = wrong[wrong.groupby(["person", "action_id"]).cumcount() < per_person].head(n)
        return self._drawable(wrong)

    def _drawable(self, wrong):
        rows, box = wrong["row"].to_numpy(), self.box[wrong["row"]]
        near = self.near_iou[box] >= NEAR
        names = np.array(list(self.report.label_map.values()), object)
        table = self.det.iloc[rows][[*KEYFRAME_COLUMNS, *BOX_COLUMNS, "action_id", "score"]].reset_index(drop=True)
        labels = self._nearest_labels()[box]
        person_boxes = np.full((len(rows), 4), np.nan)
        if near.any():
            person_boxes[near] = self.gt[BOX_COLUMNS].to_numpy()[self.person_row[self.nearest[box[near]]]]
        return table.assign(
            action=table["action_id"].map(self.report.label_map),
            kind=[KINDS[kind] for kind in wrong["kind"]],
            does=[", ".join(names[row]) for row in labels],
            iou=self.near_iou[box],
            **{f"gt_{column}": person_boxes[:, i] for i, column in enumerate(BOX_COLUMNS)},
        )


def _best_of(left, right, iou, n):
    """For each of n things on the left the one on the right it overlaps most (0 if none), and the IoU: (n,), (n,)."""
    best, overlap = np.zeros(n, int), np.zeros(n)
    order = np.lexsort((right, -iou, left))
    first = order[np.r_[True, np.diff(left[order]) != 0]] if len(order) else order
    best[left[first]], overlap[left[first]] = right[first], iou[first]
    return best, overlap
