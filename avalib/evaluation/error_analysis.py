"""Where the mAP goes: the cost of each kind of mistake, and what perfect boxes or perfect classification would give.

    analysis = analyze_errors("gt.csv", "detections.csv")
    analysis.compute_loss_breakdown()
    analysis.find_top_mistakes()

A false positive is classified by the annotated person that its box overlaps most, whatever that person does:
background (IoU below 0.1), localization (IoU below the metric's threshold, or a person that is matched already), or, on
a well-placed box, classification (its score is at least as high as the scores of all actions that this person does) or
ranking (its score is lower than one of those, but higher than some true positives).
"""

import numpy as np
import pandas as pd

from avalib.data.ava_csv import read_ava_csv
from avalib.data.exclusions import read_exclusions
from avalib.data.labels import get_action_groups
from avalib.data.row_checks import BOX_COLUMNS, KEYFRAME_COLUMNS, NO_ACTION
from avalib.evaluation.average_precision import compute_average_precision
from avalib.evaluation.evaluator import LabelMap, Source, evaluate
from avalib.evaluation.frame_index import check_thresholds, resolve_label_map
from avalib.evaluation.labeled_boxes import MIN_IOU, LabeledBoxes, find_distinct_boxes, find_overlaps
from avalib.evaluation.mistake_kinds import FALSE_POSITIVES, MISTAKES, Kind
from avalib.evaluation.perfect_parts import build_perfect_actions, build_perfect_boxes
from avalib.evaluation.protocols import Protocol, get_protocol
from avalib.evaluation.row_groups import drop_keyframes
from avalib.utils.process import check_memory


def analyze_errors(
    ground_truth: Source,
    detections: Source,
    label_map: LabelMap = None,
    exclusions: Source | None = None,
    protocol: str | Protocol = "mmaction",
    iou: float = 0.5,
) -> "ErrorAnalysis":
    """Analyze the mistakes in detections.

    Parameters
    ----------
    ground_truth, detections, label_map, exclusions, protocol
        See `evaluator.evaluate`.
    iou : float
        One IoU threshold.

    Returns
    -------
    ErrorAnalysis

    Raises
    ------
    ValueError
        For several thresholds, and as `evaluate`.
    """
    label_map = resolve_label_map(label_map)
    thresholds = check_thresholds(iou)
    if len(thresholds) > 1:
        raise ValueError(f"iou {iou!r}: expected one threshold; the analysis is of one")
    gt = read_ava_csv(ground_truth, "ground_truth")
    det = read_ava_csv(detections, "detections")
    if exclusions is not None:
        excluded = read_exclusions(exclusions)
        det = drop_keyframes(det, excluded)
        if get_protocol(protocol)[1].excluded == "both":
            gt = drop_keyframes(gt, excluded)
    # the rankings, whose detections are classified
    report = evaluate(gt, det, label_map, protocol=protocol, iou=thresholds)

    # number the frames of both tables, then the distinct boxes in them
    gt = gt[gt["action_id"] != NO_ACTION].reset_index(drop=True)
    keyframes = pd.concat([det[KEYFRAME_COLUMNS], gt[KEYFRAME_COLUMNS]])
    frame = keyframes.groupby(KEYFRAME_COLUMNS, sort=False).ngroup().to_numpy()
    boxes = find_distinct_boxes(frame[: len(det)], det[BOX_COLUMNS].to_numpy())
    people = find_distinct_boxes(frame[len(det) :], gt[BOX_COLUMNS].to_numpy())
    check_memory(8 * len(boxes) * len(label_map), "scores of every box for every action")
    return ErrorAnalysis(
        report=report,
        protocol=protocol,
        gt=gt,
        det=det,
        people=people,
        boxes=boxes,
        overlaps=find_overlaps(boxes, people),
    )


