"""Boxes and labels on frames, and sheets of frames. Frames are (H,W,3) uint8; boxes fractions of the frame."""

import numpy as np
from PIL import Image, ImageDraw

from avalib import run
from avalib.draw import tags
from avalib.draw.people import Person, people_at
from avalib.draw.tags import BLUE, GREEN, TITLE
from avalib.frames import open_video
from avalib.utils import files

MAX_LABELLED = 100  # people with labels in a picture: placing them takes time by the square of their number
KEYFRAMES = "Annotated keyframes: a box around every person, what it does on the box; times in {clock}"
MISTAKES = "The surest mistakes: green, what was said and its score; blue, the nearest person and what it really does"


def overlay(frame, people, colour=BLUE, title=None, label_map=None, places=None, scores="number", title_style=TITLE):
    """A copy of `frame` with each person's box, and its labels stacked on tags.

    people: [Person]; colour: BLUE (annotated), GREEN (predicted), "person" (one each), or a style per person; title: a
    tag in the frame's top left corner; label_map {action_id: name}, default AVA's names without their brackets; scores:
    "number", "bar" or "none". Tags stay inside the frame and off each other; labels without room are counted in the
    title, and so are those beyond the MAX_LABELLED people with the highest scores. places: a dict to keep from frame to
    frame of a video, so that tags stay at their side.
    """
    image = Image.fromarray(np.ascontiguousarray(frame))
    draw, size = ImageDraw.Draw(image), tags.text_size(*frame.shape[:2])
    styles = _styles(people, colour)
    shape = np.array([image.width, image.height] * 2)
    boxes = [np.clip(np.round(person.box * shape).astype(int), 0, shape - 1) for person in people]
    labelled = _surest(people)
    hidden = sum(len(person.labels) for person in people) - sum(len(people[i].labels) for i in labelled)
    stacks = [
        tags.stack(people[i].labels, label_map, size, image.width, scores, styles[i].get("prefix", ""))
        for i in labelled
    ]
    keys = [(people[i].person_id, styles[i]["line"]) for i in labelled]
    before = [(places or {}).get(key) for key in keys]
    shown = [boxes[i] for i in labelled], [styles[i] for i in labelled]
    title, arranged = _arrange(stacks, shown[0], image.size, size, title, before, hidden)
    for box, style in zip(boxes, styles, strict=True):
        _outline(draw, box, style, max(2, round(size / 9)))
    placed = [(*spot, *rest) for spot, *rest in zip(arranged, *shown, keys, strict=True) if spot]
    for _, tag, _, box, style, _ in placed:
        _leader(draw, tag, box, style, max(2, round(size / 9)))
    for lines, tag, best, _, style, key in placed:
        tags.paint(image, tag[:2], lines, size, style)
        if places is not None:
            places[key] = best
    if title:
        tags.paint(image, (0, 0), [(title, None)], size, title_style)
    return np.asarray(image)


def _surest(people):
    """The numbers of the MAX_LABELLED people with the highest scores, in the order of `people`."""
    numbers = range(len(people))
    if len(people) > MAX_LABELLED:  # annotated people have no score and come first
        best = [max((1.0 if score is None else score for _, score in p.labels), default=-1.0) for p in people]
        numbers = sorted(sorted(numbers, key=lambda i: -best[i])[:MAX_LABELLED])
    return list(numbers)


def _styles(people, colour):
    """A style per person."""
    if isinstance(colour, dict):
        return [colour] * len(people)
    return [tags.of_person(person.person_id) for person in people] if colour == "person" else list(colour)


def _arrange(stacks, boxes, image_size, size, title, before, hidden=0):
    """(title, arranged tags): the title's room is kept free, and it says how many labels found none.

    hidden: labels that are left out already.
    """
    shown = title and _fitting(title, size, image_size[0])
    area = [(0, 0, *tags.extent([(shown, None)], size))] if shown else []
    arranged, left_out = tags.arrange(stacks, boxes, image_size, size, area, before)
    if not left_out + hidden:
        return shown, arranged
    note = "{} +{} labels" if title else "{}+{} labels"
    most = note.format(title or "", sum(map(len, stacks)) + hidden)  # the widest it can get
    area = [(0, 0, *tags.extent([(_fitting(most, size, image_size[0]), None)], size))]
    arranged, left_out = tags.arrange(stacks, boxes, image_size, size, area, before)
    return _fitting(note.format(title or "", left_out + hidden), size, image_size[0]), arranged


def _fitting(text, size, width):
    """A title shortened from the left until it fits, as its end says most."""
    while tags.extent([(text, None)], size)[0] > width and len(text) > 2:
        text = "…" + text.lstrip("…")[1:]
    return text


def _outline(draw, box, style, width):
    x1, y1, x2, y2 = box.tolist()
    area = (x1, y1, max(x2, x1), max(y2, y1))
    draw.rectangle(area, outline=tags.BLACK, width=width + 1)
    if not style.get("dashed"):
        draw.rectangle(area, outline=style["line"], width=width)
        return
    dash = 4 * width
    for x in range(x1, x2, 2 * dash):
        for y in (y1, y2 - width + 1):
            draw.rectangle((x, y, min(x + dash, x2), y + width - 1), fill=style["line"])
    for y in range(y1, y2, 2 * dash):
        for x in (x1, x2 - width + 1):
            draw.rectangle((x, y, x + width - 1, min(y + dash, y2)), fill=style["line"])


