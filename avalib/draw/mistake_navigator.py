"""Where to look next: the surest mistakes of a row, the examples of an action."""

from dataclasses import dataclass

import numpy as np

from avalib.data.row_checks import BOX_COLUMNS
from avalib.evaluation.error_analysis import analyze_errors
from avalib.evaluation.frame_index import resolve_label_map


@dataclass(frozen=True)
class NavigationTarget:
    """A place worth a look: video_id, time_s (AVA's seconds), box (4,) of the person, and what is there in words."""

    video_id: str
    time_s: float
    box: np.ndarray
    words: str


class MistakeNavigator:
    """Finds the next mistake and the next example in a split.

    truth, rows {name: detections}: tables; label_map (path or {action_id: name}): the actions that count, None for
    AVA's 60; exclusions: seconds that don't (a path); n: how many mistakes of a row are kept.
    """

    def __init__(self, truth, rows, label_map=None, exclusions=None, n=500):
        self.truth, self.rows, self.n = truth, rows, n
        self.label_map, self.exclusions = resolve_label_map(label_map), exclusions
        self._worst, self._at = {}, {}

    def mistake(self, name, action=None, score_threshold=0.0):
        """The next mistake of a row, the surest first, with this action if one is given; None at the end, after which
        it begins again. The first call analyses the row (a second or two)."""
        if name not in self._worst:
            self._worst[name] = analyze_errors(
                self.truth, self.rows[name], self.label_map, self.exclusions
            ).find_top_mistakes(self.n)
        table = self._worst[name]
        table = table[(table.score >= score_threshold) & (table.action_id.eq(action) if action else True)]
        at = self._at.get((name, action), -1) + 1
        self._at[name, action] = at if at < len(table) else -1
        if at >= len(table):
            return None
        row = table.iloc[at]
        does = f"; this person: {row.does}" if row.does else "; nobody is annotated there"
        words = (
            f"{name}, {row.video_id} {row.timestamp:.0f} s: {row.action} {row.score:.2f}, {row.kind.replace('_', ' ')}"
        )
        return NavigationTarget(
            row.video_id, float(row.timestamp), row[BOX_COLUMNS].to_numpy(float), f"{at + 1}. {words}{does}"
        )

    def example(self, action, video_id, time_s):
        """The next annotated second with an action after time_s of a video, in the order of videos and times, then from
        the beginning; None if there is none."""
        rows = self.truth[self.truth.action_id == action].sort_values(["video_id", "timestamp"], kind="stable")
        if not len(rows):
            return None
        later = (rows.video_id > video_id) | ((rows.video_id == video_id) & (rows.timestamp > time_s + 0.05))
        row = (rows[later] if later.any() else rows).iloc[0]
        number = int((~later).sum()) % len(rows) + 1 if later.any() else 1
        name = self.label_map.get(action, action)
        words = f"{name}: {number} of {len(rows)} annotated, {row.video_id} {row.timestamp:.0f} s"
        return NavigationTarget(row.video_id, float(row.timestamp), row[BOX_COLUMNS].to_numpy(float), words)
