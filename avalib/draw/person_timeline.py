"""One person of a Scene as a small page: what was annotated, what each row says, over time and at this moment."""

from html import escape

from avalib.data.labels import get_action_groups, get_action_names, shorten_action_name
from avalib.draw.colors import GROUP_COLORS, MODEL_COLORS, get_person_color
from avalib.draw.timeline import join_segments

# Half-transparent greys and the page's own text colour: readable on JupyterLab's light and dark themes.
ROW = "display:flex;align-items:center;gap:8px;height:16px;line-height:16px"
NAME = "width:15em;text-align:right;white-space:nowrap;overflow:hidden;text-overflow:ellipsis"
LANE = "position:relative;flex:1;height:12px;background:rgba(128,128,128,.18)"
NOW = "width:9em;white-space:nowrap"


def build_person_strips(scene, person_id, score_threshold=0.3, top_k=4):
    """What a person is said to do: [(source, action_id, [(start_s, stop_s, score)])], of each source the top_k actions.

    source: "annotated" or a row's name; the actions by their first time.
    """
    rows = [
        ((source, action), t, 1.0 if score is None else score)
        for source, moments in scene.moments.items()
        for t, people in moments.items()
        for person in people
        if person.person_id == person_id and scene.start <= t < scene.stop
        for action, score in person.labels
        if (score is None or score >= score_threshold) and action > 0
    ]
    found = join_segments(rows, _step(scene))
    weight = {key: sum((stop - start) * score for start, stop, score in runs) for key, runs in found.items()}
    out = []
    for source in scene.moments:
        best = sorted((key for key in found if key[0] == source), key=lambda key: -weight[key])[:top_k]
        out += [(*key, found[key]) for key in sorted(best, key=lambda key: found[key][0])]
    return out


def _step(scene):
    """The commonest distance of the seconds that the tables have; 1 with fewer than two."""
    times = [sorted(moments) for moments in scene.moments.values()]
    gaps = [round(b - a, 3) for of_one in times for a, b in zip(of_one, of_one[1:], strict=False)]
    return max(set(gaps), key=gaps.count) if gaps else 1.0


def render_person_html(scene, person_id, found, i):
    """HTML of `strips` (found) with a cursor at frame i and the scores at that time."""
    time_s, span = float(scene.times_s[i]), scene.stop - scene.start
    chip = f"background:{get_person_color(person_id)};color:#141414;padding:1px 6px;font-weight:bold"
    parts = [f'<div><span style="{chip}">person {person_id}</span> does what when: annotated, then the rows; '
             f"{scene.start:.0f} to {scene.stop:.0f} s, the line at {time_s:.1f} s</div>"]  # fmt: skip
    cursor = f'<div style="position:absolute;left:{100 * (time_s - scene.start) / span:.2f}%;width:2px;height:16px;'
    cursor += 'top:-2px;background:currentColor"></div>'
    before, now = None, {name: _scores(scene, name, person_id, i) for name in scene.moments}
    names = scene.label_map or {a: shorten_action_name(a) for a in get_action_names()}
    groups = get_action_groups(names)
    for name, action, runs in found:
        colour = GROUP_COLORS[groups[action]]
        if name != before:
            parts.append(_heading(name))
            before = name
        bars = "".join(_bar(scene, colour, row, span) for row in runs)
        parts.append(
            f'<div style="{ROW}"><div style="{NAME}">{escape(names[action])}</div>'
            f'<div style="{LANE}">{bars}{cursor}</div>'
            f'<div style="{NOW}">{_meter(now[name].get(action), colour)}</div></div>'
        )
    if not found:
        parts.append("<div>nothing with a score over the threshold</div>")
    return f'<div style="color:var(--jp-ui-font-color1,inherit);font-size:12px">{"".join(parts)}</div>'


def _scores(scene, name, person_id, i):
    """{action_id: score} of a person at frame i."""
    people = scene.truth[i] if name == "annotated" else scene.rows[name][i]
    return {a: 1.0 if s is None else s for p in people if p.person_id == person_id for a, s in p.labels}


def _heading(name):
    colour = MODEL_COLORS.get(name, "rgba(128,128,128,.6)")
    return f'<div style="border-left:6px solid {colour};padding-left:6px;margin-top:4px">{escape(name)}</div>'


def _bar(scene, colour, run, span):
    left, right = (100 * (min(max(t, scene.start), scene.stop) - scene.start) / span for t in run[:2])
    strength = 0.25 + 0.75 * run[2]
    return (f'<div style="position:absolute;left:{left:.2f}%;width:{right - left:.2f}%;height:12px;'
            f'background:{colour};opacity:{strength:.2f}"></div>')  # fmt: skip


def _meter(score, colour):
    if score is None:
        return "not now"
    style = f"display:block;width:{100 * score:.0f}%;height:9px;background:{colour}"
    frame = "display:inline-block;width:4em;height:9px;background:rgba(128,128,128,.25)"
    return f'<span style="{frame}"><span style="{style}"></span></span> {score:.2f}'