def _leader(draw, tag, box, style, width):
    """A line from tags that stand apart to their box."""
    if tag[0] > box[2] + 1 or tag[2] < box[0] - 1 or tag[1] > box[3] + 1 or tag[3] < box[1] - 1:
        ends = [(int(np.clip(box[i] / 2 + box[i + 2] / 2, tag[i], tag[i + 2])),) for i in (0, 1)]
        start = (ends[0][0], ends[1][0])
        stop = tuple(int(np.clip(v, box[i], box[i + 2])) for i, v in enumerate(start))
        draw.line((start, stop), fill=tags.BLACK, width=width + 2)
        draw.line((start, stop), fill=style["line"], width=width)


def save(picture, path, **options):
    """Write a picture (PIL) or a figure (matplotlib) by the path's suffix, whole or not at all.

    options: of the picture's save or the figure's savefig, such as dpi.
    """
    with files.atomic_path(path) as part:
        (picture.savefig if hasattr(picture, "savefig") else picture.save)(part, **options)


def scaled(frame, width):
    """A frame at another width, same shape; every line that is drawn later is then as sharp as can be."""
    if width is None or width == frame.shape[1]:
        return frame
    size = (int(width), max(1, round(frame.shape[0] * width / frame.shape[1])))
    return np.asarray(Image.fromarray(np.ascontiguousarray(frame)).resize(size, Image.Resampling.LANCZOS))


def grid(pictures, columns=4, gap=4):
    """Pictures of one size in lines of `columns`, white between them -> (H,W,3) uint8."""
    columns = min(columns, len(pictures))
    height, width = pictures[0].shape[:2]
    lines = -(-len(pictures) // columns)
    out = np.full((lines * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for i, picture in enumerate(pictures):
        y, x = i // columns * (height + gap), i % columns * (width + gap)
        out[y : y + height, x : x + width] = picture
    return out


def captioned(picture, text, size=13):
    """A picture (H,W,3) under a caption: what one should see, and in a second line the run that it comes from."""
    text = text.split(" ") + (["\n", *run.line().split(" ")] if run.line() else [])
    lines = [""]
    for word in text:
        longer = f"{lines[-1]} {word}".strip()
        if word == "\n" or tags.length(longer, size) > picture.shape[1] - 8:
            lines.append(word.strip())
        else:
            lines[-1] = longer
    strip = Image.new("RGB", (picture.shape[1], (size + 6) * len(lines) + 4), "white")
    draw = ImageDraw.Draw(strip)
    for i, line in enumerate(lines):
        draw.text((4, 5 + i * (size + 6)), line, fill=tags.BLACK, font=tags.font(size))
    return np.concatenate([np.asarray(strip), picture])


def contact_sheet(frames, columns=4, titles=None, width=None, gap=4, caption=None):
    """Frames side by side in rows -> PIL image. titles: one a frame, drawn into it; width: of each frame, in pixels;
    caption: above all of them, with the run."""
    frames = [scaled(frame, width) for frame in frames]
    if not frames:
        raise ValueError("a contact sheet of no frames")
    if titles is not None:
        frames = [overlay(frame, [], title=title) for frame, title in zip(frames, titles, strict=True)]
    columns = min(columns, len(frames))
    w, h = max(f.shape[1] for f in frames) + gap, max(f.shape[0] for f in frames) + gap
    sheet = Image.new("RGB", (columns * w - gap, -(-len(frames) // columns) * h - gap), "white")
    for i, frame in enumerate(frames):
        sheet.paste(Image.fromarray(frame), (i % columns * w, i // columns * h))
    return Image.fromarray(captioned(np.asarray(sheet), caption)) if caption else sheet


def keyframe_sheet(layout, split, table, count=6, columns=3, width=400, caption=KEYFRAMES):
    """Keyframes of a data set with their annotated boxes and labels, spread over videos and actions -> PIL image.

    table: the split's ground truth. Taken are, one after the other, the keyframes that add the most new actions, each
    from another video while there are any.
    """
    frames, names = [], layout.action_names()
    for video_id, timestamp in _varied(table, count):
        rows = table[(table.video_id == video_id) & (table.timestamp == timestamp)]
        frame = _keyframe(layout, video_id, timestamp, width)
        title = f"{split}  {video_id}  {seconds_text(timestamp)} s"
        frames.append(overlay(frame, people_at(rows), title=title, label_map=names))
    clock = "AVA's seconds" if layout.start else "seconds from the video's beginning"
    return contact_sheet(frames, columns, caption=caption and caption.replace("{clock}", clock))


def seconds_text(seconds):
    """A time to the millisecond, without zeros at its end: '902', '12345.678'."""
    return f"{round(float(seconds), 3):.12g}"


def _keyframe(layout, video_id, timestamp, width):
    """The picture of an annotated second, (H,width,3)."""
    with open_video(layout, video_id) as reader:
        number = min(max(1, round((timestamp - layout.start) * 30) + 1), reader.n_ava_frames)
        return scaled(reader.ava_frames([number])[0], width)


def mistakes_sheet(layout, worst, columns=4, width=320, caption=MISTAKES):
    """The most confident mistakes (errors.Analysis.worst) as pictures -> PIL image.

    Green: the detection and its score; blue: the annotated person nearest to it, with what that person really does.
    """
    frames, names = [], layout.action_names()
    for row in worst.itertuples():
        people = [Person(np.array([row.x1, row.y1, row.x2, row.y2]), ((row.action_id, row.score),))]
        if not np.isnan(row.gt_x1):
            people.append(Person(np.array([row.gt_x1, row.gt_y1, row.gt_x2, row.gt_y2]), ((row.does, None),)))
        known = names | {row.does: row.does}  # of the person: names already, several in a line
        title = f"{row.kind}: {row.video_id} {seconds_text(row.timestamp)} s"
        frame = _keyframe(layout, row.video_id, row.timestamp, width)
        frames.append(overlay(frame, people, colour=[GREEN, BLUE][: len(people)], title=title, label_map=known))
    return contact_sheet(frames, columns, caption=caption)


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
