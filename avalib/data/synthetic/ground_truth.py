"""Annotations of a rendered video as AVA has them: boxes and labels each second, excluded seconds, person proposals.

Boxes come from masks, so they hold what is visible; labels from what was performed within half a second.
"""

from collections import Counter

import numpy as np

from avalib.data.synthetic.motions import POSES

FIRST_SECOND = 900  # of AVA's clock, at a video's first frame
LEAST_VISIBLE = 0.25  # of a body; less is not annotated
_BOX_NOISE = 0.008  # of a box's side: the annotators' hand


def build_annotations(takes, fps, n_frames, rng):
    """Rows of one video, from [(first frame, Take)].

    Returns truth [(second, x1, y1, x2, y2, action_id, person_id)], excluded [second] and proposals
    [(second, x1, y1, x2, y2, score)]; boxes in 0..1.
    """
    truth, excluded, proposals = [], [], []
    second = 2
    while (second + 1) * fps <= n_frames:
        frame = round(second * fps)
        first, take = [(f, t) for f, t in takes if f <= frame][-1]
        people = list_people(take, frame - first, fps)
        near_cut = any(f and abs(f - frame) < 0.55 * fps for f, _ in takes)
        skip = rng.random() < (0.3 if near_cut else 0.012)
        if skip:
            excluded.append(FIRST_SECOND + second)
        keep = not skip or rng.random() < 0.5  # some excluded seconds still have rows, as in AVA
        for box, labels, person_id, visible in people:
            noisy = _jitter(box, _BOX_NOISE, rng)
            if keep:
                truth += [(FIRST_SECOND + second, *noisy, action, person_id) for action in labels]
            proposals += [(FIRST_SECOND + second, *p) for p in _detected(box, visible, rng)]
        proposals += [(FIRST_SECOND + second, *p) for p in _false_alarms(rng)]
        second += 1
    return truth, excluded, proposals


def list_people(take, i, fps):
    """[(box (4,) 0..1, action ids, person id, visible share)] of who is seen well enough in frame i of a take."""
    mask, found = take.mask(i), []
    height, width = mask.shape
    for k, performer in enumerate(take.shot.performers):
        rows, columns = np.nonzero(mask == k + 1)
        visible = len(rows) / max(take.whole(k, i), 1)
        if visible < LEAST_VISIBLE or len(rows) < 300:
            continue
        box = [columns.min() / width, rows.min() / height, (columns.max() + 1) / width, (rows.max() + 1) / height]
        labels = get_labels(take.tracks[k].labels, i, fps)
        found.append((np.array(box), labels, performer.character.person_id, visible))
    return found


def get_labels(labels, i, fps):
    """The one pose that fills most of the half second either side of frame i, and what else fills half of it."""
    around = labels[max(0, i - round(fps / 2)) : i + round(fps / 2) + 1]
    count = Counter(action for frame in around for action in frame)
    pose = max((a for a in count if a in POSES), key=lambda a: (count[a], a in labels[i]))
    return [pose, *sorted(a for a in count if a not in POSES and count[a] >= len(around) / 2)]


def _jitter(box, sigma, rng):
    """The box with each side moved by a normal error (a fraction of the box's size), inside 0..1."""
    size = np.array([box[2] - box[0], box[3] - box[1]] * 2)
    return np.round(np.clip(box + rng.normal(0, sigma, 4) * size, 0, 1), 3)


def _detected(box, visible, rng):
    """What a detector makes of one person: [(x1, y1, x2, y2, score)], mostly one good box."""
    if rng.random() < (0.035 if visible > 0.6 else 0.16):
        return []
    sure = rng.random() < (0.96 if visible > 0.6 else 0.85)
    score = rng.uniform(0.93, 0.999) if sure else rng.uniform(0.3, 0.9)
    found = [(*_jitter(box, 0.03, rng), round(score, 4))]
    if rng.random() < 0.04:  # found twice, the second time badly
        found.append((*_jitter(box, 0.13, rng), round(rng.uniform(0.3, 0.97), 4)))
    return found


def _false_alarms(rng):
    """Boxes where nobody is, seldom with a high score."""
    boxes = []
    for _ in range(rng.poisson(0.25)):
        width, height = rng.uniform(0.06, 0.3), rng.uniform(0.2, 0.7)
        x, y = rng.uniform(0, 1 - width), rng.uniform(0, 1 - height)
        score = rng.uniform(0.9, 0.97) if rng.random() < 0.2 else rng.uniform(0.1, 0.9)
        boxes.append((*np.round([x, y, x + width, y + height], 3), round(score, 4)))
    return boxes
