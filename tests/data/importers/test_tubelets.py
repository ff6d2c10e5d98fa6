"""The pickles of tubes: no code in them is run, and faulty ones are refused."""

import os
import pickle

import numpy as np
import pytest
from annotation_files import build_tubes

from avalib.data.importers import read_annotations


class TouchFile:
    """Unpickled by Python itself, it creates a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_code_in_a_pickle_is_refused_and_not_run(tmp_path):
    content = {"labels": ["a"], "gttubes": TouchFile(tmp_path / "ran")}
    (tmp_path / "JHMDB-GT.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(ValueError, match="JHMDB-GT.pkl: not a pickle of tubes: it asks for .*system"):
        read_annotations(tmp_path, "jhmdb")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("list_number", [0, -1, 2, "1"])
def test_a_missing_list_is_refused(list_number, import_source):
    with pytest.raises(ValueError, match=r"source\.pkl: list_number=.*; lists are numbered from 1 to 1"):
        import_source(build_tubes(), "jhmdb", suffix=".pkl", list_number=list_number)


@pytest.mark.parametrize(
    "changes",
    [
        {"gttubes": {"walkA": {-1: [np.zeros((1, 5))]}}},
        {"gttubes": {"walkA": {0: [np.full((1, 5), np.nan)]}}},
        {"gttubes": {"walkA": {0: [np.zeros((2, 4))]}}},
        {"gttubes": {"walkA": [1]}},
        {"gttubes": 3},
        {"labels": [1, 2]},
        {"train_videos": None},
    ],
)
def test_faulty_tubes_are_refused(changes, import_source):
    with pytest.raises(ValueError, match=r"source\.pkl"):
        import_source(build_tubes(**changes), "jhmdb", suffix=".pkl")
