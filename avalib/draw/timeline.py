"""Who does what when: one person's actions over time as bars, from any table of annotations or detections."""

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb

from avalib.data.labels import get_action_groups
from avalib.data.row_checks import BOX_COLUMNS
from avalib.draw.colors import GROUP_COLORS, GROUP_TITLES, get_person_color
from avalib.draw.people import group_by_time, resolve_action_names
from avalib.draw.plots import apply_style, place_legend_below

SEGMENTS = ["person_id", "action_id", "action", "start_s", "stop_s", "score"]


def add_times(table, video=None):
    """One video's rows with time_s and a person_id that lasts, whichever way the table tells them.

    table: detect's (time_s, person_id, action_id …) or AVA's (video_id, timestamp, x1 … y2, action_id); where it has no
    person_id, people are followed from keyframe to keyframe by their boxes. Raises ValueError for a table of several
    videos without `video`, for a video that it doesn't have, and for missing columns.
    """
    if "video_id" in table:
        there = list(dict.fromkeys(table["video_id"]))
        if video is None and len(there) > 1:
            raise ValueError(f"the table has {len(there)} videos ({', '.join(there[:5])} …): say video=… which one")
        if video is not None and video not in there:
            raise ValueError(f"video {video!r} is not in the table; there are {', '.join(map(str, there)) or 'none'}")
        table = table if video is None else table[table["video_id"] == video]
    time = next((column for column in ("time_s", "timestamp") if column in table), None)
    missing = [] if time else ["time_s or timestamp"]
    missing += [c for c in ("action_id", *(() if "person_id" in table else BOX_COLUMNS)) if c not in table]
    if missing:
        raise ValueError(f"a timeline needs the column {', '.join(missing)}; the table has {', '.join(table.columns)}")
    table = table.assign(time_s=table[time].astype(float))
    return table if "person_id" in table else _followed(table)


def _followed(table):
    """The table with person_ids from following the boxes."""
    moments = group_by_time(table.assign(timestamp=table["time_s"]))
    ids = {(t, *person.box): person.person_id for t, people in moments.items() for person in people}
    return table.assign(person_id=[ids[tuple(row)] for row in table[["time_s", *BOX_COLUMNS]].to_numpy()])


def find_segments(table, video=None, score_threshold=0.3, step=None, label_map=None):
    """Runs of an action: DataFrame person_id, action_id, action, start_s, stop_s, score (the mean; 1 when annotated).

    A row of the table stands for `step` seconds around its time (None: the commonest distance of two times); rows that
    are up to 1.5 steps apart are one run. Scores below the threshold end it. See `timed` for the table.
    """
    table = add_times(table, video)
    times = np.unique(table["time_s"])
    if step is None:
        step = float(np.median(np.diff(times))) if len(times) > 1 else 1.0
    if "score" not in table:
        table = table.assign(score=1.0)
    table = table[(table["score"] >= score_threshold) & (table["action_id"] > 0)]
    keys = zip(table["person_id"], table["action_id"], strict=True)
    found = join_segments(zip(keys, table["time_s"], table["score"], strict=True), step)
    runs = pd.DataFrame(
        [(*key, *run) for key, of_key in found.items() for run in of_key],
        columns=["person_id", "action_id", "start_s", "stop_s", "score"],
    ).astype({"start_s": float, "stop_s": float, "score": float})
    names = resolve_action_names(table, label_map)
    return runs.assign(action=runs["action_id"].map(names))[SEGMENTS]


def join_segments(rows, step):
    """Rows (key, time_s, score) that are up to 1.5 steps apart become runs: {key: [(start_s, stop_s, mean score)]}."""
    best, found = {}, {}
    for key, time_s, score in rows:
        best[key, time_s] = max(score, best.get((key, time_s), score))
    for (key, time_s), score in sorted(best.items()):
        of_key = found.setdefault(key, [])
        if of_key and time_s - of_key[-1][-1][0] <= 1.5 * step:
            of_key[-1].append((time_s, score))
        else:
            of_key.append([(time_s, score)])
    return {
        key: [(run[0][0] - step / 2, run[-1][0] + step / 2, sum(s for _, s in run) / len(run)) for run in of_key]
        for key, of_key in found.items()
    }


