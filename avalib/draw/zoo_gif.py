"""The same seconds as every model has detected them, side by side, as one GIF."""

from pathlib import Path

from avalib import zoo
from avalib.draw.render import render_side_by_side, save_gif, save_mp4
from avalib.draw.scene import load_scene
from avalib.draw.sheets import add_caption

ORDER = "annotated, then the rows of the zoo; green: what they say, its score"


def write_zoo_gif(layout, truth, rows, out, video="", start=None, seconds=10, fps=3, width=200, **look):
    """Write the GIF and an mp4 beside it; -> (path of the GIF, Scene).

    rows: {name: detections}; video, start: None and "" take what is liveliest; fps: pictures a second; width: of each
    panel, in pixels; look: see side_by_side.
    """
    cut = load_scene(layout, truth, rows, video, start, seconds, fps, label_map=None)
    words = (
        f"{cut.video_id}, {cut.start:.0f} to {cut.stop:.0f} s, {len(rows)} of {len(zoo.list_models())} rows: {ORDER}"
    )
    frames = [add_caption(frame, words) for frame in render_side_by_side(cut, width, **look)]
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    save_mp4(Path(out).with_suffix(".mp4"), frames, fps)
    return save_gif(out, frames, fps, colours=64), cut  # under 2 MB, small enough for git
