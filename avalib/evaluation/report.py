"""What an evaluation says: average precision, its curves, groups, intervals and comparisons, as text, HTML and JSON."""

import html
import json
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from avalib.data.labels import get_action_groups
from avalib.utils.files import write_text
from avalib.utils.process import check_memory

MAX_DRAWS = 100_000  # of videos in a bootstrap
_CELLS = 1 << 24  # numbers held at once in a bootstrap


@dataclass(frozen=True)
class Ranking:
    """One action's detections in falling score.

    rows (N,) row numbers in the detections; scores (N,); true (T,N) true positives at each IoU threshold; gt_video (V,)
    how many ground-truth boxes each video has.
    """

    rows: np.ndarray
    scores: np.ndarray
    true: np.ndarray
    gt_video: np.ndarray

    @property
    def n_gt(self):
        return int(self.gt_video.sum())


def compute_pr_steps(true, scores, grouped):
    """Indices (P,) into a ranking after which precision and recall are read: each true positive, or, grouped, the last
    detection of each score that holds one. Nothing between two of them can raise the envelope."""
    hits = np.flatnonzero(true)
    if not grouped or not len(hits):
        return hits
    ends = np.flatnonzero(np.r_[scores[1:] != scores[:-1], True])
    return np.unique(ends[np.searchsorted(ends, hits)])


def compute_average_precision(true, scores, n_gt, grouped=False):
    """Area under the precision envelope (VOC, all points), 0..1; NaN without ground truth.

    true (N,) bool and scores (N,) in falling score; grouped: detections of one score enter together.
    """
    if n_gt == 0:
        return np.nan
    at = compute_pr_steps(true, scores, grouped)
    hits = np.cumsum(true)[at]
    envelope = np.maximum.accumulate((hits / (at + 1))[::-1])[::-1]
    return float((np.diff(hits, prepend=0) * envelope).sum() / n_gt)