class ErrorAnalysis(LabeledBoxes):
    """Detections beside the annotated people, and what the mistakes cost. Made by `analyze_errors`."""

    def classify_detections(self, action: int) -> np.ndarray:
        """Classify each detection in an action's ranking: its `Kind` (N,)."""
        # each detection's box, and the person that it overlaps most
        ranking = self.report.rankings[action]
        k = self.actions.index(action)
        box = self.boxes.of_row[ranking.rows]
        person = self.best_person.index[box]
        iou = self.best_person.iou[box]

        # on a well-placed box: another action scored lower than this one, or a correct one scored higher
        is_top = self.scores[box, k] >= self.best_correct_score[box]
        kind = np.where(is_top, Kind.CLASSIFICATION, Kind.RANKING)
        # the person does the action, but another box is matched
        if len(self.people):
            kind[self.labels[person, k]] = Kind.LOCALIZATION
        # on a badly placed box
        kind[iou < self.iou] = Kind.LOCALIZATION
        kind[iou < min(MIN_IOU, self.iou)] = Kind.BACKGROUND
        kind[ranking.true[0]] = Kind.TRUE_POSITIVE
        return kind

    def compute_loss_breakdown(self) -> pd.DataFrame:
        """How much AP each kind of mistake costs.

        AP is the mean, over the ground-truth boxes, of the precision at which each one is matched (0 if it is not).
        The precision that a matched box lacks to 1 is attributed to the false positives ranked above it, by kind. A
        box that is not matched counts as missed (no detected box near), classification (its box has no detection of
        the action) or localization.

        Returns
        -------
        DataFrame
            action_id, action, group, ground_truth, AP, background, localization, classification, ranking, missed; one
            row per action with ground truth. AP and the mistakes add up to 1.
        """
        rows = [self._divide_loss(action) for action in self.actions if self.report.rankings[action].n_gt]
        return pd.DataFrame(rows, columns=["action_id", "action", "group", "ground_truth", "AP", *MISTAKES])

    def _divide_loss(self, action):
        """One row of `compute_loss_breakdown`."""
        ranking = self.report.rankings[action]
        kind = self.classify_detections(action)

        # for each true positive the rank at which the envelope of the precision has its value
        hits = np.flatnonzero(ranking.true[0])
        precision = np.arange(1, len(hits) + 1) / (hits + 1)
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        peaks = np.flatnonzero(precision == envelope)
        ranks = hits[peaks[np.searchsorted(peaks, np.arange(len(hits)))]]

        # the share of each kind of false positive up to that rank, summed over the true positives
        loss = {wrong: (np.cumsum(kind == wrong)[ranks] / (ranks + 1)).sum() for wrong in FALSE_POSITIVES}

        # the ground-truth boxes without a true positive
        n_missed, n_unscored = self._count_unmatched(action)
        loss[Kind.MISSED] = n_missed
        loss[Kind.CLASSIFICATION] += n_unscored
        loss[Kind.LOCALIZATION] += ranking.n_gt - len(hits) - n_missed - n_unscored

        row = {
            "action_id": action,
            "action": self.report.label_map[action],
            "group": get_action_groups(self.report.label_map)[action],
            "ground_truth": ranking.n_gt,
            "AP": compute_average_precision(ranking.true[0], ranking.scores, ranking.n_gt),
        }
        return row | {wrong.name.lower(): value / ranking.n_gt for wrong, value in loss.items()}

    def _count_unmatched(self, action):
        """Unmatched people who do an action: the number without a box near, and with a box without its score."""
        k = self.actions.index(action)
        # the people who do it and are no true positive's match
        performers = self.people.of_row[np.flatnonzero(self.gt["action_id"] == action)]
        people = np.setdiff1d(performers, self._find_matched_people(action))
        # does the best box of each have a score for the action?
        iou = self.best_box.iou[people]
        is_scored = np.zeros(len(people), bool)
        if len(self.boxes):
            is_scored = np.isfinite(self.scores[self.best_box.index[people], k])
        return (iou < MIN_IOU).sum(), ((iou >= self.iou) & ~is_scored).sum()

    def _find_matched_people(self, action):
        """The person of each true positive: of those who do the action the one that its box overlaps most."""
        ranking = self.report.rankings[action]
        box = self.boxes.of_row[ranking.rows[ranking.true[0]]]
        does_action = self.labels[:, self.actions.index(action)]
        return self.overlaps.select_people(does_action).find_best_person().index[box]

    def compute_oracle_map(self) -> pd.DataFrame:
        """AP if one part of the detector were perfect.

        perfect_boxes: each annotated person has exactly one box, with the scores of the detected box that overlaps the
        person most (0 if none is near). perfect_actions: each detected box is scored for the actions that its person
        does (at an IoU of at least the metric's) and for no others; of two boxes the better placed one scores higher.

        Returns
        -------
        DataFrame
            action_id, action, AP, perfect_boxes, perfect_actions; `.attrs` has the mAPs by the last three names.
        """
        table = self.report.per_class[["action_id", "action", "AP"]].copy()
        table.attrs["AP"] = self.report.mAP
        perfect = {"perfect_boxes": build_perfect_boxes(self), "perfect_actions": build_perfect_actions(self)}
        for name, detections in perfect.items():
            report = evaluate(self.gt, detections, self.report.label_map, protocol=self.protocol, iou=self.iou)
            table[name] = report.per_class["AP"]
            table.attrs[name] = report.mAP
        return table[table["AP"].notna()].reset_index(drop=True)

    def compare_with_training(self, train: Source) -> pd.DataFrame:
        """AP beside the number of training boxes: action_id, action, group, AP, training_boxes.

        train: ground truth of the training split, a path or a table.
        """
        counts = read_ava_csv(train, "ground_truth")["action_id"].value_counts()
        table = self.report.per_class[["action_id", "action", "group", "AP"]].dropna(subset="AP")
        n_boxes = table["action_id"].map(counts).fillna(0).astype(np.int64)
        return table.assign(training_boxes=n_boxes).reset_index(drop=True)

    def find_confusions(self, n: int = 20) -> pd.DataFrame:
        """The n most frequent confusions of two actions.

        A confusion is, on a well-placed box, an action that the person does not do, with a higher score than all
        actions that the person does.

        Returns
        -------
        DataFrame
            does_id, does, taken_for_id, taken_for, people, share, mean_score; share is of all well-placed boxes of
            people who do `does`.
        """
        boxes = np.flatnonzero(self.best_person.iou >= self.iou)
        labels = self.box_labels[boxes]
        # (boxes,K) actions that the person does not do, scored above all that the person does
        is_confused = (self.scores[boxes] > self.best_correct_score[boxes, None]) & ~labels
        scores = np.where(is_confused, self.scores[boxes], 0)

        # how many boxes, and the sum of their scores, for each pair of actions: (K does, K taken for)
        count = labels.T.astype(float) @ is_confused
        total = labels.T.astype(float) @ scores
        # the n largest counts of the matrix
        most_frequent = np.argsort(-count, axis=None, kind="stable")[:n]
        does, taken_for = np.unravel_index(most_frequent, count.shape)
        action_ids = np.array(self.actions)
        names = self.action_names
        table = pd.DataFrame(
            {
                "does_id": action_ids[does],
                "does": names[does],
                "taken_for_id": action_ids[taken_for],
                "taken_for": names[taken_for],
                "people": count[does, taken_for].astype(int),
                "share": count[does, taken_for] / np.maximum(labels.sum(axis=0)[does], 1),
                "mean_score": total[does, taken_for] / np.maximum(count[does, taken_for], 1),
            }
        )
        return table[table["people"] > 0].reset_index(drop=True)

    def find_top_mistakes(self, n: int = 20, per_person: int = 1) -> pd.DataFrame:
        """The n false positives with the highest scores.

        At most `per_person` for one action and person (on the background: and box).

        Returns
        -------
        DataFrame
            video_id, timestamp, x1, y1, x2, y2 (the detection), action_id, score, action, kind, does (the actions of
            the person it overlaps most), iou, gt_x1, gt_y1, gt_x2, gt_y2 (that person's box; NaN on the background).
        """
        # the highest false positives of each action
        parts = []
        for action in self.actions:
            kind = self.classify_detections(action)
            is_wrong = kind != Kind.TRUE_POSITIVE
            # many times n, as those of a person that is in the list already are dropped below
            part = {"row": self.report.rankings[action].rows[is_wrong][: 50 * n], "kind": kind[is_wrong][: 50 * n]}
            parts.append(pd.DataFrame(part))
        mistakes = pd.concat(parts, ignore_index=True)
        rows = mistakes["row"].to_numpy()
        # score, action and person of each
        box = self.boxes.of_row[rows]
        is_near = self.best_person.iou[box] >= MIN_IOU
        mistakes = mistakes.assign(
            score=self.det["score"].to_numpy()[rows],
            action_id=self.det["action_id"].to_numpy()[rows],
            person=np.where(is_near, self.best_person.index[box], -1 - box),  # negative: a box on the background
        )
        # the highest first, and at most per_person of one person and action
        mistakes = mistakes.sort_values("score", ascending=False, kind="stable")
        repetition = mistakes.groupby(["person", "action_id"]).cumcount()
        mistakes = mistakes[repetition < per_person].head(n)
        return self._describe_mistakes(mistakes["row"].to_numpy(), mistakes["kind"])

    def _describe_mistakes(self, rows, kinds):
        """The table of `find_top_mistakes` for some rows of the detections."""
        box = self.boxes.of_row[rows]
        iou = self.best_person.iou[box]
        is_near = iou >= MIN_IOU
        person_boxes = np.full((len(rows), 4), np.nan)
        person_boxes[is_near] = self.people.boxes[self.best_person.index[box[is_near]]]
        table = self.det.iloc[rows][[*KEYFRAME_COLUMNS, *BOX_COLUMNS, "action_id", "score"]].reset_index(drop=True)
        return table.assign(
            action=table["action_id"].map(self.report.label_map),
            kind=[Kind(kind).name.lower() for kind in kinds],
            does=[", ".join(self.action_names[labels]) for labels in self.box_labels[box]],
            iou=iou,
            **{f"gt_{column}": person_boxes[:, i] for i, column in enumerate(BOX_COLUMNS)},
        )
