"""Who does what when: one person's actions over time as bars, from any table of annotations or detections."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from avalib.data.labels import get_action_groups
from avalib.data.row_checks import BOX_COLUMNS
from avalib.draw.colors import GROUP_COLORS, get_person_color
from avalib.draw.figure_style import apply_style, build_group_handles, place_legend_below
from avalib.draw.people import resolve_action_names
from avalib.utils.tracker import link_boxes

SEGMENT_COLUMNS = ["person_id", "action_id", "action", "start_s", "stop_s", "score"]
LARGEST_GAP_STEPS = 1.5  # between two times of one segment
GAP_BETWEEN_PEOPLE = 0.6  # of a line


@dataclass(frozen=True, order=True)
class Segment:
    """A stretch of time in which a person does one action, and the mean score."""

    start_s: float
    stop_s: float
    score: float


def to_timeline_table(table: pd.DataFrame, video: str | None = None) -> pd.DataFrame:
    """One video's part of a table, with time_s and a person_id that lasts.

    Parameters
    ----------
    table : DataFrame
        From avalib.detect (time_s, person_id, action_id …) or an AVA table (video_id, timestamp, x1 … y2, action_id).
        Without a person_id, people are tracked from keyframe to keyframe by their boxes.
    video : str, optional
        The video_id; needed where the table has several.

    Raises
    ------
    ValueError
        Several videos and none chosen, a video that is not in the table, missing columns.
    """
    # The rows of one video.
    if "video_id" in table:
        videos = list(dict.fromkeys(table["video_id"]))
        if video is None and len(videos) > 1:
            listed = ", ".join(videos[:5])
            raise ValueError(f"the table has {len(videos)} videos ({listed} …): choose one with video=…")
        if video is not None and video not in videos:
            listed = ", ".join(map(str, videos)) or "none"
            raise ValueError(f"video {video!r} is not in the table; there are {listed}")
        table = table if video is None else table[table["video_id"] == video]
    # Either clock will do, and boxes are needed only where people have to be tracked.
    time_column = next((column for column in ("time_s", "timestamp") if column in table), None)
    required = ["action_id"] if "person_id" in table else ["action_id", *BOX_COLUMNS]
    missing = [column for column in required if column not in table]
    if time_column is None:
        missing.insert(0, "time_s or timestamp")
    if missing:
        raise ValueError(f"a timeline needs the column {', '.join(missing)}; the table has {', '.join(table.columns)}")
    table = table.assign(time_s=table[time_column].astype(float))
    if "person_id" not in table:
        table = table.assign(person_id=link_boxes(table["time_s"], table[BOX_COLUMNS]))
    return table


def find_segments(
    table: pd.DataFrame,
    video: str | None = None,
    score_threshold: float = 0.3,
    step: float | None = None,
    label_map: dict[int, str] | None = None,
) -> pd.DataFrame:
    """Find the stretches of time in which a person does an action.

    Parameters
    ----------
    table : DataFrame
        From avalib.detect, or an AVA table of annotations or detections; see `to_timeline_table`.
    video : str, optional
        The video_id; needed where the table has several.
    score_threshold : float
        Lower scores end a segment. A table without scores is an annotation and has score 1.
    step : float, optional
        The seconds that a line of the table stands for; None: the median distance of two times. Times that are up to
        1.5 steps apart are one segment.
    label_map : dict, optional
        {action_id: name}; default: the names in the table's column `action`, else AVA's.

    Returns
    -------
    DataFrame
        person_id, action_id, action, start_s, stop_s, score (the mean).

    Raises
    ------
    ValueError
        As `to_timeline_table`: several videos and none chosen, an unknown video, missing columns.
    """
    table = to_timeline_table(table, video)
    times = np.unique(table["time_s"])
    if step is None:  # a table of one time says nothing about its step
        step = float(np.median(np.diff(times))) if len(times) > 1 else 1.0
    if "score" not in table:
        table = table.assign(score=1.0)
    # Segments of each (person, action), from its rows with a high enough score.
    table = table[(table["score"] >= score_threshold) & (table["action_id"] > 0)]
    keys = zip(table["person_id"], table["action_id"], strict=True)
    segments_of = join_segments(zip(keys, table["time_s"], table["score"], strict=True), step)
    rows = [
        (*key, segment.start_s, segment.stop_s, segment.score)
        for key, segments_of_key in segments_of.items()
        for segment in segments_of_key
    ]
    columns = ["person_id", "action_id", "start_s", "stop_s", "score"]
    segments = pd.DataFrame(rows, columns=columns).astype({"start_s": float, "stop_s": float, "score": float})
    names = resolve_action_names(table, label_map)
    return segments.assign(action=segments["action_id"].map(names))[SEGMENT_COLUMNS]


def join_segments(scored_times, step):
    """Join times that are up to 1.5 steps apart: (key, time_s, score), … -> {key: [Segment]}."""
    # The highest score of each key at each time.
    best_scores = {}
    for key, time_s, score in scored_times:
        best_scores[key, time_s] = max(score, best_scores.get((key, time_s), score))
    # In the order of time, a row begins a new run where the gap to the last one is too long.
    runs_of = {}  # {key: [[(time_s, score), …] of each segment]}
    for (key, time_s), score in sorted(best_scores.items()):
        runs = runs_of.setdefault(key, [])
        if runs and time_s - runs[-1][-1][0] <= LARGEST_GAP_STEPS * step:
            runs[-1].append((time_s, score))
        else:
            runs.append([(time_s, score)])
    return {key: [_to_segment(run, step) for run in runs] for key, runs in runs_of.items()}


def _to_segment(run, step):
    """The Segment of (time_s, score), …; half a step before the first and after the last time belong to it."""
    mean_score = sum(score for _, score in run) / len(run)
    return Segment(run[0][0] - step / 2, run[-1][0] + step / 2, mean_score)


def select_lanes(segments, top_k=5, max_people=8, first_people=False):
    """Which lines are drawn: [(person_id, [action_id, …])], people and actions in the order of their first times.

    The max_people people with the most seconds x score (or those who appear first), and of each person the top_k
    actions by seconds x score.
    """
    segments = segments.assign(weight=(segments["stop_s"] - segments["start_s"]) * segments["score"])
    if not first_people:
        best_people = segments.groupby("person_id")["weight"].sum().nlargest(max_people).index
        segments = segments[segments["person_id"].isin(best_people)]
    # People in the order in which they appear, and of each the actions with the largest weights.
    by_first_time = segments.groupby("person_id")["start_s"].min().sort_values(kind="stable").index[:max_people]
    weights = segments.groupby(["person_id", "action_id"])["weight"].sum()
    first_times = segments.groupby(["person_id", "action_id"])["start_s"].min()
    lanes = []
    for person_id in by_first_time:
        actions = weights[person_id].nlargest(top_k).index
        lanes.append((person_id, sorted(actions, key=lambda action, times=first_times[person_id]: times[action])))
    return lanes


@apply_style
def plot_timeline(
    table: pd.DataFrame,
    video: str | None = None,
    score_threshold: float = 0.3,
    top_k: int | None = 5,
    people: int | None = 8,
    label_map: dict[int, str] | None = None,
    title: str | None = None,
    first_people: bool = False,
) -> Figure:
    """Plot who does what when: a band for each person, a line for each action.

    Parameters
    ----------
    table, video, score_threshold, label_map
        As for find_segments.
    top_k, people : int
        The most lines for each person, and the most people. What is left out is counted in the title.
    title : str, optional
    first_people : bool
        Choose the people who appear first instead of those with the most seconds x score.

    Returns
    -------
    matplotlib.figure.Figure
        Bars have the color of their action's group, the stronger the higher the score.

    Raises
    ------
    ValueError
        As `find_segments`.
    """
    segments = find_segments(table, video, score_threshold, label_map=label_map)
    lanes = select_lanes(segments, top_k, people, first_people)
    lines = [(person, action) for person, actions in lanes for action in actions]
    figure, axis = plt.subplots(figsize=(10, 1.5 + 0.26 * max(len(lines), 2)), layout="constrained")
    groups = get_action_groups(resolve_action_names(table, label_map))
    y_of = place_lines(lanes)
    has_scores = "score" in table
    _draw_segments(axis, segments, y_of, groups, has_scores)
    names = dict(zip(segments["action_id"], segments["action"], strict=True))
    axis.set_yticks(list(y_of.values()), [names[action] for _, action in lines])
    draw_people(axis, lanes, y_of)
    axis.grid(axis="y", visible=False)
    axis.set(xlabel="time [s]", ylim=(min(y_of.values(), default=-1) - 0.7, 0.7))
    if not lines:
        message = f"no action with a score of {score_threshold} or more"
        axis.text(0.5, 0.5, message, ha="center", transform=axis.transAxes)
    if title is None:
        title = "Who does what when"
        title += "; stronger bars have higher scores" if has_scores else ""
    axis.set_title(title + describe_left_out(segments, lanes))
    if handles := build_group_handles(groups[action] for _, action in lines):
        place_legend_below(figure, handles)
    return figure


def place_lines(lanes):
    """{(person_id, action_id): y} of the lines of `select_lanes`, from the top down, with a gap between people."""
    y_of = {}
    for rank, (person, actions) in enumerate(lanes):
        for action in actions:
            y_of[person, action] = -len(y_of) - GAP_BETWEEN_PEOPLE * rank
    return y_of


def _draw_segments(axis, segments, y_of, groups, has_scores):
    """A bar for each segment with a line, paler the lower its score."""
    for segment in segments.itertuples():
        y = y_of.get((segment.person_id, segment.action_id))
        if y is not None:
            color = choose_bar_color(groups[segment.action_id], segment.score if has_scores else 1.0)
            axis.barh(y, segment.stop_s - segment.start_s, left=segment.start_s, height=0.8, color=color)


def choose_bar_color(group, score):
    """The color of a group of actions, mixed with white: at score 0 three quarters of it."""
    paleness = 0.75 * (1 - score)
    return (1 - paleness) * np.array(to_rgb(GROUP_COLORS[group])) + paleness


def draw_people(axis, lanes, y_of):
    """A band behind each person's lines, and its number beside them in its color, the same as in the pictures."""
    for person_id, actions in lanes:
        ys = [y_of[person_id, action] for action in actions]
        axis.axhspan(min(ys) - 0.55, max(ys) + 0.55, color="#000000", alpha=0.035, linewidth=0)
        axis.annotate(
            f"person {int(person_id)}",
            (1, np.mean(ys)),
            (6, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            va="center",
            fontsize=9,
            fontweight="bold",
            bbox={"facecolor": get_person_color(person_id), "edgecolor": "none", "pad": 2},
        )


def describe_left_out(segments, lanes):
    """The end of the title: the people, and the actions of the people shown, that have no line."""
    # Of the people shown, all their (person, action) pairs minus those with a line.
    shown_people = [person for person, _ in lanes]
    n_people = segments["person_id"].nunique() - len(shown_people)
    of_shown = segments[segments["person_id"].isin(shown_people)]
    n_actions = of_shown.groupby(["person_id", "action_id"]).ngroups - sum(len(actions) for _, actions in lanes)
    left_out = [f"{count} more {what}" for count, what in ((n_people, "people"), (n_actions, "actions")) if count]
    return f"\n(not shown: {', '.join(left_out)})" if left_out else ""
