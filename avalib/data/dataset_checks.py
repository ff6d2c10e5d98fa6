"""Checks of a data set's annotations: counts, rows, label maps, splits, person boxes."""

from avalib.data.check_report import NOTE, OK, WRONG, Finding
from avalib.data.exclusions import read_exclusions
from avalib.data.frame_lists import read_frame_list
from avalib.data.kinetics_annotations import name_clips_of_proposals
from avalib.data.label_map import read_label_map
from avalib.data.labels import get_action_names, get_evaluated_actions
from avalib.data.layout import SPLITS
from avalib.data.proposal_recall import compute_proposal_recall
from avalib.data.proposals import read_proposals
from avalib.data.row_checks import BOX_COLUMNS, KEYFRAME_COLUMNS

FIRST_SECOND, LAST_SECOND = 902, 1798  # that AVA annotates
KEYFRAMES_PER_VIDEO = LAST_SECOND - FIRST_SECOND + 1
OFFICIAL_VIDEOS = {"train": 235, "val": 64}  # of v2.1; v2.2 has the same videos and more rows
OFFICIAL_ROWS = {("v2.1", "train"): 837_318}  # other counts aren't published
PUBLISHED_RECALL = "0.939 published"  # of AVA's person boxes
MAX_OUTSIDE_SHARE = 0.01  # of the person boxes that may reach outside the frame
MAX_WITHOUT_BOXES_SHARE = 0.1  # of the keyframes that may have no person boxes
MIN_RECALL = 0.5  # of the person boxes


def check_counts(layout, split, table):
    """Yield the numbers of videos, keyframes, people and labels, for the real AVA against the official ones."""
    if layout.has_kinetics:
        is_clip = table.video_id.map(layout.get_clip).notna()
        if is_clip.any():
            counts = f"{table.video_id[is_clip].nunique():,} with {is_clip.sum():,} labels"
            yield Finding("clips of Kinetics", split, counts)
        table = table[~is_clip]  # the official numbers are AVA's
    official_videos = OFFICIAL_VIDEOS[split] if layout.is_real_ava else None
    n_videos = table.video_id.nunique()
    yield Finding(
        check="videos",
        split=split,
        value=n_videos,
        expected=official_videos or "",
        status=OK if official_videos in (None, n_videos) else WRONG,
    )
    n_keyframes = len(table[KEYFRAME_COLUMNS].drop_duplicates())
    # the official number of keyframes isn't published: only its upper limit is known
    max_keyframes = official_videos * KEYFRAMES_PER_VIDEO if official_videos else None
    yield Finding(
        check="keyframes",
        split=split,
        value=f"{n_keyframes:,}",
        expected=f"at most {max_keyframes:,}" if max_keyframes else "",
        status=WRONG if max_keyframes and n_keyframes > max_keyframes else OK,
    )
    n_people = len(table[KEYFRAME_COLUMNS + BOX_COLUMNS].drop_duplicates())
    yield Finding("boxes (people)", split, f"{n_people:,}")
    official_rows = OFFICIAL_ROWS.get((layout.version, split))
    yield Finding(
        check="labels (rows)",
        split=split,
        value=f"{len(table):,}",
        expected=f"{official_rows:,}" if official_rows else "",
        status=OK if official_rows in (None, len(table)) else WRONG,
    )


def check_annotations(layout, split, table, row_problems):
    """Yield the checks of a split's rows. row_problems: of `lint.find_row_problems`."""
    yield from row_problems
    n_odd = sum(len(problem.lines) for problem in row_problems)
    yield Finding("odd rows, total", split, n_odd, 0, NOTE if row_problems else OK)
    if not table.x1.notna().any():
        yield Finding("keyframes with boxes", split, 0, "at least 1", WRONG)
    if layout.has_kinetics:
        yield _check_seconds(layout, split, table)
    yield _check_exclusions(layout, split, table)


def check_frame_list(layout, split, videos):
    """Yield the check of PySlowFast's frame list, if there is one. videos: table of `survey_videos`."""
    path = layout.get_frame_list_path(split)
    if not path.is_file():
        return
    try:
        frames = read_frame_list(path)
    except ValueError as error:
        yield Finding("frame list", split, str(error).replace(str(path), path.name), "every frame in order", WRONG)
        return
    # positions mean the frames that are read only if the video has as many
    counts = frames.merge(videos[videos.frames > 0], on="video_id", suffixes=("_listed", ""))
    other = counts[counts.frames_listed != counts.frames]
    value = f"{len(frames)} videos, {frames.frames.sum():,} frames"
    if len(other):
        first = other.iloc[0]
        value += f"; {first.video_id} has {first.frames:,} frames, {first.frames_listed:,} listed"
    yield Finding("frame list", split, value, "every frame in order", NOTE if len(other) else OK)


def _check_seconds(layout, split, table):
    """The check that annotated seconds lie in AVA's range, and those of a clip of Kinetics in the clip."""
    ranges = {}
    for name in table.video_id.unique():
        clip = layout.get_clip(name)
        ranges[name] = (clip.start_s, clip.end_s) if clip else (FIRST_SECOND, LAST_SECOND)
    first = table.video_id.map(lambda name: ranges[name][0])
    last = table.video_id.map(lambda name: ranges[name][1])
    outside = table[(table.timestamp < first) | (table.timestamp > last)]
    value = 0 if outside.empty else f"{len(outside)}, such as {outside.video_id.iloc[0]},{outside.timestamp.iloc[0]:g}"
    check = f"rows outside {FIRST_SECOND}..{LAST_SECOND} s or their clip"
    return Finding(check, split, value, 0, WRONG if len(outside) else OK)


