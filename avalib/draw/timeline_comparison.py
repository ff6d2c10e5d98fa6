"""Who does what when, annotated and predicted on one axis: a line for each person and action, a bar above the other."""

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from avalib.data.labels import get_action_groups
from avalib.draw.figure_style import apply_style, build_group_handles, place_legend_below
from avalib.draw.people import resolve_action_names
from avalib.draw.timeline import (
    choose_bar_color,
    describe_left_out,
    draw_people,
    find_segments,
    place_lines,
    select_lanes,
)

ANNOTATED_COLOR = "#222222"
ANNOTATED_HEIGHT = 0.24  # of a line
PREDICTED_HEIGHT = 0.5


@apply_style
def plot_timeline_comparison(
    annotated: pd.DataFrame,
    predicted: pd.DataFrame,
    score_threshold: float = 0.3,
    top_k: int | None = 5,
    people: int | None = 8,
    label_map: dict[int, str] | None = None,
    title: str = "Who does what when: annotated (black) and predicted (stronger bars have higher scores)",
) -> Figure:
    """Plot an annotation and a prediction on one axis: a band for each person, a line for each action.

    A line with a black bar alone was missed; one with a colored bar alone was not annotated.

    Parameters
    ----------
    annotated, predicted : DataFrame
        Of one video, with the same person_id for the same person, as `Scene.to_table` returns them.
    score_threshold : float
        Predictions with a lower score have no bar.
    top_k, people : int
        The most lines for each person, and the most people. What is left out is counted in the title.
    label_map : dict, optional
        {action_id: name}; default: AVA's names.
    title : str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        As `find_segments`.
    """
    segments = find_segments(annotated, label_map=label_map).assign(is_annotated=True)
    predicted_segments = find_segments(predicted, None, score_threshold, label_map=label_map)
    segments = pd.concat([segments, predicted_segments.assign(is_annotated=False)], ignore_index=True)
    # The lines are chosen from both, so that both have the same people.
    lanes = select_lanes(segments, top_k, people)
    y_of = place_lines(lanes)
    figure, axis = plt.subplots(figsize=(10, 1.6 + 0.3 * max(len(y_of), 2)), layout="constrained")
    groups = get_action_groups(resolve_action_names(segments, label_map))
    for segment in segments.itertuples():
        y = y_of.get((segment.person_id, segment.action_id))
        if y is not None:
            _draw_bar(axis, segment, y, groups[segment.action_id])
    names = dict(zip(segments["action_id"], segments["action"], strict=True))
    axis.set_yticks(list(y_of.values()), [names[action] for _, action in y_of])
    draw_people(axis, lanes, y_of)
    axis.grid(axis="y", visible=False)
    axis.set(xlabel="time [s]", ylim=(min(y_of.values(), default=-1) - 0.7, 0.7))
    axis.set_title(title + describe_left_out(segments, lanes))
    black = plt.Rectangle((0, 0), 1, 1, color=ANNOTATED_COLOR, label="annotated")
    place_legend_below(figure, [black, *build_group_handles(groups[action] for _, action in y_of)])
    return figure


def _draw_bar(axis, segment, y, group):
    """A segment's bar: annotated ones narrow and black at the top of the line, predicted ones below them."""
    if segment.is_annotated:
        height, offset, color = ANNOTATED_HEIGHT, 0.28, ANNOTATED_COLOR
    else:
        height, offset, color = PREDICTED_HEIGHT, -0.12, choose_bar_color(group, segment.score)
    axis.barh(y + offset, segment.stop_s - segment.start_s, left=segment.start_s, height=height, color=color)
