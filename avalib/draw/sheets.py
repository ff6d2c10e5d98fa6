"""Sheets of frames: tiled, captioned, for keyframes and for mistakes. Frames are (H,W,3) uint8."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from avalib.data.layout import DatasetLayout
from avalib.draw.annotate import FrameAnnotator, annotate_frame
from avalib.draw.box_styles import BLACK, BLUE, GREEN
from avalib.draw.label_tags import load_font, measure_text_width
from avalib.draw.people import Person, select_people
from avalib.utils.notebook_run import get_run_caption
from avalib.video.frame_numbers import to_frame_number
from avalib.video.frame_source import open_video
from avalib.video.resize import resize_to_width

MISTAKES_CAPTION = (
    "The surest mistakes: green, the detection and its score; blue, the nearest person and what it really does"
)
KEYFRAMES_CAPTION = "Annotated keyframes: a box around every person, what it does on the box; times in {clock}"
SAME_VIDEO_COST = 10  # in rarities of actions: a keyframe of another video nearly always comes first


def tile_frames(frames: list[np.ndarray], columns: int = 4, gap: int = 4) -> np.ndarray:
    """Frames side by side in lines of `columns`, `gap` white pixels between them -> (H,W,3) uint8.

    Every tile is as large as the largest frame.
    """
    # White tiles of the largest frame's size and the gap, each frame in its tile's upper left corner.
    columns = min(columns, len(frames))
    tile_height = max(frame.shape[0] for frame in frames) + gap
    tile_width = max(frame.shape[1] for frame in frames) + gap
    n_lines = -(-len(frames) // columns)  # rounded up
    sheet = np.full((n_lines * tile_height - gap, columns * tile_width - gap, 3), 255, np.uint8)
    for i, frame in enumerate(frames):
        y = i // columns * tile_height
        x = i % columns * tile_width
        sheet[y : y + frame.shape[0], x : x + frame.shape[1]] = frame
    return sheet


def add_caption(picture, text, font_size=13):
    """A picture (H,W,3) under a caption, and under the line that names the notebook's run, where there is one."""
    margin = 4
    # The caption's lines, then those of the run.
    lines = []
    for paragraph in filter(None, (text, get_run_caption())):
        lines += _wrap_text(paragraph, picture.shape[1] - 2 * margin, font_size)
    line_height = font_size + 6
    # A white strip as wide as the picture, a line of text below the other, then the picture.
    strip = Image.new("RGB", (picture.shape[1], line_height * len(lines) + margin), "white")
    draw = ImageDraw.Draw(strip)
    for i, line in enumerate(lines):
        draw.text((margin, margin + 1 + i * line_height), line, fill=BLACK, font=load_font(font_size))
    return np.concatenate([np.asarray(strip), picture])


def _wrap_text(text, width, font_size):
    """The lines of a text that is at most `width` pixels wide; a longer word has a line of its own."""
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}".strip()
        if measure_text_width(longer, font_size) > width:
            lines.append(word.strip())
        else:
            lines[-1] = longer
    return lines


def draw_contact_sheet(
    frames: Iterable[np.ndarray],
    columns: int = 4,
    titles: Sequence[str] | None = None,
    width: int | None = None,
    gap: int = 4,
    caption: str | None = None,
) -> Image.Image:
    """Draw frames side by side.

    Parameters
    ----------
    frames : list of (H,W,3) uint8
    columns : int
        Frames in a line.
    titles : list of str, optional
        One for each frame, drawn into it.
    width : int, optional
        Of each frame, in pixels; None: as they are.
    gap : int
        White pixels between frames.
    caption : str, optional
        Above all of them, together with the notebook's run.

    Returns
    -------
    PIL.Image.Image

    Raises
    ------
    ValueError
        There are no frames.
    """
    frames = [resize_to_width(frame, width) for frame in frames]
    if not frames:
        raise ValueError("no frames: a contact sheet needs at least one")
    if titles is not None:
        frames = [annotate_frame(frame, [], title=title) for frame, title in zip(frames, titles, strict=True)]
    sheet = tile_frames(frames, columns, gap)
    return Image.fromarray(add_caption(sheet, caption) if caption else sheet)


