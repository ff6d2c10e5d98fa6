"""Where the files of a data set lie: annotations, label maps, person boxes, videos."""

from dataclasses import dataclass
from pathlib import Path

from avalib.data.label_map import read_label_map
from avalib.data.labels import get_action_names, strip_brackets
from avalib.data.proposals import PROPOSAL_SUFFIXES
from avalib.data.row_checks import check_video_ids
from avalib.video.frame_numbers import AVA_START_S, LAST_FRAME

SPLITS = ("train", "val")
VIDEO_SUFFIXES = (".mp4", ".mkv", ".webm", ".avi", ".mov")
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
    version : {"mini", "v2.1", "v2.2", "own"}
        "own" is a user's data set (`import_data`): other classes, any length, times from the video's beginning.
    """

    root: Path
    version: str

    def __post_init__(self):
        object.__setattr__(self, "root", Path(self.root))
        if self.version not in VERSIONS:
            raise ValueError(f'version {self.version!r}: expected "mini", "v2.1", "v2.2" or "own"')

    @property
    def _version(self):
        return VERSIONS[self.version]

    @property
    def is_own(self) -> bool:
        """Whether it is a user's data set."""
        return self.version == "own"

    @property
    def is_real_ava(self) -> bool:
        """Whether it is AVA itself."""
        return self._version.is_real_ava

    @property
    def start_s(self) -> float:
        """The second at which a video's first frame is."""
        return self._version.start_s

    @property
    def last_frame(self) -> float:
        """The last frame number (30 a second, from 1) that a clip may contain, as in the original."""
        return self._version.last_frame

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
        """{action_id: name} for labels on pictures, without brackets."""
        return {action_id: strip_brackets(name) for action_id, name in self.load_label_map().items()}

    # --- annotations --------------------------------------------------------------------------------------------------

    @property
    def annotations(self) -> Path:
        """Folder of the csv files and label maps."""
        return self.root / "annotations"

    def get_csv_path(self, split: str) -> Path:
        """The ground truth of a split ("train" or "val")."""
        return self.annotations / f"ava_{split}_{self.version}.csv"

    def get_exclusions_path(self, split: str) -> Path:
        """The keyframes of a split that are not scored."""
        return self.annotations / f"ava_{split}_excluded_timestamps_{self.version}.csv"

    @property
    def label_map_path(self) -> Path:
        """The label map of all actions."""
        return self.annotations / self._version.label_map

    @property
    def evaluated_label_map_path(self) -> Path:
        """The label map of the actions that the metric counts."""
        return self.annotations / self._version.evaluated_label_map

    def get_proposals_path(self, split: str) -> Path:
        """The person boxes of a split: the published pickle, or the same table as .parquet or .csv."""
        # the first that exists; where the download puts them, if none does
        stem = self._version.proposals.format(split=split)
        folders = (self.root / "proposals", self.annotations)
        paths = [folder / f"{stem}{suffix}" for folder in folders for suffix in PROPOSAL_SUFFIXES]
        return next((path for path in paths if path.is_file()), paths[0])

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

        Raises
        ------
        FileNotFoundError
            If there is none.
        ValueError
            For an id that would lead out of the folder.
        """
        check_video_ids([video_id], self.root)
        # jpgs come first: whoever extracted them wants them to be read
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

    def get_cut_range(self, path: str | Path) -> tuple[float, float] | None:
        """(start, length) in seconds of the annotated part of a video's file; None if that is all of it."""
        # cuts, and the videos of other data sets, begin at their first annotated second
        is_uncut = self.is_real_ava and Path(path).parent == self.videos
        return (self.start_s, CUT_LENGTH_S) if is_uncut else None
