"""Trained weights of the mini-AVA: made small, published with their hash, downloaded; damaged ones are found."""

import json
import shutil

import make_mini_weights
import pytest
import torch
from fake_ava_server import serve_folder
from tiny_model import ENTRY, RECIPE

from avalib import zoo
from avalib.cli import main
from avalib.models.build import build_model
from avalib.models.checkpoint import save_checkpoint
from avalib.models.checkpoint_file import read_checkpoint_file
from avalib.models.detector import Detector
from avalib.utils.download_errors import DownloadError
from avalib.zoo import mini_weights

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A checkpoint of the small network, as notebook 03 writes it."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("train") / "best.pth"
    return save_checkpoint(Detector(ENTRY), path, ENTRY, RECIPE, epoch=3, mAP=0.24)


@pytest.fixture
def table(tmp_path, monkeypatch):
    """An empty mini_weights.json in place of the package's own, and an empty cache."""
    monkeypatch.setattr(mini_weights, "PATH", tmp_path / "mini_weights.json")
    mini_weights.PATH.write_text("{}", encoding="utf-8")
    monkeypatch.setenv("AVALIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("AVALIB_MIRROR", raising=False)
    return mini_weights.PATH


def publish(trained, folder, url):
    """Make the file with the tool; -> its path."""
    make_mini_weights.main([str(trained), "--out", str(folder), "--url", url])
    return next(folder.glob("slowonly_r50_mini-*.pth"))


def test_the_file_is_half_as_large_and_scores_alike(trained, table, tmp_path, capsys):
    path = publish(trained, tmp_path / "release", "https://host/mini-1/")
    assert path.stat().st_size < 0.55 * trained.stat().st_size
    assert make_mini_weights.compute_largest_difference(trained, path) < 0.01
    weights = zoo.get_mini_weights("slowonly_r50")
    assert weights.url == f"https://host/mini-1/{path.name}"
    assert weights.sha256.startswith(path.stem[-8:])
    assert (weights.n_bytes, weights.mAP) == (path.stat().st_size, 0.24)
    assert f"upload {path} so that it is at {weights.url}" in capsys.readouterr().out
    # Biases and batch norm's statistics stay as they were.
    before = read_checkpoint_file(trained).state_dict
    after = read_checkpoint_file(path).state_dict
    vectors = [key for key, tensor in before.items() if tensor.ndim < 2]
    assert 0 < len(vectors) < len(before)
    assert all(torch.equal(before[key], after[key]) for key in vectors)


def test_weights_are_downloaded_once_and_a_damaged_file_is_an_error(
    trained, table, tmp_path, tiny, capsys, monkeypatch
):
    monkeypatch.setenv("AVALIB_DATA", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "tiny-seed0").symlink_to(tiny.root)
    with serve_folder(tmp_path / "release") as (url, requests):
        path = publish(trained, tmp_path / "release", url)
        for weights in ("slowonly_r50", f"{url}/{path.name}"):
            assert main(["prepare", "tiny", "--weights", weights]) == 0
            assert f"weights: {tmp_path / 'cache'}" in capsys.readouterr().out
        assert len(requests) == 1
        model = build_model(ENTRY, "mini", verbose=False)
        assert model.report.ok
        assert model.meta.extra["mAP"] == 0.24
        # The hash in the name is another one than that of the content.
        shutil.copy(path, path.with_name("slowonly_r50_mini-00000000.pth"))
        with pytest.raises(DownloadError, match="its sha256 does not begin with 00000000"):
            build_model(ENTRY, f"{url}/slowonly_r50_mini-00000000.pth")


def test_a_model_without_published_weights_says_what_to_do(table):
    with pytest.raises(ValueError, match=r"no weights of slowfast_r50 .* none\. Train them with notebook 03"):
        build_model("slowfast_r50", "mini")


def test_weights_of_another_recipe_are_not_the_minis(trained, table, tmp_path):
    recipe = zoo.build_published_recipe(ENTRY)
    path = save_checkpoint(build_model(None, trained, verbose=False), tmp_path / "other.pth", ENTRY, recipe, mAP=0.2)
    with pytest.raises(ValueError, match="other.pth: expected a checkpoint that notebook 03 has trained"):
        make_mini_weights.make_mini_weights(path, tmp_path)


def test_the_packages_own_table_is_valid():
    for alias, fields in json.loads(mini_weights.PATH.read_text(encoding="utf-8")).items():
        assert zoo.get(alias).alias == alias
        assert len(mini_weights.MiniWeights(**fields).sha256) == 64
