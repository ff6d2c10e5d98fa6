"""Where the files of a data set lie: annotations, label maps, person boxes, videos."""

from dataclasses import dataclass
from pathlib import Path

from avalib.data.kinetics_clips import VIDEO_SUFFIXES, KineticsClip, parse_clip_name
from avalib.data.label_map import read_label_map
from avalib.data.labels import get_action_names, shorten_names
from avalib.data.proposals import PROPOSAL_SUFFIXES
from avalib.data.pyslowfast_boxes import PYSLOWFAST_BOX_FILES
from avalib.data.row_checks import check_video_ids
from avalib.video.frame_numbers import AVA_FPS, AVA_START_S, LAST_FRAME

SPLITS = ("train", "val")
CUT_LENGTH_S = 901  # of the real AVA's cuts


@dataclass(frozen=True)
class DatasetVersion:
    """What differs between the versions of a data set. File names are those of the files in annotations/."""

    label_map: str  # all actions
    evaluated_label_map: str  # the actions that the metric counts
    proposals: str  # with {split}
    is_real_ava: bool = False
    start_s: float = AVA_START_S  # the second at which a video's first frame is
    last_frame: float = LAST_FRAME  # the last frame number (30 a second, from 1) that a clip may contain
    protocol: str = "mmaction"  # the rules of its mAP, see evaluation.protocols
    file_version: str = ""  # in the names of its csv files, where that isn't the version's own name
    has_kinetics: bool = False  # whether it also holds clips of Kinetics, each with a start of its own


VERSIONS = {
    "mini": DatasetVersion(
        label_map="ava_action_list_mini.pbtxt",
        evaluated_label_map="ava_action_list_mini_evaluated.pbtxt",
        proposals="ava_dense_proposals_{split}.mini",
    ),
    "v2.1": DatasetVersion(
        label_map="ava_action_list_v2.1.pbtxt",
        evaluated_label_map="ava_action_list_v2.1_for_activitynet_2018.pbtxt",
        proposals="ava_dense_proposals_{split}.FAIR.recall_93.9",
        is_real_ava=True,
    ),
    "v2.2": DatasetVersion(
        label_map="ava_action_list_v2.2.pbtxt",
        evaluated_label_map="ava_action_list_v2.2_for_activitynet_2019.pbtxt",
        proposals="ava_dense_proposals_{split}.FAIR.recall_93.9",
        is_real_ava=True,
    ),
    # AVA v2.2 with clips of Kinetics in its training split, in MMAction2's shape: under the names of AVA's files
    "ava_kinetics": DatasetVersion(
        label_map="ava_action_list_v2.2.pbtxt",
        evaluated_label_map="ava_action_list_v2.2_for_activitynet_2019.pbtxt",
        proposals="ava_dense_proposals_{split}.FAIR.recall_93.9",
        is_real_ava=True,
        file_version="v2.2",
        has_kinetics=True,
    ),
    "own": DatasetVersion(
        label_map="ava_action_list_own.pbtxt",
        evaluated_label_map="ava_action_list_own.pbtxt",
        proposals="ava_dense_proposals_{split}.own",
        start_s=0,
        last_frame=float("inf"),
        protocol="frame",
    ),
}


