"""Boxes and labels on frames, and sheets of frames. Frames are (H,W,3) uint8; boxes fractions of the frame."""

from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from avalib import actions
from avalib.draw.people import Person, people_at
from avalib.frames import open_video

# Tags from the first line down, each dark enough for white text (contrast over 4.5), and the box line. Blue and green
# as everybody knows them from the zoo; this green is also much lighter than this blue, for eyes that mix the two up.
BLUE = {"line": (70, 150, 255), "tags": ((0, 44, 140), (0, 58, 165), (8, 72, 186), (18, 84, 200), (28, 94, 208))}
GREEN = {"line": (90, 225, 110), "tags": ((0, 78, 38), (0, 90, 44), (0, 101, 50), (0, 111, 55), (0, 119, 60))}
TEXT = (255, 255, 255)
KEEP = [BLUE["line"], GREEN["line"], *BLUE["tags"], *GREEN["tags"], TEXT, (20, 20, 20)]


@cache
def font(size):
    """Matplotlib's own bold sans at `size` pixels."""
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans-Bold.ttf", size)


def text_size(height, width):
    """Pixels of the labels' font on a frame: 12 is the smallest that stays legible."""
    return max(12, round(min(height, width) / 42))


def overlay(frame, people, colour=BLUE, title=None, label_map=None, places=None):
    """A copy of `frame` with each person's box, and label lines `action score` stacked on tags.

    people: [Person]; colour: BLUE (annotated) or GREEN (predicted); title: a tag in the frame's top left corner;
    label_map {action_id: name}, default AVA's names without their brackets. Tags stay inside the frame and off each
    other while there is room: inside the box's top, above where they'd hide much of a small person, else wherever they
    are least in the way. places: a dict to keep from frame to frame of a video, so that tags stay at their side.
    """
    image = Image.fromarray(np.ascontiguousarray(frame))
    draw, size = ImageDraw.Draw(image), text_size(*frame.shape[:2])
    taken = []
    if title:
        taken.append(_tags(draw, (0, 0), [title], size, [(20, 20, 20)]))
    shape = np.array([image.width, image.height] * 2)
    boxes = [np.round(person.box * shape).astype(int) for person in people]
    boxes = [np.clip(box, 0, shape - 1) for box in boxes]
    for box in boxes:
        _outline(draw, box, colour["line"], max(2, round(size / 9)))
    for i in np.argsort([box[1] for box in boxes]):  # from the top down
        lines = [_line(action, score, label_map, size, image.width) for action, score in people[i].labels]
        if lines:
            before = None if places is None else places.get(people[i].person_id)
            best, place = place_tags(_extent(lines, size), i, boxes, taken, image.size, before)
            taken.append(_tags(draw, place, lines, size, colour["tags"]))
            if places is not None:
                places[people[i].person_id] = best
    return np.asarray(image)


def _outline(draw, box, colour, width):
    x1, y1, x2, y2 = box.tolist()
    draw.rectangle((x1, y1, max(x2, x1), max(y2, y1)), outline=(20, 20, 20), width=width + 1)
    draw.rectangle((x1, y1, max(x2, x1), max(y2, y1)), outline=colour, width=width)


def _line(action, score, label_map, size, widest):
    """'walk 0.93', shortened until it fits into the frame."""
    name = label_map[action] if label_map else actions.short_name(action)
    ending = "" if score is None else f" {score:.2f}"
    while _extent([name + ending], size)[0] > widest and len(name) > 2:
        name = name.rstrip("…")[:-1] + "…"
    return name + ending


def _extent(lines, size):
    """(width, height) in pixels of a stack of tags."""
    pad = size // 4
    return max(int(font(size).getlength(line)) for line in lines) + 2 * pad, len(lines) * (size + 2 * pad)


def _tags(draw, place, lines, size, colours):
    """Draw a stack of tags with its top left corner at `place`; returns x1, y1, x2, y2 of what it covers."""
    pad, (x, y) = size // 4, place
    width = 0
    for i, line in enumerate(lines):
        w, h = _extent([line], size)
        draw.rectangle((x, y + i * h, x + w - 1, y + (i + 1) * h - 1), fill=colours[min(i, len(colours) - 1)])
        draw.text((x + pad, y + i * h + h / 2), line, fill=TEXT, font=font(size), anchor="lm")
        width = max(width, w)
    return x, y, x + width, y + len(lines) * h


