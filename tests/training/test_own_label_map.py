"""Models of data sets of one's own: heads fit the classes; label map and protocol travel in the checkpoint."""

from dataclasses import replace

import numpy as np
import pytest
from annotation_files import build_frame_rows, write_frame_csv

import avalib
from avalib import zoo
from avalib.data.importers import import_dataset
from avalib.data.keyframe_table import load_keyframes
from avalib.models.checkpoint import check_classes, save_checkpoint
from avalib.training.initial_state import build_initial_model, compute_prior_bias
from avalib.training.train_config import configure_training
from avalib.video.writer import write_mp4

ENTRY = zoo.get("slowonly_r50")
RECIPE = replace(zoo.update_recipe(zoo.build_mini_recipe(ENTRY), short_side=32), cache_short_side=None)
LABEL_MAP = {1: "walk", 2: "run", 3: "juggle"}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def initial_model(tmp_path_factory):
    """The model at step 0 of a training on an imported data set of three classes."""
    folder = tmp_path_factory.mktemp("own_label_map")
    for name in ("runner", "juggler"):
        write_mp4(folder / f"{name}.mp4", (np.full((48, 64, 3), 4 * frame, np.uint8) for frame in range(30)), 25)
    rows = [*build_frame_rows("runner", [5, 20], "run"), *build_frame_rows("juggler", [5, 20], "juggle")]
    source = write_frame_csv(folder / "a.csv", *rows)
    layout = import_dataset(source, "csv", folder / "own", videos=folder, label_map=list(LABEL_MAP.values()))
    config = configure_training(ENTRY, RECIPE, layout, "cpu", "float32", workers=0)
    return build_initial_model(config, compute_prior_bias(load_keyframes(layout, "train")))


@pytest.fixture(scope="module")
def checkpoint_path(initial_model, tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoints") / "own.pth"
    return save_checkpoint(initial_model, path, recipe=RECIPE, label_map=LABEL_MAP, protocol="frame")


def test_the_head_has_an_output_per_class_and_one_more(initial_model):
    assert initial_model.roi_head.bbox_head.fc_cls.out_features == 4


def test_label_map_and_protocol_are_in_the_checkpoint(checkpoint_path):
    model = avalib.build_model(None, checkpoint_path, verbose=False)
    assert model.meta.label_map == LABEL_MAP
    assert model.meta.protocol == "frame"


def test_the_same_classes_are_accepted(checkpoint_path):
    check_classes(avalib.build_model(None, checkpoint_path, verbose=False), LABEL_MAP)


def test_other_classes_are_refused(checkpoint_path):
    model = avalib.build_model(None, checkpoint_path, verbose=False)
    with pytest.raises(ValueError, match="class 1 is 'walk' in the model, 'sit' in the data set"):
        check_classes(model, {1: "sit", 3: "juggle"})


def test_a_model_of_the_same_classes_takes_the_whole_checkpoint(checkpoint_path):
    model = avalib.build_model(ENTRY, checkpoint_path, label_map=LABEL_MAP, verbose=False)
    assert not model.report.initialized


def test_a_model_of_other_classes_gets_a_new_head(checkpoint_path, capsys):
    model = avalib.build_model(ENTRY, checkpoint_path, label_map={1: "run", 2: "walk", 3: "juggle"})
    assert "a new head: class 1 of own.pth is 'walk', expected 'run'" in capsys.readouterr().out
    assert model.meta.label_map[1] == "run"
    assert len(model.report.initialized) == 2