def draw_keyframe_sheet(
    layout: DatasetLayout,
    split: str,
    table: pd.DataFrame,
    count: int = 6,
    columns: int = 3,
    width: int = 400,
    caption: str | None = KEYFRAMES_CAPTION,
) -> Image.Image:
    """Draw keyframes of a data set with their annotated boxes and labels, of many videos and actions.

    Parameters
    ----------
    layout : DatasetLayout
    split : str
        For the titles.
    table : DataFrame
        The split's ground truth.
    count : int
        How many keyframes: each next one adds the most new actions, from another video while there are any.
    columns, width, caption
        As for draw_contact_sheet.

    Returns
    -------
    PIL.Image.Image
    """
    frames = []
    annotator = FrameAnnotator(layout.load_short_names())
    for video_id, timestamp in _select_varied_keyframes(table, count):
        keyframe = table[(table.video_id == video_id) & (table.timestamp == timestamp)]
        frame = _load_keyframe(layout, video_id, timestamp, width)
        title = f"{split}  {video_id}  {format_seconds(timestamp)} s"
        frames.append(annotator.annotate(frame, select_people(keyframe), title=title))
    clock = "AVA's seconds" if layout.start_s else "seconds from the video's beginning"
    return draw_contact_sheet(frames, columns, caption=caption and caption.replace("{clock}", clock))


def draw_mistakes_sheet(
    layout: DatasetLayout,
    mistakes: pd.DataFrame,
    columns: int = 4,
    width: int = 320,
    caption: str | None = MISTAKES_CAPTION,
) -> Image.Image:
    """Draw the most confident mistakes.

    Green: the detection and its score. Blue: the annotated person nearest to it, with what that person does.

    Parameters
    ----------
    layout : DatasetLayout
    mistakes : DataFrame
        From ErrorAnalysis.find_top_mistakes.
    columns, width, caption
        As for draw_contact_sheet.

    Returns
    -------
    PIL.Image.Image

    Raises
    ------
    ValueError
        There are no mistakes.
    """
    frames = []
    names = layout.load_short_names()
    for mistake in mistakes.itertuples():
        # The detection in green; the nearest annotated person in blue, if the keyframe has one.
        box = np.array([mistake.x1, mistake.y1, mistake.x2, mistake.y2])
        people = [Person(box, ((mistake.action_id, mistake.score),))]
        styles = [GREEN]
        if not np.isnan(mistake.gt_x1):
            box = np.array([mistake.gt_x1, mistake.gt_y1, mistake.gt_x2, mistake.gt_y2])
            people.append(Person(box, ((mistake.does, None),)))
            styles.append(BLUE)
        # `does` is text already, several names in one label: it stands for itself.
        annotator = FrameAnnotator(names | {mistake.does: mistake.does})
        frame = _load_keyframe(layout, mistake.video_id, mistake.timestamp, width)
        title = f"{mistake.kind}: {mistake.video_id} {format_seconds(mistake.timestamp)} s"
        frames.append(annotator.annotate(frame, people, styles, title))
    return draw_contact_sheet(frames, columns, caption=caption)


def format_seconds(seconds):
    """A time to the millisecond, without zeros at its end: '902', '12345.678'."""
    return f"{round(float(seconds), 3):.12g}"


def _load_keyframe(layout, video_id, timestamp, width):
    """The picture of an annotated second, (H,width,3)."""
    # The timestamp's AVA frame, or the nearest one that the video has.
    number = to_frame_number(timestamp, layout.get_start_s(video_id))
    with open_video(layout, video_id) as reader:
        number = min(max(1, number), reader.n_ava_frames)
        return resize_to_width(reader.read_ava_frames([number])[0], width)


def _select_varied_keyframes(table, count):
    """`count` sorted (video_id, timestamp) with many actions, rare ones too, of as many videos as possible."""
    # An action counts by its rarity, so that a new rare one is worth more than a new common one.
    rarity = 1 / table.action_id.value_counts()
    actions_of = table.groupby(["video_id", "timestamp"], sort=True).action_id.agg(frozenset)
    chosen = []
    shown_actions = set()
    for _ in range(min(count, len(actions_of))):
        # The keyframe that adds most is chosen next.
        used_videos = [video_id for video_id, _ in chosen]
        # (value, keyframe) of each that is not chosen yet: its new actions by rarity, less if its video is shown.
        candidates = []
        for keyframe, actions in actions_of.items():
            if keyframe not in chosen:
                gain = sum(rarity[action] for action in actions - shown_actions)
                candidates.append((gain - SAME_VIDEO_COST * used_videos.count(keyframe[0]), keyframe))
        best = max(candidates)[1]
        chosen.append(best)
        shown_actions |= actions_of[best]
    return sorted(chosen)