@dataclass
class Report:
    """The result of `metrics.evaluate` (and of `tubes.evaluate_tubes`).

    label_map {action_id: name}; rankings {action_id: Ranking}; thresholds, the IoUs; video (rows,): the number of each
    detection's video; undetected: the AP of an action that has ground truth and no detection (0, or NaN: left out);
    notes: what was dropped, and why; counts; measure_recall(missing="whole_frame" or "miss", exclude=False).
    """

    protocol: str
    label_map: dict
    rankings: dict
    thresholds: tuple
    video: np.ndarray
    ties: str = "stable"
    undetected: float = 0.0
    notes: list = field(default_factory=list)
    counts: dict = field(default_factory=dict)
    measure_recall: object = dict

    @cached_property
    def _ap(self):
        """AP (K,T)."""
        return np.array([[self._one_ap(action, t) for t in range(len(self.thresholds))] for action in self.label_map])

    def _one_ap(self, action, t):
        ranking = self.rankings[action]
        if ranking.n_gt and not len(ranking.rows):
            return self.undetected
        return compute_average_precision(ranking.true[t], ranking.scores, ranking.n_gt, self.ties == "grouped")

    @cached_property
    def mAP(self):
        """Mean over the actions that count (and over the thresholds), 0..1; NaN if none counts."""
        return _mean(self._ap)

    @cached_property
    def mAP_by_iou(self):
        """{IoU threshold: mAP}."""
        return {t: _mean(self._ap[:, i]) for i, t in enumerate(self.thresholds)}

    @cached_property
    def per_class(self):
        """DataFrame, a row per action: action_id, action, group, AP (NaN: doesn't count), ground_truth and detections
        (rows that entered), recall (at the first IoU); with several IoUs AP is their mean, and AP@0.50 … follow."""
        rankings = [self.rankings[action] for action in self.label_map]
        n_gt = np.array([ranking.n_gt for ranking in rankings], np.int64)
        found = np.array([ranking.true[0].sum() for ranking in rankings], np.float64)
        table = pd.DataFrame(
            {
                "action_id": list(self.label_map),
                "action": list(self.label_map.values()),
                "group": list(get_action_groups(self.label_map).values()),
                "AP": self._ap.mean(axis=1) if len(self._ap) else [],
                "ground_truth": n_gt,
                "detections": np.array([len(ranking.rows) for ranking in rankings], np.int64),
                "recall": np.divide(found, n_gt, out=np.full(len(n_gt), np.nan), where=n_gt > 0),
            }
        )
        if len(self.thresholds) > 1:
            table = table.assign(**{f"AP@{t:.2f}": self._ap[:, i] for i, t in enumerate(self.thresholds)})
        return table

    @property
    def mAP_by_group(self):
        """{"pose": mAP, "object": mAP, "person": mAP} of the groups that are there."""
        return {g: _mean(rows["AP"]) for g, rows in self.per_class.groupby("group", sort=False)}

    @cached_property
    def recall(self):
        """{"Recall@0.5@100": …, "AR@100": …}: of the boxes, actions ignored; computed when first asked for."""
        return self.measure_recall()

    def compute_pr_curve(self, action, threshold=None):
        """Precision-recall curve of one action (id or name): DataFrame score, precision, recall, envelope (0..1), a row
        per detection in falling score. Raises KeyError for an action that isn't in the label map."""
        ranking = self.rankings[self._find(action)]
        if threshold is not None and threshold not in self.thresholds:
            raise ValueError(f"threshold {threshold!r}: the report has the IoUs {self.thresholds}")
        t = 0 if threshold is None else self.thresholds.index(threshold)
        hits = np.cumsum(ranking.true[t])
        precision = hits / np.arange(1, len(hits) + 1)
        recall = hits / ranking.n_gt if ranking.n_gt else np.full(len(hits), np.nan)
        table = pd.DataFrame({"score": ranking.scores, "precision": precision, "recall": recall})
        if self.ties == "grouped" and len(table):
            table = table[np.r_[ranking.scores[1:] != ranking.scores[:-1], True]].reset_index(drop=True)
        return table.assign(envelope=table["precision"][::-1].cummax()[::-1])

    def _find(self, action):
        for number, name in self.label_map.items():
            if action in (number, name):
                return number
        raise KeyError(
            f"action {action!r}: not in the label map of {len(self.label_map)}: {list(self.label_map.values())}"
        )

    def compare(self, other):
        """Another report beside this one: DataFrame action_id, action, group, ground_truth, AP, AP_other, difference
        (AP_other - AP), the largest change first; attrs["mAP_difference"]."""
        columns = ["action_id", "action", "group", "ground_truth", "AP"]
        table = self.per_class[columns].merge(
            other.per_class[["action_id", "AP"]], on="action_id", how="outer", suffixes=("", "_other")
        )
        table["difference"] = table["AP_other"] - table["AP"]
        table = table.sort_values("difference", key=abs, ascending=False, kind="stable", ignore_index=True)
        table.attrs["mAP_difference"] = other.mAP - self.mAP
        return table

    def bootstrap(self, n=1000, level=0.95, seed=0):
        """Confidence interval of the mAP by drawing videos with replacement, n times (Source: Efron 1979).

        Returns {"mAP", "low", "high", "std", "level", "n", "samples" (n,)}; an action without ground truth in a draw is
        left out of that draw.
        """
        if not 2 <= n <= MAX_DRAWS or not 0 < level < 1:
            raise ValueError(
                f"n {n!r}, level {level!r}: expected 2..{MAX_DRAWS:,} (MAX_DRAWS) draws and a level in 0..1"
            )
        n_videos = max((len(r.gt_video) for r in self.rankings.values()), default=0)
        if n_videos < 2:
            raise ValueError(f"{n_videos} video(s): an interval by resampling videos needs at least 2")
        check_memory(8 * n * (2 * n_videos + len(self.label_map) * len(self.thresholds)), "draws and their scores")
        rng = np.random.default_rng(seed)
        draws = rng.multinomial(n_videos, np.full(n_videos, 1 / n_videos), size=n).T.astype(np.float64)  # (V,n)
        aps = [self._resampled(a, t, draws) for a in self.label_map for t in range(len(self.thresholds))]
        counted = ~np.isnan(aps)
        samples = np.where(counted, aps, 0).sum(axis=0) / np.maximum(counted.sum(axis=0), 1)
        low, high = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2])
        result = {"mAP": self.mAP, "low": float(low), "high": float(high), "std": float(samples.std(ddof=1))}
        return result | {"level": level, "n": n, "samples": samples}

    def _resampled(self, action, t, draws):
        """AP (n,) of one action with every video counted draws[video] times; draws (V,n)."""
        ranking = self.rankings[action]
        n_gt = ranking.gt_video @ draws
        if not len(ranking.rows):
            return np.where(n_gt > 0, self.undetected, np.nan)
        at = compute_pr_steps(ranking.true[t], ranking.scores, self.ties == "grouped")
        entered = _entered(ranking, ranking.true[t], at, self.video, draws)
        ap, width = np.empty(draws.shape[1]), max(1, min(64, _CELLS // (len(ranking.rows) + 1)))
        for start in range(0, draws.shape[1], width):  # bounds the memory
            part = slice(start, start + width)
            taken, seen = entered(part)
            precision = taken / np.maximum(seen, 1)
            envelope = np.maximum.accumulate(precision[::-1])[::-1]
            ap[part] = (np.diff(taken, axis=0, prepend=0) * envelope).sum(axis=0)
        return np.divide(ap, n_gt, out=np.full(len(ap), np.nan), where=n_gt > 0)

    def summary(self):
        """The report as text: the mAP, by group, what was dropped, best and worst actions."""
        lines = [self._headline(), "  " + "  ".join(f"{g} {v:.4f}" for g, v in self.mAP_by_group.items())]
        lines += [f"  {key}: {value:.4f}" for key, value in self.recall.items()]
        counted = self.per_class.dropna(subset="AP").sort_values("AP", ascending=False, kind="stable")
        lines += [f"  {row.AP:.4f}  {row.action} ({row.ground_truth} boxes)" for row in counted.itertuples()]
        return "\n".join(lines + [f"note: {note}" for note in self.notes])

    def __repr__(self):
        return f"<Report: {self._headline()}; summary() tells more>"

    def _headline(self):
        ious = ", ".join(f"{t:g}" for t in self.thresholds)
        n = int((~np.isnan(self._ap).all(axis=1)).sum())
        ties = "" if self.ties == "stable" else f", ties {self.ties}"
        return f"mAP@{ious} = {self.mAP:.4f} over {n} actions (protocol {self.protocol}{ties})"

    def to_dict(self):
        """Everything as plain values; NaN is None."""
        per_class = self.per_class.astype(object).where(self.per_class.notna(), None).to_dict("records")
        return {
            "protocol": self.protocol, "ties": self.ties, "iou": list(self.thresholds), "mAP": _plain(self.mAP),
            "mAP_at": {f"{t:g}": _plain(v) for t, v in self.mAP_by_iou.items()},
            "groups": {g: _plain(v) for g, v in self.mAP_by_group.items()}, "recall": dict(self.recall),
            "counts": dict(self.counts), "notes": list(self.notes), "per_class": per_class,
        }  # fmt: skip

    def to_json(self, path=None):
        """The report as JSON text; also written to `path` if given."""
        text = json.dumps(self.to_dict(), indent=1, default=lambda value: value.item())
        if path is not None:
            write_text(path, text + "\n")
        return text

    def _repr_html_(self):
        table = self.per_class.sort_values("AP", ascending=False, kind="stable", na_position="last")
        groups = " &nbsp; ".join(f"{g} <b>{v:.4f}</b>" for g, v in self.mAP_by_group.items())
        cells = "".join(
            f"<tr><td style='text-align:left'>{row.action_id} {html.escape(str(row.action))}</td><td>{row.group}</td>"
            f"<td>{_bar(row.AP)}</td><td>{row.ground_truth:,}</td><td>{row.detections:,}</td>"
            f"<td>{_short(row.recall)}</td></tr>"
            for row in table.itertuples()
        )
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in self.notes)
        head = "".join(f"<th>{name}</th>" for name in ("action", "group", "AP", "ground truth", "detections", "recall"))
        return (
            f"<div><p><b>{html.escape(self._headline())}</b><br>{groups}</p><ul>{notes}</ul>"
            f"<table><thead><tr>{head}</tr></thead><tbody>{cells}</tbody></table></div>"
        )


def _entered(ranking, true, at, video, draws):
    """A function: slice of the draws (V,n) -> true positives (P,n) and detections (P,n) entered up to each step.

    Two ways to the same whole numbers: by video (P,V) where that is small, else by detection (N,n).
    """
    step, video = np.searchsorted(at, np.arange(len(ranking.rows))), video[ranking.rows]
    shape = len(at) + 1, len(draws)
    if np.prod(shape, dtype=float) <= _CELLS:
        cell = step * shape[1] + video  # how many detections of each video entered up to each step: (P,V)
        tables = [
            np.bincount(cell, weights, minlength=np.prod(shape)).reshape(shape)[:-1].cumsum(axis=0).astype(np.float64)
            for weights in (true, None)
        ]
        return lambda part: [table @ draws[:, part] for table in tables]

    def by_detection(part):
        weights = draws[video, part]
        return (weights * true[:, None]).cumsum(axis=0)[at], weights.cumsum(axis=0)[at]

    return by_detection


def _mean(values):
    values = np.asarray(values, np.float64)
    return float(values[~np.isnan(values)].mean()) if (~np.isnan(values)).any() else float("nan")


def _plain(value):
    return None if np.isnan(value) else value


def _short(value):
    return "–" if np.isnan(value) else f"{value:.3f}"


def _bar(value):
    if np.isnan(value):
        return "–"
    style = f"background:linear-gradient(90deg,#9ecae1 {100 * value:.1f}%,transparent 0);padding:0 3em 0 .3em"
    return f"<span style='{style}'>{value:.4f}</span>"
