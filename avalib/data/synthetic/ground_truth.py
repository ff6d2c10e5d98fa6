"""Annotations of a rendered video as AVA has them: boxes and labels each second, excluded seconds, person proposals.

Boxes come from masks, so they hold what is visible; labels from what was performed within half a second.
"""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from avalib.data.synthetic.action_ids import POSE_ACTIONS
from avalib.data.synthetic.camera import Take
from avalib.video.frame_numbers import AVA_START_S

FIRST_ANNOTATED_SECOND = 2  # of the video
MIN_VISIBLE_SHARE = 0.25  # of a body; people who are less visible are not annotated
MIN_VISIBLE_PIXELS = 300  # of the stage
BOX_NOISE = 0.008  # of a box's side: the annotators' hand
CUT_DISTANCE_S = 0.55  # a keyframe that is nearer to a cut is often excluded
NEAR_CUT_EXCLUDED_SHARE = 0.3
EXCLUDED_SHARE = 0.012
CLEAR_SHARE = 0.6  # of a body; detectors hardly miss people who are more visible


@dataclass(frozen=True)
class PlacedTake:
    """A Take and the frame of the video at which it begins."""

    first_frame: int
    take: Take


@dataclass(frozen=True)
class VisiblePerson:
    """A person who is visible enough to be annotated."""

    box: np.ndarray  # (4,) xyxy, 0..1
    labels: list[int]
    person_id: int
    visible_share: float  # of the body


@dataclass
class VideoAnnotations:
    """The annotations of one video, as rows; boxes in 0..1, seconds of AVA's clock."""

    truth: list = field(default_factory=list)  # (second, x1, y1, x2, y2, action_id, person_id)
    excluded: list = field(default_factory=list)  # second
    proposals: list = field(default_factory=list)  # (second, x1, y1, x2, y2, score)


def build_annotations(takes, fps, n_frames, rng):
    """The VideoAnnotations of one video.

    Parameters
    ----------
    takes : list of PlacedTake
        All shots, in order.
    fps : float
    n_frames : int
        Of the video.
    rng : Generator
        Of exclusions, and of annotators' and detectors' errors.

    Returns
    -------
    VideoAnnotations
    """
    annotations = VideoAnnotations()
    video_second = FIRST_ANNOTATED_SECOND
    while (video_second + 1) * fps <= n_frames:
        second = AVA_START_S + video_second
        frame = round(video_second * fps)
        # The shot that is running at this second.
        current = [placed for placed in takes if placed.first_frame <= frame][-1]
        people = list_visible_people(current.take, frame - current.first_frame, fps)

        is_near_cut = any(
            placed.first_frame and abs(placed.first_frame - frame) < CUT_DISTANCE_S * fps for placed in takes
        )
        is_excluded = rng.random() < (NEAR_CUT_EXCLUDED_SHARE if is_near_cut else EXCLUDED_SHARE)
        if is_excluded:
            annotations.excluded.append(second)
        is_annotated = not is_excluded or rng.random() < 0.5  # some excluded seconds still have rows, as in AVA
        for person in people:
            # Annotators draw by hand.
            box = _jitter_box(person.box, BOX_NOISE, rng)
            if is_annotated:
                annotations.truth.extend((second, *box, action_id, person.person_id) for action_id in person.labels)
            annotations.proposals.extend((second, *detection) for detection in _detect_person(person, rng))
        annotations.proposals.extend((second, *detection) for detection in _draw_false_alarms(rng))
        video_second += 1
    return annotations


def list_visible_people(take, frame, fps):
    """The VisiblePersons in a frame of a take."""
    mask = take.draw_mask(frame)
    height, width = mask.shape
    people = []
    for index, performer in enumerate(take.shot.performers):
        rows, columns = np.nonzero(mask == index + 1)
        visible_share = len(rows) / max(take.count_body_pixels(index, frame), 1)
        if visible_share < MIN_VISIBLE_SHARE or len(rows) < MIN_VISIBLE_PIXELS:
            continue
        # Bounds of the visible pixels, from edge to edge.
        box = [columns.min() / width, rows.min() / height, (columns.max() + 1) / width, (rows.max() + 1) / height]
        labels = select_labels(take.tracks[index].labels, frame, fps)
        people.append(VisiblePerson(np.array(box), labels, performer.character.person_id, visible_share))
    return people


def select_labels(labels, frame, fps):
    """The action ids of a frame: the pose that fills most of the second around it, and what else fills half of it.

    labels: tuples of action ids, one per frame.
    """
    half_second = round(fps / 2)
    window = labels[max(0, frame - half_second) : frame + half_second + 1]
    counts = Counter(action_id for of_frame in window for action_id in of_frame)
    # Of two poses that fill as much of it, the frame's own wins.
    poses = [action_id for action_id in counts if action_id in POSE_ACTIONS]
    pose = max(poses, key=lambda action_id: (counts[action_id], action_id in labels[frame]))
    others = [
        action_id for action_id, count in counts.items() if action_id not in POSE_ACTIONS and count >= len(window) / 2
    ]
    return [pose, *sorted(others)]


def _jitter_box(box, sigma, rng):
    """The box (4,) with each side moved by a normal error (a fraction of the box's size), inside 0..1."""
    width = box[2] - box[0]
    height = box[3] - box[1]
    errors = rng.normal(0, sigma, 4) * np.array([width, height, width, height])
    return np.round(np.clip(box + errors, 0, 1), 3)


def _detect_person(person, rng):
    """What a detector makes of one person: [(x1, y1, x2, y2, score)], mostly one good box."""
    # Detectors miss people who are half hidden more often, and score them lower.
    is_clear = person.visible_share > CLEAR_SHARE
    if rng.random() < (0.035 if is_clear else 0.16):
        return []
    is_sure = rng.random() < (0.96 if is_clear else 0.85)
    score = rng.uniform(0.93, 0.999) if is_sure else rng.uniform(0.3, 0.9)
    detections = [(*_jitter_box(person.box, 0.03, rng), round(score, 4))]
    if rng.random() < 0.04:  # detected twice, the second time badly
        detections.append((*_jitter_box(person.box, 0.13, rng), round(rng.uniform(0.3, 0.97), 4)))
    return detections


def _draw_false_alarms(rng):
    """Boxes where nobody is, seldom with a high score: [(x1, y1, x2, y2, score)]."""
    detections = []
    # One in four frames, on average.
    for _ in range(rng.poisson(0.25)):
        width = rng.uniform(0.06, 0.3)
        height = rng.uniform(0.2, 0.7)
        x = rng.uniform(0, 1 - width)
        y = rng.uniform(0, 1 - height)
        score = rng.uniform(0.9, 0.97) if rng.random() < 0.2 else rng.uniform(0.1, 0.9)
        detections.append((*np.round([x, y, x + width, y + height], 3), round(score, 4)))
    return detections
