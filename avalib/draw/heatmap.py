"""An Explanation as a contact sheet: the clip's frames, what raised the score, how much each frame contributed."""

from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from PIL import Image

from avalib.data.labels import shorten_action_name
from avalib.draw.annotate import annotate_frame
from avalib.draw.box_styles import GREEN
from avalib.draw.people import Person
from avalib.draw.sheets import draw_contact_sheet
from avalib.video.resize import resize_to_width

if TYPE_CHECKING:
    from avalib.evaluation.explanation import Explanation


def draw_explanation_sheet(
    explanation: "Explanation", columns: int = 4, width: int = 320, label_map: dict[int, str] | None = None
) -> Image.Image:
    """Draw the frames of a clip with the regions that raised a score.

    Parameters
    ----------
    explanation : Explanation
        From `explain_detection`. Of a segment of several frames the middle one is drawn.
    columns, width : int
        As for draw_contact_sheet.
    label_map : dict, optional
        {action_id: name}; default: AVA's names.

    Returns
    -------
    PIL.Image.Image
    """
    name = (label_map or {}).get(explanation.action_id) or shorten_action_name(explanation.action_id)
    frame_height, frame_width = explanation.frames.shape[1:3]
    # (4,) in fractions of the frame, as annotate_frame takes it.
    box = np.asarray(explanation.box_px) / [frame_width, frame_height, frame_width, frame_height]
    frames = []
    # One picture per segment of the clip: its middle frame, and what the score loses without the segment.
    for segment, score_drop in zip(explanation.segments, explanation.score_drops, strict=True):
        middle = segment[len(segment) // 2]
        numbers = f"frame {segment[0] + 1}"
        if len(segment) > 1:
            numbers = f"frames {segment[0] + 1} to {segment[-1] + 1}"
        picture = overlay_heatmap(explanation.frames[middle], explanation.heatmap[middle])
        title = f"{numbers}: {-score_drop:+.2f} without"
        frames.append(annotate_frame(resize_to_width(picture, width), [Person(box, ())], GREEN, title))
    caption = (
        f"{explanation.model}: where '{name}' {explanation.score:.2f} came from. Bright: regions that raised it, as "
        "coarse as the last feature map (16 pixels); in the corners: by how much the score changes without these frames"
    )
    return draw_contact_sheet(frames, columns, caption=caption)


def overlay_heatmap(frame: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """A frame (H,W,3) uint8, darker where heat (H,W) 0..1 is low, glowing where it is high."""
    # The root lifts weak regions, which would be black otherwise: (H,W,1)
    strength = np.sqrt(heat)[..., None]
    # inferno's color for each pixel, 0..255: (H,W,3)
    glow = matplotlib.colormaps["inferno"](strength[..., 0])[..., :3] * 255
    # The frame at 55 % to 90 % of its brightness, and the glow over up to 65 % of it.
    opacity = 0.65 * strength
    darkened = (0.55 + 0.35 * strength) * frame
    return ((1 - opacity) * darkened + opacity * glow).clip(0, 255).astype(np.uint8)
