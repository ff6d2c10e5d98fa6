"""AVA's own annotations: csv files without a header, with a label map beside them."""

from pathlib import Path

from avalib.data.ava_csv import read_ava_csv
from avalib.data.importers.base import RawAnnotations, RawRow, build_raw_table
from avalib.data.label_map import load_label_map, read_label_map
from avalib.data.row_checks import BOX_COLUMNS, NO_ACTION
from avalib.utils.plurals import format_count

MAX_LISTED_IDS = 20  # in a message


def read_ava_annotations(path, start=0, label_map=None):
    """Read AVA's csv, or a folder with <…train…>.csv, <…val…>.csv and a label map (pbtxt).

    Parameters
    ----------
    path : str or Path
    start : float
        The second at which the videos begin (AVA's own cuts: 900).
    label_map : dict, list, str, optional
        Whatever `load_label_map` takes. The default is the pbtxt in the folder.

    Returns
    -------
    RawAnnotations

    Raises
    ------
    FileNotFoundError
        If there is no csv, or no label map.
    ValueError
        Names the file, line and value.
    """
    path = Path(path)
    # A folder: all its csv files, but not the lists of excluded seconds.
    files = [path]
    if not path.is_file():
        files = [file for file in sorted(path.rglob("[!.]*.csv")) if "exclu" not in file.name]
    if not files:
        raise FileNotFoundError(f"{path}: no .csv in this folder")
    label_map = load_label_map(label_map) if label_map is not None else _read_label_map_beside(path)
    rows = []
    n_empty = 0
    for file in files:
        table = read_ava_csv(file, "ground_truth")
        table = table.assign(location=[f"{file.name}, line {line}" for line in range(1, len(table) + 1)])
        # Rows of two columns are keyframes without boxes.
        has_no_box = table[BOX_COLUMNS].isna().all(axis=1)
        n_empty += has_no_box.sum()
        rows += _build_ava_rows(table[~has_no_box], file, start, label_map)
    notes = [f"{format_count(n_empty, 'keyframe')} without boxes left out"] if n_empty else []
    return RawAnnotations(build_raw_table(rows).assign(in_pixels=False), label_map, notes)


def _build_ava_rows(table, file, start, label_map):
    """The RawRows of one file, whose name tells the split."""
    if unknown := sorted(set(table.action_id) - set(label_map)):
        location = table.location[table.action_id == unknown[0]].iloc[0]
        hint = "; are ids counted from 0? AVA's begin at 1" if unknown[0] == NO_ACTION else ""
        raise ValueError(
            f"{file.parent / location}: action_id {unknown[0]} isn't in the label map, which has "
            f"{list(label_map)[:MAX_LISTED_IDS]}{hint}"
        )
    # AVA's files are called ava_train_v2.2.csv, ava_val_v2.2.csv.
    split = next((name for name in ("train", "val", "test") if name in file.stem.lower()), "")
    table = table.assign(
        time_s=table.timestamp - start,
        action=table.action_id.map(label_map),
        person=table.person_id.where(table.person_id >= 0),
    )
    return [
        RawRow(
            video=row.video_id,
            time_s=row.time_s,
            x1=row.x1,
            y1=row.y1,
            x2=row.x2,
            y2=row.y2,
            action=row.action,
            person=row.person,
            split=split,
            location=row.location,
        )
        for row in table.itertuples(index=False)
    ]


def _read_label_map_beside(path):
    folder = path if path.is_dir() else path.parent
    files = sorted(folder.rglob("[!.]*.pbtxt"), key=lambda file: (len(file.name), file.name))
    if not files:
        raise FileNotFoundError(
            f"{folder}: AVA's csv has numbers for actions; expected a label map (*.pbtxt) beside it"
        )
    return read_label_map(files[0])  # of AVA's label maps, the one with the shortest name has all classes
