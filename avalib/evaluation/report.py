"""The result of an evaluation: mAP, tables, curves, intervals, comparisons; as text, HTML and JSON."""

import html
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from avalib.data.labels import get_action_groups
from avalib.evaluation.average_precision import compute_average_precision, compute_mean, compute_resampled_ap
from avalib.utils.files import write_text
from avalib.utils.plurals import format_count
from avalib.utils.process import check_memory

MAX_DRAWS = 100_000  # of videos in a bootstrap
BAR_COLOR = "rgba(66,146,198,.4)"  # behind an AP in a notebook: the text is legible on it in light and dark themes


@dataclass
class Report:
    """The result of `avalib.evaluate` (and of `video_map.evaluate_tubes`).

    The main results are `mAP`, `per_class`, `recall` and `summary()`.
    """

    protocol: str
    label_map: dict  # {action_id: name} of the evaluated actions
    rankings: dict  # {action_id: Ranking}
    thresholds: tuple  # IoU thresholds
    video: np.ndarray  # the video number of each row in the table of detections
    ties: str = "stable"  # or "grouped"
    undetected: float = 0.0  # AP of an action with ground truth and without detections; NaN: left out of the mean
    notes: list = field(default_factory=list)  # what was left out, and why
    counts: dict = field(default_factory=dict)  # of rows, videos and keyframes
    measure_recall: Callable = dict  # (missing="whole_frame" or "miss", exclude=False) -> recall of the boxes

    @cached_property
    def _ap(self):
        """AP (K,T) of each action at each threshold."""
        thresholds = range(len(self.thresholds))
        return np.array([[self._compute_ap(action, t) for t in thresholds] for action in self.label_map])

    def _compute_ap(self, action, t):
        ranking = self.rankings[action]
        if ranking.n_gt and not len(ranking.rows):
            return self.undetected
        return compute_average_precision(ranking.true[t], ranking.scores, ranking.n_gt, self.ties == "grouped")

    @cached_property
    def mAP(self) -> float:
        """Mean AP over the actions with ground truth (and over the thresholds), 0..1; NaN if there is none."""
        return compute_mean(self._ap)

    @cached_property
    def mAP_by_iou(self) -> dict:
        """{IoU threshold: mAP}."""
        return {threshold: compute_mean(self._ap[:, t]) for t, threshold in enumerate(self.thresholds)}

    @property
    def mAP_by_group(self) -> dict:
        """{"pose": mAP, "object": mAP, "person": mAP}, for the groups in the label map."""
        return {group: compute_mean(rows["AP"]) for group, rows in self.per_class.groupby("group", sort=False)}

    @cached_property
    def per_class(self) -> pd.DataFrame:
        """One row per action: action_id, action, group, AP, ground_truth, detections, recall.

        AP is NaN without ground truth. ground_truth and detections count the boxes that entered. recall is at the
        first IoU threshold. With several thresholds AP is their mean, and columns AP@0.50, … follow.
        """
        # (K,) ground-truth boxes, and true positives at the first threshold
        rankings = [self.rankings[action] for action in self.label_map]
        n_gt = np.array([ranking.n_gt for ranking in rankings], np.int64)
        n_true = np.array([ranking.true[0].sum() for ranking in rankings], np.float64)
        table = pd.DataFrame(
            {
                "action_id": list(self.label_map),
                "action": list(self.label_map.values()),
                "group": list(get_action_groups(self.label_map).values()),
                "AP": self._ap.mean(axis=1) if len(self._ap) else [],
                "ground_truth": n_gt,
                "detections": np.array([len(ranking.rows) for ranking in rankings], np.int64),
                "recall": np.divide(n_true, n_gt, out=np.full(len(n_gt), np.nan), where=n_gt > 0),
            }
        )
        if len(self.thresholds) > 1:
            table = table.assign(**{f"AP@{iou:.2f}": self._ap[:, t] for t, iou in enumerate(self.thresholds)})
        return table

    @cached_property
    def recall(self) -> dict:
        """{"Recall@0.5@100": …, "AR@100": …}, 0..1: of the boxes, actions ignored; computed at first use."""
        return self.measure_recall()

    def compute_pr_curve(self, action: int | str, threshold: float | None = None) -> pd.DataFrame:
        """Precision-recall curve of one action.

        Parameters
        ----------
        action : int or str
            Action id or name.
        threshold : float, optional
            One of the report's IoU thresholds; None: the first.

        Returns
        -------
        DataFrame
            score, precision, recall, envelope (0..1); one row per detection by falling score, or per score if ties
            are grouped.

        Raises
        ------
        KeyError
            If the action is not in the label map.
        """
        ranking = self.rankings[self._find_action_id(action)]
        if threshold is not None and threshold not in self.thresholds:
            raise ValueError(f"threshold {threshold!r}: the report has the IoUs {self.thresholds}")
        t = 0 if threshold is None else self.thresholds.index(threshold)
        # (N,) after each detection
        n_true = np.cumsum(ranking.true[t])
        precision = n_true / np.arange(1, len(n_true) + 1)
        recall = n_true / ranking.n_gt if ranking.n_gt else np.full(len(n_true), np.nan)
        table = pd.DataFrame({"score": ranking.scores, "precision": precision, "recall": recall})
        if self.ties == "grouped" and len(table):
            is_last_of_score = np.r_[ranking.scores[1:] != ranking.scores[:-1], True]
            table = table[is_last_of_score].reset_index(drop=True)
        return table.assign(envelope=table["precision"][::-1].cummax()[::-1])

    def _find_action_id(self, action):
        for action_id, name in self.label_map.items():
            if action in (action_id, name):
                return action_id
        names = list(self.label_map.values())
        raise KeyError(f"action {action!r}: not in the label map of {len(names)}: {names}")

    def compare(self, other: "Report") -> pd.DataFrame:
        """Compare with another report, action by action.

        Parameters
        ----------
        other : Report

        Returns
        -------
        DataFrame
            action_id, action, group, ground_truth, AP, AP_other, difference (AP_other - AP), the largest change
            first; `.attrs["mAP_difference"]` has the difference of the mAPs.
        """
        columns = ["action_id", "action", "group", "ground_truth", "AP"]
        table = self.per_class[columns].merge(
            other.per_class[["action_id", "AP"]], on="action_id", how="outer", suffixes=("", "_other")
        )
        table["difference"] = table["AP_other"] - table["AP"]
        table = table.sort_values("difference", key=abs, ascending=False, kind="stable", ignore_index=True)
        table.attrs["mAP_difference"] = other.mAP - self.mAP
        return table

    def bootstrap(self, n: int = 1000, level: float = 0.95, seed: int = 0) -> dict:
        """Confidence interval of the mAP by resampling the videos. Source: Efron 1979.

        Parameters
        ----------
        n : int
            Number of draws of as many videos as there are, with replacement.
        level : float
            Confidence level, 0..1.
        seed : int

        Returns
        -------
        dict
            mAP, low, high, std, level, n, samples (n,). An action without ground truth in a draw is left out of it.

        Raises
        ------
        ValueError
            If n or level is out of range, or if there is only one video.
        """
        if not 2 <= n <= MAX_DRAWS or not 0 < level < 1:
            raise ValueError(
                f"n {n!r}, level {level!r}: expected 2..{MAX_DRAWS:,} (MAX_DRAWS) draws and a level in 0..1"
            )
        n_videos = max((len(ranking.gt_video) for ranking in self.rankings.values()), default=0)
        if n_videos < 2:
            raise ValueError(f"{format_count(n_videos, 'video')}: an interval by resampling videos needs at least 2")
        n_scores = len(self.label_map) * len(self.thresholds)
        check_memory(8 * n * (2 * n_videos + n_scores), "draws and their scores")

        # how often each video is drawn: (V,n)
        rng = np.random.default_rng(seed)
        draws = rng.multinomial(n_videos, np.full(n_videos, 1 / n_videos), size=n).T.astype(np.float64)

        # AP of each action and threshold in each draw: (K*T,n), then the mean of those that are not NaN
        aps = [self._resample_ap(action, t, draws) for action in self.label_map for t in range(len(self.thresholds))]
        is_counted = ~np.isnan(aps)
        samples = np.where(is_counted, aps, 0).sum(axis=0) / np.maximum(is_counted.sum(axis=0), 1)
        low, high = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2])
        return {
            "mAP": self.mAP,
            "low": float(low),
            "high": float(high),
            "std": float(samples.std(ddof=1)),
            "level": level,
            "n": n,
            "samples": samples,
        }

    def _resample_ap(self, action, t, draws):
        """AP (n,) of one action in each draw (V,n)."""
        ranking = self.rankings[action]
        return compute_resampled_ap(
            ranking,
            true=ranking.true[t],
            video=self.video,
            draws=draws,
            grouped=self.ties == "grouped",
            undetected=self.undetected,
        )

    def summary(self) -> str:
        """The report as text: mAP, mAP by group, box recall, AP of each action, notes."""
        lines = [self._format_headline()]
        lines.append("  " + "  ".join(f"{group} {value:.4f}" for group, value in self.mAP_by_group.items()))
        lines += [f"  {name}: {value:.4f}" for name, value in self.recall.items()]
        evaluated = self.per_class.dropna(subset="AP").sort_values("AP", ascending=False, kind="stable")
        lines += [
            f"  {row.AP:.4f}  {row.action} ({format_count(row.ground_truth, 'box', 'boxes')})"
            for row in evaluated.itertuples()
        ]
        lines += [f"note: {note}" for note in self.notes]
        return "\n".join(lines)

    def __repr__(self):
        return f"<Report: {self._format_headline()}; details: summary()>"

    def _format_headline(self):
        ious = ", ".join(f"{threshold:g}" for threshold in self.thresholds)
        n_actions = int((~np.isnan(self._ap).all(axis=1)).sum())
        ties = "" if self.ties == "stable" else f", ties {self.ties}"
        return f"mAP@{ious} = {self.mAP:.4f} over {format_count(n_actions, 'action')} (protocol {self.protocol}{ties})"

    def to_dict(self) -> dict:
        """The report as plain values; NaN becomes None."""
        return {
            "protocol": self.protocol,
            "ties": self.ties,
            "iou": list(self.thresholds),
            "mAP": _replace_nan(self.mAP),
            "mAP_at": {f"{iou:g}": _replace_nan(value) for iou, value in self.mAP_by_iou.items()},
            "groups": {group: _replace_nan(value) for group, value in self.mAP_by_group.items()},
            "recall": dict(self.recall),
            "counts": dict(self.counts),
            "notes": list(self.notes),
            "per_class": self.per_class.astype(object).where(self.per_class.notna(), None).to_dict("records"),
        }

    def to_json(self, path: str | Path | None = None) -> str:
        """The report as JSON text; also written to `path` if given."""
        text = json.dumps(self.to_dict(), indent=1, default=lambda value: value.item())
        if path is not None:
            write_text(path, text + "\n")
        return text

    def _repr_html_(self):
        table = self.per_class.sort_values("AP", ascending=False, kind="stable", na_position="last")
        groups = " &nbsp; ".join(f"{group} <b>{value:.4f}</b>" for group, value in self.mAP_by_group.items())
        rows = "".join(_format_html_row(row) for row in table.itertuples())
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in self.notes)
        columns = ("action", "group", "AP", "ground truth", "detections", "recall")
        header = "".join(f"<th>{column}</th>" for column in columns)
        return (
            f"<div><p><b>{html.escape(self._format_headline())}</b><br>{groups}</p><ul>{notes}</ul>"
            f"<table><thead><tr>{header}</tr></thead><tbody>{rows}</tbody></table></div>"
        )


def _replace_nan(value):
    return None if np.isnan(value) else value


def _format_html_row(row):
    recall = "–" if np.isnan(row.recall) else f"{row.recall:.3f}"
    return (
        f"<tr><td style='text-align:left'>{row.action_id} {html.escape(str(row.action))}</td><td>{row.group}</td>"
        f"<td>{_format_html_bar(row.AP)}</td><td>{row.ground_truth:,}</td><td>{row.detections:,}</td>"
        f"<td>{recall}</td></tr>"
    )


def _format_html_bar(value):
    """A number in 0..1 with a bar of that length behind it."""
    if np.isnan(value):
        return "–"
    style = f"background:linear-gradient(90deg,{BAR_COLOR} {100 * value:.1f}%,transparent 0);padding:0 3em 0 .3em"
    return f"<span style='{style}'>{value:.4f}</span>"
