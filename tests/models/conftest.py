"""Stand-ins for published files: the golden weights in mmcv's form."""

import dataclasses
import os

import golden_outputs
import pytest
import torch

from avalib import zoo
from avalib.utils.files import compute_sha256

MODEL = "slowonly_r50"
RECOGNISER = "kinetics_recogniser_slowonly_r50"


@pytest.fixture(scope="session")
def golden_files(tmp_path_factory):
    """A folder with a file in mmcv's form for three networks: {network}.pth."""
    folder = tmp_path_factory.mktemp("files")
    for name in (MODEL, RECOGNISER, "slowfast_r50_8x8"):
        torch.save(golden_outputs.make_mmcv_checkpoint(name), folder / f"{name}.pth")
    return folder


@pytest.fixture(scope="session")
def entry_with_mirror(golden_files):
    """(entry, mirror): slowonly_r50 with the stand-ins' hashes, and a folder with them under the published names."""
    entry = zoo.get(MODEL)
    for url, name in ((entry.checkpoint_url, MODEL), (entry.pretrained_url, RECOGNISER)):
        os.link(golden_files / f"{name}.pth", golden_files / url.rpartition("/")[2])
    hashes = [compute_sha256(golden_files / f"{name}.pth")[:8] for name in (MODEL, RECOGNISER)]
    return dataclasses.replace(entry, checkpoint_sha256=hashes[0], pretrained_sha256=hashes[1]), golden_files


@pytest.fixture(scope="session")
def golden_model():
    """slowonly_r50 with the golden weights. Nobody changes it."""
    return golden_outputs.build_golden_detector(MODEL)
