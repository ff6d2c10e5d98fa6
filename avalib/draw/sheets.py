"""Sheets of frames: tiled, captioned, for keyframes and for mistakes."""

import numpy as np
from PIL import Image, ImageDraw

from avalib.draw.annotate import annotate_frame, scale_frame
from avalib.draw.label_layout import (
    BLACK,
    BLUE,
    GREEN,
    load_font,
    measure_length,
)
from avalib.draw.people import Person, select_people
from avalib.utils.notebook_run import get_run_caption
from avalib.video.frame_numbers import to_frame_number
from avalib.video.frame_source import open_video

MISTAKES = "The surest mistakes: green, what was said and its score; blue, the nearest person and what it really does"

KEYFRAMES = "Annotated keyframes: a box around every person, what it does on the box; times in {clock}"


def tile_frames(pictures, columns=4, gap=4):
    """Pictures of one size in lines of `columns`, white between them -> (H,W,3) uint8."""
    columns = min(columns, len(pictures))
    height, width = pictures[0].shape[:2]
    lines = -(-len(pictures) // columns)
    out = np.full((lines * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for i, picture in enumerate(pictures):
        y, x = i // columns * (height + gap), i % columns * (width + gap)
        out[y : y + height, x : x + width] = picture
    return out


def add_caption(picture, text, size=13):
    """A picture (H,W,3) under a caption: what one should see, and in a second line the run that it comes from."""
    text = text.split(" ") + (["\n", *get_run_caption().split(" ")] if get_run_caption() else [])
    lines = [""]
    for word in text:
        longer = f"{lines[-1]} {word}".strip()
        if word == "\n" or measure_length(longer, size) > picture.shape[1] - 8:
            lines.append(word.strip())
        else:
            lines[-1] = longer
    strip = Image.new("RGB", (picture.shape[1], (size + 6) * len(lines) + 4), "white")
    draw = ImageDraw.Draw(strip)
    for i, line in enumerate(lines):
        draw.text((4, 5 + i * (size + 6)), line, fill=BLACK, font=load_font(size))
    return np.concatenate([np.asarray(strip), picture])


def draw_contact_sheet(frames, columns=4, titles=None, width=None, gap=4, caption=None):
    """Frames side by side in rows -> PIL image. titles: one a frame, drawn into it; width: of each frame, in pixels;
    caption: above all of them, with the run."""
    frames = [scale_frame(frame, width) for frame in frames]
    if not frames:
        raise ValueError("a contact sheet of no frames")
    if titles is not None:
        frames = [annotate_frame(frame, [], title=title) for frame, title in zip(frames, titles, strict=True)]
    columns = min(columns, len(frames))
    w, h = max(f.shape[1] for f in frames) + gap, max(f.shape[0] for f in frames) + gap
    sheet = Image.new("RGB", (columns * w - gap, -(-len(frames) // columns) * h - gap), "white")
    for i, frame in enumerate(frames):
        sheet.paste(Image.fromarray(frame), (i % columns * w, i // columns * h))
    return Image.fromarray(add_caption(np.asarray(sheet), caption)) if caption else sheet


def draw_keyframe_sheet(layout, split, table, count=6, columns=3, width=400, caption=KEYFRAMES):
    """Keyframes of a data set with their annotated boxes and labels, spread over videos and actions -> PIL image.

    table: the split's ground truth. Taken are, one after the other, the keyframes that add the most new actions, each
    from another video while there are any.
    """
    frames, names = [], layout.load_short_names()
    for video_id, timestamp in _varied(table, count):
        rows = table[(table.video_id == video_id) & (table.timestamp == timestamp)]
        frame = _keyframe(layout, video_id, timestamp, width)
        title = f"{split}  {video_id}  {format_seconds(timestamp)} s"
        frames.append(annotate_frame(frame, select_people(rows), title=title, label_map=names))
    clock = "AVA's seconds" if layout.start_s else "seconds from the video's beginning"
    return draw_contact_sheet(frames, columns, caption=caption and caption.replace("{clock}", clock))


def format_seconds(seconds):
    """A time to the millisecond, without zeros at its end: '902', '12345.678'."""
    return f"{round(float(seconds), 3):.12g}"


def draw_mistakes_sheet(layout, worst, columns=4, width=320, caption=MISTAKES):
    """The most confident mistakes (errors.Analysis.worst) as pictures -> PIL image.

    Green: the detection and its score; blue: the annotated person nearest to it, with what that person really does.
    """
    frames, names = [], layout.load_short_names()
    for row in worst.itertuples():
        people = [Person(np.array([row.x1, row.y1, row.x2, row.y2]), ((row.action_id, row.score),))]
        if not np.isnan(row.gt_x1):
            people.append(Person(np.array([row.gt_x1, row.gt_y1, row.gt_x2, row.gt_y2]), ((row.does, None),)))
        known = names | {row.does: row.does}  # of the person: names already, several in a line
        title = f"{row.kind}: {row.video_id} {format_seconds(row.timestamp)} s"
        frame = _keyframe(layout, row.video_id, row.timestamp, width)
        frames.append(annotate_frame(frame, people, colour=[GREEN, BLUE][: len(people)], title=title, label_map=known))
    return draw_contact_sheet(frames, columns, caption=caption)


def _keyframe(layout, video_id, timestamp, width):
    """The picture of an annotated second, (H,width,3)."""
    with open_video(layout, video_id) as reader:
        number = min(max(1, to_frame_number(timestamp, layout.start_s)), reader.n_ava_frames)
        return scale_frame(reader.read_ava_frames([number])[0], width)


def _varied(table, count):
    """`count` (video_id, timestamp) with many actions, rare ones too; another video each while there are any."""
    rarity = 1 / table.action_id.map(table.action_id.value_counts())
    keyframes = table.assign(rarity=rarity).groupby(["video_id", "timestamp"], sort=True)
    sets = keyframes.action_id.agg(frozenset)
    weight = dict(zip(table.action_id, rarity, strict=True))
    chosen, seen, used = [], set(), []
    for _ in range(min(count, len(sets))):
        fresh = [(sum(weight[a] for a in s - seen) - 10 * used.count(key[0]), key) for key, s in sets.items()]
        best = max((value, key) for value, key in fresh if key not in chosen)[1]
        chosen.append(best)
        used.append(best[0])
        seen |= sets[best]
    return sorted(chosen)
