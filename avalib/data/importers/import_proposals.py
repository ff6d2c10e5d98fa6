"""The person boxes for testing an imported data set: checked before anything is written."""

from avalib.data.importers.base import format_locations
from avalib.data.proposals import read_proposals
from avalib.data.row_checks import BOX_COLUMNS, KEYFRAME_COLUMNS

MAX_OUTSIDE = 0.5  # of the frame's side, by which a detector's box may reach beyond its edge


def read_import_proposals(source, table, start):
    """Read the person boxes for the keyframes of a data set.

    Parameters
    ----------
    source : str or Path
        A file as `read_proposals` takes it.
    table : DataFrame
        The annotations, with a column split. The split "val" needs boxes at some of its keyframes.
    start : float
        The second at which the videos begin in the file, as in the annotations.

    Returns
    -------
    proposals : DataFrame
        video_id, timestamp, x1, y1, x2, y2 (0..1), score.
    notes : list of str

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        Names the file, the key and value, and what was expected.
    """
    try:
        proposals = read_proposals(source)
    except FileNotFoundError:
        raise FileNotFoundError(f"proposals: {source}: no such file") from None
    except (ValueError, OSError) as error:
        has_source = str(source) in str(error)
        raise ValueError(str(error) if has_source else f"{source}: not a file of person boxes ({error})") from error
    # From the file's clock to seconds from the video's first frame.
    proposals = proposals.assign(timestamp=(proposals.timestamp - start).round(6))
    _check_boxes(proposals, source, start)
    notes = []
    reaches_outside = ((proposals[BOX_COLUMNS] < 0) | (proposals[BOX_COLUMNS] > 1)).any(axis=1)
    if reaches_outside.any():
        notes.append(f"proposals that reach outside of the frame, cut at its edge: {reaches_outside.sum()}")
        proposals = proposals.assign(**proposals[BOX_COLUMNS].clip(0, 1))
    _check_val_keyframes(proposals, table, source)
    return proposals, notes + _note_missing_keyframes(proposals, table)


def _check_boxes(proposals, source, start):
    """Raise ValueError for the first box or score that cannot be used; `read_proposals` has rejected pixels."""
    boxes = proposals[BOX_COLUMNS].to_numpy()
    scores = proposals.score.to_numpy()
    x1, y1, x2, y2 = boxes.T
    is_far_outside = (boxes < -MAX_OUTSIDE) | (boxes > 1 + MAX_OUTSIDE)
    # (which boxes are faulty (N,), what was expected), the most telling fault first.
    checks = (
        (is_far_outside.any(axis=1), "fractions of the frame, 0 to 1"),
        ((x2 <= x1) | (y2 <= y1), "x1 < x2 and y1 < y2"),
        (~((scores >= 0) & (scores <= 1)), "a score from 0 to 1"),
    )
    for is_faulty, expected in checks:
        if is_faulty.any():
            row = proposals.iloc[int(is_faulty.argmax())]
            numbers = ", ".join(f"{value:g}" for value in row[[*BOX_COLUMNS, "score"]])
            key = f"{row.video_id},{row.timestamp + start:04.10g}"
            raise ValueError(
                f"{source}, key {key!r}: box and score {numbers}: expected {expected} ({is_faulty.sum()} of "
                f"{len(proposals)} boxes)"
            )


def _check_val_keyframes(proposals, table, source):
    """Raise ValueError if no keyframe of val has any boxes."""
    keyframes = _list_keyframes(table, "val")
    frames = proposals[KEYFRAME_COLUMNS].drop_duplicates()
    if not len(keyframes) or len(keyframes.merge(frames, on=KEYFRAME_COLUMNS)):
        return
    first = "it has no boxes"
    if len(frames):
        first = f"its first is of {frames.iloc[0].video_id}, {frames.iloc[0].timestamp:g} s"
    names = [f"{video_id}, {time_s:g} s" for video_id, time_s in keyframes.to_numpy().tolist()]
    raise ValueError(f"{source}: none is at a keyframe of val; {first}, expected {format_locations(names, limit=3)}")


def _note_missing_keyframes(proposals, table):
    """Notes on the splits with keyframes without boxes."""
    notes = []
    frames = proposals[KEYFRAME_COLUMNS].drop_duplicates()
    for split in ("val", "train"):
        keyframes = _list_keyframes(table, split)
        n_missing = len(keyframes) - len(keyframes.merge(frames, on=KEYFRAME_COLUMNS))
        if n_missing:
            notes.append(f"proposals: {n_missing} of {len(keyframes)} keyframes of {split} have no boxes")
    return notes


def _list_keyframes(table, split):
    return table.loc[table.split == split, KEYFRAME_COLUMNS].drop_duplicates()