def assign_lanes(runs, top_k=5, people=8):
    """What is worth a line: [(person_id, [action_id, …])], people in order of appearance.

    The `people` with the most seconds of action, and of each the top_k actions by seconds x score, the first first.
    """
    weight = (runs["stop_s"] - runs["start_s"]) * runs["score"]
    of_person = weight.groupby(runs["person_id"]).sum().nlargest(people).index
    runs = runs.assign(weight=weight)[runs["person_id"].isin(of_person)]
    first = runs.groupby("person_id")["start_s"].min().sort_values(kind="stable").index
    best = runs.groupby(["person_id", "action_id"])["weight"].sum()
    chosen = {person: best[person].nlargest(top_k).index for person in first}
    started = runs.groupby(["person_id", "action_id"])["start_s"].min()
    return [(p, sorted(chosen[p], key=lambda action, p=p: started[p, action])) for p in first]


@apply_style
def plot_timeline(table, video=None, score_threshold=0.3, top_k=5, people=8, label_map=None, title=None):
    """Who does what when, a band of lines per person -> matplotlib figure.

    table: what avalib.detect gives, or an AVA table of annotations or detections (see `timed`). Bars are runs of at
    least score_threshold, in the colour of the action's group, the stronger the surer. top_k: most lines a person;
    people: most people; what doesn't fit is counted in the title. label_map {action_id: name}: default the names in the
    table's column `action`, or else AVA's.
    """
    runs = find_segments(table, video, score_threshold, label_map=label_map)
    drawn = assign_lanes(runs, top_k, people)
    lines = [(person, action) for person, chosen in drawn for action in chosen]
    fig, axis = plt.subplots(figsize=(10, 1.5 + 0.26 * max(len(lines), 2)), layout="constrained")
    groups = get_action_groups(resolve_action_names(table, label_map))
    place = {line: -i - 0.6 * [p for p, _ in drawn].index(line[0]) for i, line in enumerate(lines)}
    for row in runs.itertuples():
        if (row.person_id, row.action_id) in place:
            colour = np.array(to_rgb(GROUP_COLORS[groups[row.action_id]]))
            pale = 0.75 * (1 - row.score) if "score" in table else 0
            axis.barh(place[row.person_id, row.action_id], row.stop_s - row.start_s, left=row.start_s, height=0.8,
                      color=(1 - pale) * colour + pale)  # fmt: skip
    names = dict(zip(runs["action_id"], runs["action"], strict=True))
    axis.set_yticks(list(place.values()), [names[action] for _, action in lines])
    _name_people(axis, drawn, place)
    axis.grid(axis="y", visible=False)
    axis.set(xlabel="time [s]", ylim=(min(place.values(), default=-1) - 0.7, 0.7))
    if not lines:
        axis.text(0.5, 0.5, f"no action with a score of {score_threshold} or more", ha="center",
                  transform=axis.transAxes)  # fmt: skip
    stronger = ", the stronger the surer" if "score" in table else ""
    _title(fig, axis, title or f"Who does what when: bars{stronger}", runs, drawn, lines, groups)
    return fig


def _name_people(axis, drawn, place):
    """Each person's number beside its lines, on its colour, the same as in the pictures."""
    for person, chosen in drawn:
        ys = [place[person, action] for action in chosen]
        axis.axhspan(min(ys) - 0.55, max(ys) + 0.55, color="#000000", alpha=0.035, linewidth=0)
        axis.annotate(f"person {int(person)}", (1, np.mean(ys)), (6, 0), xycoords=("axes fraction", "data"),
                      textcoords="offset points", va="center", fontsize=9, fontweight="bold",
                      bbox={"facecolor": get_person_color(person), "edgecolor": "none", "pad": 2})  # fmt: skip


def _title(fig, axis, title, runs, drawn, lines, groups):
    """The title with what was left out, and the groups' legend."""
    hidden = runs["person_id"].nunique() - len(drawn)
    fewer = runs[runs["person_id"].isin([p for p, _ in drawn])].groupby(["person_id", "action_id"]).ngroups - len(lines)
    left_out = [f"{n} more {what}" for n, what in ((hidden, "people"), (fewer, "actions")) if n]
    axis.set_title(title + (f"   (not shown: {', '.join(left_out)})" if left_out else ""))
    found = {groups[action] for _, action in lines}
    handles = [plt.Rectangle((0, 0), 1, 1, color=GROUP_COLORS[g], label=GROUP_TITLES[g]) for g in GROUP_COLORS
               if g in found]  # fmt: skip
    if handles:
        place_legend_below(fig, handles)