def _check_exclusions(layout, split, table):
    excluded = read_exclusions(layout.get_exclusions_path(split))
    # some excluded seconds have annotations all the same, in AVA too
    n_annotated = len(excluded.merge(table[KEYFRAME_COLUMNS].drop_duplicates(), on=KEYFRAME_COLUMNS))
    unknown = sorted(set(excluded.video_id) - set(table.video_id))
    value = f"{len(excluded)}, {n_annotated} of them annotated"
    if unknown:
        value += f"; unknown videos {unknown[:3]}"
    return Finding("excluded seconds", split, value, status=NOTE if unknown else OK)


def check_label_maps(layout):
    """Yield the checks of both label maps."""
    label_map = read_label_map(layout.label_map_path)
    if layout.is_own:
        yield Finding("label map", "", f"{len(label_map)} actions")
        return
    official = get_action_names()
    # AVA's actions under other names give no error anywhere, but other labels on pictures
    renamed = [action_id for action_id, name in label_map.items() if official.get(action_id) != name]
    value = f"{len(label_map)} actions"
    if renamed:
        value += f", other names for {renamed[:5]}"
    status = NOTE if renamed else OK
    if label_map.keys() != official.keys():
        status = WRONG
    yield Finding("label map", "", value, "80 actions", status)

    evaluated = read_label_map(layout.evaluated_label_map_path)
    expected = get_evaluated_actions() if layout.is_real_ava else evaluated
    is_right = evaluated.keys() == expected.keys() and evaluated.keys() <= label_map.keys()
    yield Finding("evaluated actions", "", len(evaluated), len(expected), OK if is_right else WRONG)


def check_splits(layout, tables):
    """Yield the checks of videos and keyframes in both splits. A user's video may be divided in time."""
    # whole videos are in one split; only a user's video may be divided
    both = sorted(set(tables["train"].video_id) & set(tables["val"].video_id))
    status = OK
    if both:
        status = NOTE if layout.is_own else WRONG
    yield Finding("videos in train and in val", "", ", ".join(both) or "none", "none", status)
    if not layout.is_own:
        return
    keyframes = {split: tables[split][KEYFRAME_COLUMNS].drop_duplicates() for split in SPLITS}
    n_both = len(keyframes["train"].merge(keyframes["val"], on=KEYFRAME_COLUMNS))
    yield Finding("keyframes in train and in val", "", n_both, 0, WRONG if n_both else OK)
    for split in SPLITS:
        if len(keyframes[split]) == 0:
            yield Finding("keyframes in the split", split, 0, "at least 1", WRONG)


def check_proposals(layout, split, table):
    """Yield the checks of a split's person boxes against its annotations."""
    path = layout.get_proposals_path(split)
    if not path.is_file():
        yield Finding("person boxes", split, f"{path.name} is missing", "a file", WRONG)
        return
    try:
        proposals = read_proposals(path)
    except ValueError as error:
        message = str(error).replace(str(path), path.name)
        yield Finding("person boxes", split, message, "a table of boxes", WRONG)
        return
    if layout.has_kinetics:
        named = name_clips_of_proposals(proposals.astype({"video_id": "category"}), table.video_id.unique())
        proposals = named.astype({"video_id": str})
    # (P,5) coordinates and score
    values = proposals[[*BOX_COLUMNS, "score"]].to_numpy()
    n_outside = int(((values < 0) | (values > 1)).any(axis=1).sum())
    status = WRONG if n_outside > len(values) * MAX_OUTSIDE_SHARE else OK
    yield Finding("person boxes outside 0..1", split, n_outside, 0, status)
    others = sorted(set(proposals.video_id) - set(table.video_id))
    if layout.is_own and others:
        yield Finding("person boxes of other videos", split, ", ".join(others[:5]), "none", NOTE)
    yield from _check_coverage(layout, split, table, proposals)


def _check_coverage(layout, split, table, proposals):
    """Yield how many keyframes and people have person boxes."""
    # own data sets can be trained without person boxes
    poor_status = NOTE if layout.is_own and split == "train" else WRONG
    keyframes = table[KEYFRAME_COLUMNS].drop_duplicates()
    # keyframes that have at least one box
    n_covered = len(keyframes.merge(proposals[KEYFRAME_COLUMNS].drop_duplicates(), on=KEYFRAME_COLUMNS))
    n_without = len(keyframes) - n_covered
    yield Finding(
        check="keyframes without person boxes",
        split=split,
        value=f"{n_without:,} of {len(keyframes):,}",
        expected="few",
        status=poor_status if n_without > len(keyframes) * MAX_WITHOUT_BOXES_SHARE else OK,
    )
    # one row per person: several actions share a box
    people = table[KEYFRAME_COLUMNS + BOX_COLUMNS].drop_duplicates(ignore_index=True)
    recall = compute_proposal_recall(people, proposals)
    recall_sure = compute_proposal_recall(people, proposals[proposals.score >= 0.9])
    yield Finding(
        check="people with a person box, IoU 0.5",
        split=split,
        value=f"{recall:.3f} (score 0.9: {recall_sure:.3f})",
        expected=PUBLISHED_RECALL if layout.is_real_ava else "",
        status=poor_status if recall < MIN_RECALL and len(people) else OK,
    )
