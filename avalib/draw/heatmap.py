"""An explain.Explanation as a contact sheet: the clip's frames, what raised the score, what each frame was worth."""

import matplotlib
import numpy as np

from avalib.data.labels import shorten_action_name
from avalib.draw.annotate import annotate_frame, scale_frame
from avalib.draw.label_layout import GREEN
from avalib.draw.people import Person
from avalib.draw.sheets import draw_contact_sheet


def draw_explanation_sheet(found, columns=4, width=320, label_map=None):
    """The frames of a clip with the regions that raised a score on them -> PIL image.

    found: explain.Explanation. Where it leaves out several frames together, the middle one of each part is shown.
    """
    name = (label_map or {}).get(found.action_id) or shorten_action_name(found.action_id)
    height, wide = found.frames.shape[1:3]
    person = Person(np.asarray(found.box_px) / [wide, height, wide, height], ())
    frames = []
    for part, lost in zip(found.segments, found.score_drops, strict=True):
        t = part[len(part) // 2]
        said = f"frame {part[0] + 1}" if len(part) == 1 else f"frames {part[0] + 1} to {part[-1] + 1}"
        picture = scale_frame(overlay_heatmap(found.frames[t], found.heatmap[t]), width)
        frames.append(annotate_frame(picture, [person], GREEN, f"{said}: {-lost:+.2f} without"))
    caption = (
        f"{found.model}: where '{name}' {found.score:.2f} came from. Bright: regions that raised it, as coarse as the "
        "last feature map (16 pixels); in the corners: by how much the score changes without these frames"
    )
    return draw_contact_sheet(frames, columns, caption=caption)


def overlay_heatmap(frame, heat):
    """A frame (H,W,3) uint8, darker where heat (H,W) 0..1 is low, glowing where it is high."""
    glow = matplotlib.colormaps["inferno"](np.sqrt(heat))[..., :3] * 255
    share = 0.65 * np.sqrt(heat)[..., None]
    return ((1 - share) * (0.55 + 0.35 * np.sqrt(heat)[..., None]) * frame + share * glow).clip(0, 255).astype(np.uint8)
