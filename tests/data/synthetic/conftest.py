"""Fixtures of the synthetic data's tests."""

from dataclasses import dataclass

import pandas as pd
import pytest

from avalib.data.row_checks import BOX_COLUMNS
from avalib.data.synthetic.generate import annotate_video, render_dataset
from avalib.data.synthetic.video_specs import list_videos


@dataclass
class AnnotationTables:
    """The annotations of a split as tables with video_id and timestamp."""

    truth: pd.DataFrame
    excluded: pd.DataFrame
    proposals: pd.DataFrame

    @property
    def people(self):
        """One row per annotated person and keyframe."""
        return self.truth.drop_duplicates(["video_id", "timestamp", "person_id"])


@pytest.fixture(scope="session")
def rendered(tmp_path_factory):
    """A rendered tiny data set of its own seed, as a DatasetLayout. Nobody writes into it."""
    return render_dataset(tmp_path_factory.mktemp("rendered"), "tiny", seed=3, progress=False)


@pytest.fixture(scope="session")
def val_annotations():
    """The AnnotationTables of the val split of `mini`, without drawing it."""
    truth = []
    excluded = []
    proposals = []
    for spec in list_videos("mini"):
        if spec.split == "val":
            annotations = annotate_video(spec)
            truth += [(spec.video_id, *row) for row in annotations.truth]
            excluded += [(spec.video_id, second) for second in annotations.excluded]
            proposals += [(spec.video_id, *row) for row in annotations.proposals]
    key = ["video_id", "timestamp"]
    return AnnotationTables(
        truth=pd.DataFrame(truth, columns=[*key, *BOX_COLUMNS, "action_id", "person_id"]),
        excluded=pd.DataFrame(excluded, columns=key),
        proposals=pd.DataFrame(proposals, columns=[*key, *BOX_COLUMNS, "score"]),
    )