@dataclass(frozen=True)
class DatasetLayout:
    """The files of a data set in AVA's shape.

    Folders are MMAction2's, so a data set prepared for it works unchanged: annotations/ (which may hold the proposals
    too), proposals/, videos/ (uncut), videos_15min/ (cuts), rawframes/ or frames/ (jpgs).

    Parameters
    ----------
    root : str or Path
        The folder.
    version : {"mini", "v2.1", "v2.2", "ava_kinetics", "own"}
        "ava_kinetics" holds AVA v2.2 and clips of Kinetics; AVA's videos may also lie in the folder `ava` beside it.
        "own" is a user's data set (`import_data`): other classes, any length, times from the video's beginning.
    """

    root: Path
    version: str

    def __post_init__(self):
        object.__setattr__(self, "root", Path(self.root))
        if self.version not in VERSIONS:
            raise ValueError(f"version {self.version!r}: expected {' or '.join(map(repr, VERSIONS))}")

    @property
    def _version(self):
        return VERSIONS[self.version]

    @property
    def _file_version(self):
        return self._version.file_version or self.version

    @property
    def is_own(self) -> bool:
        """Whether it is a user's data set."""
        return self.version == "own"

    @property
    def is_real_ava(self) -> bool:
        """Whether it is AVA itself."""
        return self._version.is_real_ava

    @property
    def has_kinetics(self) -> bool:
        """Whether it also holds clips of Kinetics."""
        return self._version.has_kinetics

    @property
    def start_s(self) -> float:
        """The second at which a video's first frame is; clips of Kinetics start at others, see `get_start_s`."""
        return self._version.start_s

    def get_clip(self, video_id: str) -> KineticsClip | None:
        """The clip of Kinetics that a video is; None for other videos."""
        return parse_clip_name(video_id) if self.has_kinetics else None

    def get_start_s(self, video_id: str) -> float:
        """The second at which the first frame of a video is."""
        clip = self.get_clip(video_id)
        return clip.start_s if clip else self.start_s

    def get_last_frame(self, video_id: str) -> float:
        """The last frame number (30 a second, from 1) that a clip of the original's may contain."""
        clip = self.get_clip(video_id)
        return clip.length_s * AVA_FPS - 1 if clip else self._version.last_frame

    @property
    def protocol(self) -> str:
        """The rules of its mAP, see evaluation.protocols."""
        return self._version.protocol

    @property
    def n_columns(self) -> int:
        """Columns of labels and logits: the highest action_id and, before it, the reserved column 0."""
        return max(self.load_label_map()) + 1

    def load_label_map(self) -> dict[int, str]:
        """{action_id: name} of all actions: AVA's 80, or those of a user's data set."""
        return read_label_map(self.label_map_path) if self.is_own else get_action_names()

    def load_short_names(self) -> dict[int, str]:
        """{action_id: name} for labels on pictures, see `shorten_names`."""
        return shorten_names(self.load_label_map())

    # --- annotations --------------------------------------------------------------------------------------------------

    @property
    def annotations(self) -> Path:
        """Folder of the csv files and label maps."""
        return self.root / "annotations"

    def get_csv_path(self, split: str) -> Path:
        """The ground truth of a split ("train" or "val")."""
        return self.annotations / f"ava_{split}_{self._file_version}.csv"

    def get_exclusions_path(self, split: str) -> Path:
        """The keyframes of a split that are not scored."""
        return self.annotations / f"ava_{split}_excluded_timestamps_{self._file_version}.csv"

    @property
    def label_map_path(self) -> Path:
        """The label map of all actions."""
        return self.annotations / self._version.label_map

    @property
    def evaluated_label_map_path(self) -> Path:
        """The label map of the actions that the metric counts."""
        return self.annotations / self._version.evaluated_label_map

    def get_proposals_path(self, split: str) -> Path:
        """The person boxes of a split: the published pickle, the same as .parquet or .csv, or PySlowFast's csv."""
        # the first that exists; where the download puts them, if none does
        stem = self._version.proposals.format(split=split)
        folders = (self.root / "proposals", self.annotations)
        paths = [folder / f"{stem}{suffix}" for folder in folders for suffix in PROPOSAL_SUFFIXES]
        if self.is_real_ava:
            paths += [folder / name for folder in folders for name in PYSLOWFAST_BOX_FILES[split]]
        return next((path for path in paths if path.is_file()), paths[0])

    def get_frame_list_path(self, split: str) -> Path:
        """PySlowFast's list of a split's frames, where somebody has put it."""
        return self.root / "frame_lists" / f"{split}.csv"

    def list_annotation_files(self) -> list[Path]:
        """The csv files and exclusions of train and val, and both label maps."""
        tables = [
            path for split in ("train", "val") for path in (self.get_csv_path(split), self.get_exclusions_path(split))
        ]
        return [*tables, self.label_map_path, self.evaluated_label_map_path]

    # --- videos -------------------------------------------------------------------------------------------------------

    @property
    def videos(self) -> Path:
        """Folder of <video_id>.mp4|mkv|webm…: of the real AVA uncut, of others from second `start_s` on."""
        return self.root / "videos"

    @property
    def cuts(self) -> Path:
        """Folder of <video_id>.mp4|mkv|webm, each a cut that begins at second `start_s`."""
        return self.root / "videos_15min"

    def find_video(self, video_id: str) -> Path:
        """Find the frames of a video: the folder of its jpgs, else the file of its cut, else the uncut file.

        The videos of AVA itself may lie in the folder of AVA beside that of AVA-Kinetics.

        Raises
        ------
        FileNotFoundError
            If there is none.
        ValueError
            For an id that would lead out of the folder.
        """
        check_video_ids([video_id], self.root)
        roots = [self.root]
        if self.has_kinetics and not self.get_clip(video_id):
            roots.append(self.ava_root)
        for root in roots:
            if path := _find_frames(root, video_id):
                return path
        suffixes = ",".join(VIDEO_SUFFIXES)
        raise FileNotFoundError(f"{roots[-1] / 'videos' / video_id}{{{suffixes}}}: no such video; prepare the data")

    @property
    def ava_root(self) -> Path:
        """The folder of AVA itself, beside that of AVA-Kinetics."""
        return self.root.absolute().parent / "ava"

    def get_cut_range(self, path: str | Path) -> tuple[float, float] | None:
        """(start, length) in seconds of the annotated part of a video's file; None if that is all of it."""
        path = Path(path)
        # cuts, clips, and the videos of other data sets begin at their first annotated second
        is_uncut = self.is_real_ava and path.parent in (self.videos, self.ava_root / "videos")
        return (self.start_s, CUT_LENGTH_S) if is_uncut and not self.get_clip(path.stem) else None


def _find_frames(root, video_id):
    """The frames of a video in the folders of `root`: a folder of jpgs, else a file; None if there are none."""
    # jpgs come first: whoever extracted them wants them to be read
    for folder in ("rawframes", "frames"):
        if (path := root / folder / video_id).is_dir():
            return path
    for folder in ("videos_15min", "videos"):
        for suffix in VIDEO_SUFFIXES:
            if (path := root / folder / f"{video_id}{suffix}").is_file():
                return path
    return None
