"""One person of a Scene as a small page: what was annotated and what each model says, over time and at this moment."""

import itertools
from dataclasses import dataclass
from html import escape

from avalib.data.labels import get_action_groups, get_short_action_names, shorten_action_name
from avalib.draw.colors import GROUP_COLORS, MODEL_COLORS, get_person_color
from avalib.draw.scene import ANNOTATED
from avalib.draw.timeline import Segment, join_segments

# Half-transparent grays and the page's own text color: readable on JupyterLab's light and dark themes.
LINE_CSS = "display:flex;align-items:center;gap:8px;height:16px;line-height:16px"
NAME_CSS = "width:15em;text-align:right;white-space:nowrap;overflow:hidden;text-overflow:ellipsis"
LANE_CSS = "position:relative;flex:1;height:12px;background:rgba(128,128,128,.18)"
SCORE_CSS = "width:9em;white-space:nowrap"


@dataclass(frozen=True)
class ActionStrip:
    """When a person does one action by one source: "annotated" or a model's name."""

    source: str
    action_id: int
    segments: list[Segment]


def build_person_strips(scene, person_id, score_threshold=0.3, top_k=4):
    """The actions of a person as [ActionStrip]: of each source the top_k by seconds x score, in the order of time."""
    # Every label of the person with its second, then segments of each source and action.
    scored_times = []
    for source in scene.people_by_time:
        table = scene.to_table(source)
        is_shown = (table.person_id == person_id) & (table.score >= score_threshold) & (table.action_id > 0)
        for label in table[is_shown].itertuples():
            scored_times.append(((source, label.action_id), label.time_s, label.score))
    segments_of = join_segments(scored_times, _find_step(scene))
    # A strip's weight: how long the action lasts, by its scores.
    weights = {key: sum((s.stop_s - s.start_s) * s.score for s in segments) for key, segments in segments_of.items()}
    # The heaviest actions of each source, drawn in the order of time.
    strips = []
    for source in scene.people_by_time:
        keys = sorted((key for key in segments_of if key[0] == source), key=lambda key: -weights[key])[:top_k]
        keys.sort(key=lambda key: segments_of[key][0])
        strips += [ActionStrip(*key, segments_of[key]) for key in keys]
    return strips


def _find_step(scene):
    """The commonest distance between two seconds of the tables; 1 with fewer than two."""
    # All distances of neighboring times, of all sources.
    gaps = []
    for people_by_time in scene.people_by_time.values():
        times = sorted(people_by_time)
        gaps += [round(after - before, 3) for before, after in zip(times, times[1:], strict=False)]
    return max(set(gaps), key=gaps.count) if gaps else 1.0


def render_person_html(scene, person_id, strips, i):
    """HTML of a person's strips with a cursor at frame i and the scores at that time."""
    time_s = float(scene.times_s[i])
    tag_css = f"background:{get_person_color(person_id)};color:#141414;padding:1px 6px;font-weight:bold"
    # A tag in the person's color, and a line that says what is shown.
    parts = [
        f'<div><span style="{tag_css}">person {person_id}</span> does what when: annotated, then the models; '
        f"{scene.start:.0f} to {scene.stop:.0f} s, the line at {time_s:.1f} s</div>"
    ]
    cursor = (
        f'<div style="position:absolute;left:{_to_percent(scene, time_s):.2f}%;width:2px;height:16px;'
        'top:-2px;background:currentColor"></div>'
    )
    scores_now = {}  # {source: {action_id: score at frame i}}
    for name, people_of_frame in {ANNOTATED: scene.annotated, **scene.predictions}.items():
        labels = [person.scored_labels for person in people_of_frame[i] if person.person_id == person_id]
        scores_now[name] = dict(itertools.chain(*labels))
    names = scene.label_map or get_short_action_names()
    groups = get_action_groups(names)
    # A heading for each source, and below it a line for each action: name, bars, score.
    source = None
    for strip in strips:
        if strip.source != source:
            source = strip.source
            parts.append(_render_heading(source))
        name = names.get(strip.action_id) or shorten_action_name(strip.action_id)
        color = GROUP_COLORS[groups.get(strip.action_id, "other")]
        bars = "".join(_render_bar(scene, color, segment) for segment in strip.segments)
        score = scores_now[source].get(strip.action_id)
        parts.append(
            f'<div style="{LINE_CSS}"><div style="{NAME_CSS}">{escape(name)}</div>'
            f'<div style="{LANE_CSS}">{bars}{cursor}</div>'
            f'<div style="{SCORE_CSS}">{_render_score(score, color)}</div></div>'
        )
    if not strips:
        parts.append("<div>nothing with a score over the threshold</div>")
    return f'<div style="color:var(--jp-ui-font-color1,inherit);font-size:12px">{"".join(parts)}</div>'


def _to_percent(scene, time_s):
    """Where a time lies on a lane: 0 at the scene's start, 100 at its end."""
    return 100 * (time_s - scene.start) / (scene.stop - scene.start)


def _render_heading(source):
    """A source's name beside its color."""
    color = MODEL_COLORS.get(source, "rgba(128,128,128,.6)")
    return f'<div style="border-left:6px solid {color};padding-left:6px;margin-top:4px">{escape(source)}</div>'


def _render_bar(scene, color, segment):
    """A segment's bar, the part that lies in the scene; the stronger the higher the score."""
    # Clipped to the scene, in percent of the lane's width.
    left = _to_percent(scene, min(max(segment.start_s, scene.start), scene.stop))
    right = _to_percent(scene, min(max(segment.stop_s, scene.start), scene.stop))
    opacity = 0.25 + 0.75 * segment.score
    return (
        f'<div style="position:absolute;left:{left:.2f}%;width:{right - left:.2f}%;height:12px;'
        f'background:{color};opacity:{opacity:.2f}"></div>'
    )


def _render_score(score, color):
    """A score as a bar and a number."""
    if score is None:
        return "not now"
    bar_css = f"display:block;width:{100 * score:.0f}%;height:9px;background:{color}"
    frame_css = "display:inline-block;width:4em;height:9px;background:rgba(128,128,128,.25)"
    return f'<span style="{frame_css}"><span style="{bar_css}"></span></span> {score:.2f}'