def place_tags(extent, i, boxes, taken, image_size, before=None):
    """Where person i's tags go: (which candidate, (x, y) of their top left corner), always inside the frame.

    The candidate that covers least of other tags, then of other people and of the person where it is small, and isn't
    far away. extent: (w, h) of the stack; boxes: everybody's, in pixels; taken: tags
    that are placed; image_size: (width, height); before: the candidate of the last frame, preferred a little.
    """
    (w, h), (x1, y1, x2, y2) = extent, boxes[i].tolist()
    candidates = [
        (x1, y1),
        (x1, y1 - h),
        (x2 - w, y1 - h),
        (x2 - w, y1),
        (x1, y2 - h),
        (x1, y2),
        (x2, y1),
        (x1 - w, y1),
    ]
    candidates += [(x, y) for y in range(0, image_size[1] - h, max(h // 4, 1)) for x in (x1, x2 - w)]
    limit = max(image_size[0] - w, 0), max(image_size[1] - h, 0)
    candidates = [(min(max(x, 0), limit[0]), min(max(y, 0), limit[1])) for x, y in candidates]
    small = w * h > 0.2 * (x2 - x1) * (y2 - y1)

    def cost(n):
        x, y = candidates[n]
        tag = (x, y, x + w, y + h)
        others = sum(_overlap(tag, box) for j, box in enumerate(boxes) if j != i) / (w * h)
        away = (abs(x - x1) + max(0, y1 - h - y, y - y2)) / h
        start = 0.1 if n else 0.5 if small else 0  # inside the box's top is best, unless it hides a small person
        return sum(_overlap(tag, other) for other in taken), start + others + 0.4 * away - 0.3 * (n == before)

    best = min(range(len(candidates)), key=cost)
    return best, candidates[best]


def _overlap(a, b):
    return max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))


def scaled(frame, width):
    """A frame at another width, same shape; every line that is drawn later is then as sharp as can be."""
    if width is None or width == frame.shape[1]:
        return frame
    size = (int(width), max(1, round(frame.shape[0] * width / frame.shape[1])))
    return np.asarray(Image.fromarray(np.ascontiguousarray(frame)).resize(size, Image.Resampling.LANCZOS))


def contact_sheet(frames, columns=4, titles=None, width=None, gap=4):
    """Frames side by side in rows -> PIL image. titles: one a frame, drawn into it; width: of each frame, in pixels."""
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
    return sheet


def keyframe_sheet(layout, split, table, count=6, columns=3, width=400):
    """Keyframes of a data set with their annotated boxes and labels, spread over videos and actions -> PIL image.

    table: the split's ground truth. Taken are, one after the other, the keyframes that add the most new actions, each
    from another video while there are any.
    """
    frames = []
    for video_id, timestamp in _varied(table, count):
        rows = table[(table.video_id == video_id) & (table.timestamp == timestamp)]
        frame = _keyframe(layout, video_id, timestamp, width)
        frames.append(overlay(frame, people_at(rows), title=f"{split}  {video_id}  {timestamp:.0f} s"))
    return contact_sheet(frames, columns)


def _keyframe(layout, video_id, timestamp, width):
    """The picture of an annotated second, (H,width,3)."""
    with open_video(layout, video_id) as reader:
        number = min(max(1, round((timestamp - 900) * 30) + 1), reader.n_ava_frames)
        return scaled(reader.ava_frames([number])[0], width)


def mistakes_sheet(layout, worst, columns=4, width=320):
    """The most confident mistakes (errors.Analysis.worst) as pictures -> PIL image.

    Green: the detection and its score; blue: the annotated person nearest to it, with what that person really does.
    """
    frames = []
    for row in worst.itertuples():
        box = np.array([row.x1, row.y1, row.x2, row.y2])
        said = Person(box, ((row.action_id, row.score),))
        frame = _keyframe(layout, row.video_id, row.timestamp, width)
        if not np.isnan(row.gt_x1):
            truth = Person(np.array([row.gt_x1, row.gt_y1, row.gt_x2, row.gt_y2]), ((row.does, None),))
            frame = overlay(frame, [truth], label_map={row.does: row.does})  # names already, several in a line
        frames.append(overlay(frame, [said], colour=GREEN, title=f"{row.kind}: {row.video_id} {row.timestamp:.0f} s"))
    return contact_sheet(frames, columns)


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
