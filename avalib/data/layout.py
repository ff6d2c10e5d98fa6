"""AVA's files: ground truth and detections (csv), excluded seconds, person boxes (pickle), and where they lie on disk.

Every reader gives one table of columns, `video_id, timestamp, x1, y1, x2, y2, action_id` and `person_id` (ground truth)
or `score` (detections): timestamps in seconds, boxes in fractions of the frame (0..1), action ids AVA's 1..80.
"""

from dataclasses import dataclass
from pathlib import Path

from avalib.data.label_map import read_label_map
from avalib.data.labels import get_action_names, strip_brackets
from avalib.data.proposals import PROPOSAL_SUFFIXES
from avalib.data.row_checks import check_video_ids
from avalib.video.frame_numbers import AVA_START_S, LAST_FRAME

VIDEO_SUFFIXES = (".mp4", ".mkv", ".webm", ".avi", ".mov")


@dataclass(frozen=True)
class DatasetLayout:
    """Where a data set in AVA's shape lies: `root` and a `version`, "mini", "v2.1", "v2.2" or "own".

    "own" is anybody's data set (formats.import_data): other classes, any length, times from the video's beginning.
    Of the real AVA, the folders are MMAction2's, so that one made for it is found as it is: annotations/ (there the
    proposals may lie too), videos/ (uncut), videos_15min/ (cuts), rawframes/ (jpgs).
    """

    root: Path
    version: str

    def __post_init__(self):
        object.__setattr__(self, "root", Path(self.root))
        if self.version not in ("mini", "v2.1", "v2.2", "own"):
            raise ValueError(f'version {self.version!r}: expected "mini", "v2.1", "v2.2" or "own"')

    @property
    def start_s(self):
        """The second at which a video's first frame stands."""
        return 0 if self.version == "own" else AVA_START_S

    @property
    def last_frame(self):
        """The last frame number (30 a second, from 1) that a clip takes; the originals stop there."""
        return float("inf") if self.version == "own" else LAST_FRAME

    @property
    def protocol(self):
        """The rules its mAP is measured by: see protocols."""
        return "frame" if self.version == "own" else "mmaction"

    def load_label_map(self):
        """{action_id: name} of all there are: AVA's 80, or one's own."""
        return read_label_map(self.label_map_path) if self.version == "own" else get_action_names()

    def load_short_names(self):
        """{action_id: name} for labels on pictures, without brackets."""
        return {i: strip_brackets(name) for i, name in self.load_label_map().items()}

    @property
    def n_columns(self):
        """Columns of labels and logits: the highest action_id and, before it, the reserved column 0."""
        return max(self.load_label_map()) + 1

    @property
    def annotations(self):
        return self.root / "annotations"

    @property
    def videos(self):
        """Folder of <video_id>.mp4|mkv|webm…: AVA's as they were downloaded, others from second `start` on."""
        return self.root / "videos"

    @property
    def cuts(self):
        """Folder of <video_id>.mp4|mkv|webm, each a cut that begins at second `start`."""
        return self.root / "videos_15min"

    def get_cut_range(self, path):
        """(start, length) in seconds of the part of this video file that counts; None: all of it."""
        uncut = self.version in ("v2.1", "v2.2") and Path(path).parent == self.videos
        return (self.start_s, 901) if uncut else None

    def get_csv_path(self, split):
        return self.annotations / f"ava_{split}_{self.version}.csv"

    def get_exclusions_path(self, split):
        return self.annotations / f"ava_{split}_excluded_timestamps_{self.version}.csv"

    @property
    def label_map_path(self):
        """All actions: AVA's 80, or one's own."""
        return self.annotations / f"ava_action_list_{self.version}.pbtxt"

    @property
    def evaluated_label_map_path(self):
        """The actions that the metric counts."""
        if self.version == "own":
            return self.label_map_path
        ending = {"mini": "_mini_evaluated", "v2.1": "_for_activitynet_2018", "v2.2": "_for_activitynet_2019"}
        stem = "ava_action_list" if self.version == "mini" else f"ava_action_list_{self.version}"
        return self.annotations / f"{stem}{ending[self.version]}.pbtxt"

    def get_proposals_path(self, split):
        """The person boxes: the published pickle, or beside it the same table as .parquet or .csv."""
        maker = self.version if self.version in ("mini", "own") else "FAIR.recall_93.9"
        stem = f"ava_dense_proposals_{split}.{maker}"
        places = [f / f"{stem}{s}" for f in (self.root / "proposals", self.annotations) for s in PROPOSAL_SUFFIXES]
        return next((place for place in places if place.is_file()), places[0])

    def find_video(self, video_id):
        """Where a video's frames come from: the folder of its jpgs, the file of its cut, or of the whole of it.

        Raises FileNotFoundError that names what was looked for, ValueError for a name that leads out of the folder.
        """
        check_video_ids([video_id], self.root)
        for folder in ("rawframes", "frames"):
            if (path := self.root / folder / video_id).is_dir():
                return path
        for folder in (self.cuts, self.videos):
            for suffix in VIDEO_SUFFIXES:
                if (path := folder / f"{video_id}{suffix}").is_file():
                    return path
        raise FileNotFoundError(
            f"{self.videos / video_id}{{{','.join(VIDEO_SUFFIXES)}}}: no such video; prepare the data"
        )


# --- csv: writing -----------------------------------------------------------------------------------------------------


# --- excluded seconds and person boxes --------------------------------------------------------------------------------
