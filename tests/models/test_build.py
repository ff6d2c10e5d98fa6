"""Weights: what fits, what is said of it, and every wrong file in words."""

import dataclasses
import json
import os
import pickle
import shutil
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import golden_outputs
import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch
from slow_marks import slow_but

from avalib import zoo
from avalib.data.labels import get_action_names
from avalib.models.architecture import describe_checkpoint
from avalib.models.build import build_model
from avalib.models.checkpoint import load_checkpoint, read_meta, read_state_dict, save_checkpoint
from avalib.models.checkpoint_file import CheckpointError
from avalib.models.detector import Detector
from avalib.utils.download_errors import DownloadError
from avalib.utils.files import compute_sha256

NAME, RECOGNISER = "slowonly_r50", "kinetics_recogniser_slowonly_r50"
FC = "roi_head.bbox_head.fc_cls.weight"


def mmcv(name):
    """What mmcv 1.2.7 saves in training: wrapped, prefixed, with optimizer state and numpy numbers."""
    state_dict = {f"module.{key}": value for key, value in golden_outputs.state_dict(name).items()}
    optimizer = {"state": {0: {"momentum_buffer": torch.zeros(3)}}, "param_groups": [{"lr": 0.1}]}
    meta = {"mmcv_version": "1.2.7", "epoch": 20, "hook_msgs": {"best_score": np.float64(0.2)}}
    return {"meta": meta, "state_dict": state_dict, "optimizer": optimizer}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with stand-ins for published files: {network}.pth."""
    folder = tmp_path_factory.mktemp("files")
    for name in (NAME, RECOGNISER, "slowfast_r50_8x8"):
        torch.save(mmcv(name), folder / f"{name}.pth")
    return folder


@pytest.fixture(scope="module")
def mirror(folder):
    """(entry, folder): slowonly_r50 with the stand-ins' hashes, in a folder under the published names."""
    entry = zoo.get(NAME)
    for url, name in ((entry.checkpoint_url, NAME), (entry.pretrained_url, RECOGNISER)):
        os.link(folder / f"{name}.pth", folder / url.rpartition("/")[2])
    published, pretrained = (compute_sha256(folder / f"{name}.pth")[:8] for name in (NAME, RECOGNISER))
    return dataclasses.replace(entry, checkpoint_sha256=published, pretrained_sha256=pretrained), folder


@pytest.fixture(scope="module")
def model():
    return golden_outputs.detector(NAME)


def same(model, name, part=""):
    expected = golden_outputs.state_dict(name)
    return all(torch.equal(v, expected[k]) for k, v in model.state_dict().items() if k.startswith(part))


# ---- what fits


def test_without_a_checkpoint():
    model = build_model(NAME, dropout=0.25)
    assert isinstance(model, Detector) and not model.training and model.report is None
    assert model.roi_head.bbox_head.dropout.p == 0.25
    with pytest.raises(KeyError, match="Did you mean 'slowonly_r50'"):
        build_model("slowonly_r5")
    with pytest.raises(ValueError, match="needs a checkpoint"):
        build_model(None)


@pytest.mark.parametrize("zipped", slow_but([True, False], True))
def test_a_published_file(tmp_path, zipped, capsys):
    path = tmp_path / "a.pth"
    torch.save(mmcv(NAME), path, _use_new_zipfile_serialization=zipped)  # the published ones are of before and after
    model = build_model(NAME, path)
    assert same(model, NAME) and model.report.ok and len(model.report.matched) == 320
    assert capsys.readouterr().out == "a.pth -> slowonly_r50: 320 of 320 tensors matched\n"
    assert model.meta.extra["hook_msgs"]["best_score"] == 0.2 and model.meta.entry is None
    with torch.no_grad():
        logits = model(golden_outputs.clips(NAME), golden_outputs.rois())
    assert np.abs(logits.numpy() - golden_outputs.ARRAYS[f"{NAME}/logits"]).max() < 1e-4


@pytest.mark.parametrize("prefix", slow_but(["", "_orig_mod.module.", "module._orig_mod."], "_orig_mod.module."))
def test_bare_and_wrapped_state_dicts(tmp_path, prefix):
    torch.save({prefix + k: v for k, v in golden_outputs.state_dict(NAME).items()}, tmp_path / "a.pth")
    assert list(read_state_dict(tmp_path / "a.pth")) == list(golden_outputs.keys(NAME))


@pytest.mark.slow
def test_published(mirror):
    entry, folder = mirror
    assert same(build_model(entry, "published", mirror=folder), NAME)


@pytest.mark.slow
def test_pretrained_takes_the_backbone_and_a_new_head(mirror, capsys):
    entry, folder = mirror
    torch.manual_seed(3)
    model = build_model(entry, "pretrained", mirror=folder)
    assert same(model, RECOGNISER, "backbone.")
    assert model.state_dict()[FC].std().item() == pytest.approx(0.01, rel=0.03)
    report = model.report
    assert report.ok and len(report.matched) == 318 and len(report.initialized) == 2
    assert report.left_out == ("cls_head.fc_cls.weight", "cls_head.fc_cls.bias")
    assert "318 of 320 tensors matched\n  2 initialized anew: roi_head" in capsys.readouterr().out


@pytest.mark.slow
def test_a_recognizer_by_path(folder):
    assert build_model(NAME, folder / f"{RECOGNISER}.pth", backbone_only=True, verbose=False).report.ok
    with pytest.raises(CheckpointError, match="SlowOnly R50 recognizer for 400 classes.*backbone_only=True"):
        build_model(NAME, folder / f"{RECOGNISER}.pth")


@pytest.mark.slow
def test_over_http(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("AVALIB_CACHE", str(tmp_path))

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_port}/{NAME}.pth"
            assert same(build_model(NAME, url, progress=False), NAME)
        finally:
            server.shutdown()
            thread.join()
    assert same(build_model(NAME, url, progress=False), NAME)  # from the cache, the server is gone


# ---- laterals


@pytest.mark.slow
def test_laterals_are_built_as_in_the_file(folder, capsys):
    model = build_model("slowfast_r50", folder / "slowfast_r50_8x8.pth")
    assert model.entry.fusion_kernel == 7 and model.report.ok and same(model, "slowfast_r50_8x8")
    assert "laterals are 7x1x1 in the file, 5x1x1 in the entry: built as in the file" in capsys.readouterr().out


@pytest.mark.slow
def test_laterals_of_a_model_that_is_built_already(folder):
    with pytest.raises(CheckpointError, match=r"of another shape: backbone.slow_path.conv1_lateral.conv.weight"):
        load_checkpoint(Detector(zoo.get("slowfast_r50")), folder / "slowfast_r50_8x8.pth")


# ---- what does not fit


@pytest.fixture
def odd(tmp_path):
    """A file with one tensor gone, one too many, one of another shape."""
    content = dict(golden_outputs.state_dict(NAME))
    del content["backbone.conv1.bn.bias"]
    content["neck.weight"], content[FC] = torch.zeros(3), torch.zeros(60, 2048)
    torch.save({"state_dict": content}, tmp_path / "odd.pth")
    return tmp_path / "odd.pth"


@pytest.mark.slow
def test_strict_refuses_and_changes_nothing(odd):
    model = build_model(NAME)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(CheckpointError) as error:
        load_checkpoint(model, odd)
    for words in (
        "odd.pth does not fit slowonly_r50: it is of SlowOnly R50 detector",
        "1 missing in the file: backbone.conv1.bn.bias",
        "1 not in the model: neck.weight",
        f"1 of another shape: {FC} (60x2048 in the file, 81x2048 in the model)",
    ):
        assert words in str(error.value)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.slow
def test_not_strict_takes_what_fits_and_says_it(odd):
    report = load_checkpoint(build_model(NAME), odd, strict=False)
    assert not report.ok and len(report.matched) == 318
    table = report.to_frame()
    assert dict(table["status"].value_counts()) == {"matched": 318, "missing": 1, "unexpected": 1, "wrong shape": 1}
    parts = report.by_part()
    assert list(parts.index) == [
        "backbone.conv1", "backbone.layer1", "backbone.layer2", "backbone.layer3", "backbone.layer4",
        "roi_head.bbox_head.fc_cls", "neck",
    ]  # fmt: skip
    assert parts.loc["backbone.conv1", ["matched", "missing"]].tolist() == [5, 1] and parts.to_numpy().sum() == 321
    row = table[table["key"] == FC].iloc[0]
    assert (row["file_shape"], row["model_shape"]) == ("60x2048", "81x2048")


@pytest.mark.slow
def test_another_architecture(folder):
    with pytest.raises(CheckpointError, match="it is of SlowOnly R50 detector. It fits slowonly_r50, slowonly_omni"):
        build_model("slowonly_r101", folder / f"{NAME}.pth")
    with pytest.raises(CheckpointError, match="SlowFast R50 detector, laterals 7x1x1. It fits slowfast_r50_8x8"):
        build_model(NAME, folder / "slowfast_r50_8x8.pth")


@pytest.mark.slow
def test_a_network_of_another_zoo(tmp_path):
    torch.save({"layer.weight": torch.zeros(3)}, tmp_path / "a.pth")
    for strict in (True, False):
        with pytest.raises(CheckpointError, match=r"not of this zoo \(1 tensors, the first is 'layer.weight'\)"):
            build_model(NAME, tmp_path / "a.pth", strict=strict)


@pytest.mark.parametrize("name", golden_outputs.MODELS)
def test_describe(name):
    words = describe_checkpoint(
        {key: torch.empty(shape, device="meta") for key, (shape, _) in golden_outputs.keys(name).items()}
    )
    entry = golden_outputs.entry_of(name)
    assert words.startswith(f"{entry.backbone} R{entry.depth} detector") and ("context" in words) == entry.context
    assert entry.fusion_kernel is None or f"laterals {entry.fusion_kernel}x1x1" in words


# ---- wrong files


class Evil:
    def __reduce__(self):
        return os.mkdir, ("evil-was-run",)


def wrong_files(folder, good):
    """(path, exception, words) of every kind of wrong file."""
    whole = good.read_bytes()
    legacy, zipped, plain, strange = (folder / f"{n}.pth" for n in ("legacy", "zipped", "plain", "strange"))
    torch.save({"state_dict": {"a": torch.zeros(9999)}}, legacy, _use_new_zipfile_serialization=False)
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 255
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("a.txt", "hello")
    torch.save({"state_dict": {"a": torch.zeros(3)}, "code": Evil()}, folder / "evil.pth")
    torch.save({"a": Evil()}, folder / "evil_old.pth", _use_new_zipfile_serialization=False)
    plain.write_bytes(pickle.dumps({"state_dict": Evil()}, protocol=4))
    torch.save({"state_dict": {"a": 1}}, strange)
    torch.save([torch.zeros(3)], folder / "list.pth")
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), folder / "script.pth")
    safetensors.torch.save_file({"a": torch.zeros(9999)}, folder / "cut.safetensors")
    written = {
        "half.pth": (whole[: len(whole) // 2], "cut short or damaged"),
        "flipped.pth": (bytes(flipped), "wrong CRC"),
        "legacy.pth": (legacy.read_bytes()[:-100], "cut short or damaged"),
        "stub.pth": (legacy.read_bytes()[:100], "cut short or damaged"),
        "page.pth": (b"\n<!doctype HTML>\n<html><body>404</body></html>", "web page"),
        "empty.pth": (b"", "empty"),
        "text.pth": (b"hello world, this is text", "cut short or damaged"),
        "pointer.pth": (b"version https://git-lfs.github.com/spec/v1\n", "git-lfs"),
        "cut.safetensors": ((folder / "cut.safetensors").read_bytes()[:-100], "cut short or damaged"),
        "page.safetensors": (b"<html></html>", "web page"),
    }
    for name, (content, _) in written.items():
        (folder / name).write_bytes(content)
    cases = [(name, words) for name, (_, words) in written.items()]
    code = r"asks to load (posix|nt)\.mkdir.*Nothing was run"
    cases += [("evil.pth", code), ("evil_old.pth", code), ("plain.pth", code), ("zipped.pth", "a zip archive, but not")]
    return cases + [("strange.pth", "'a' of 1 keys"), ("list.pth", "got list"), ("script.pth", "TorchScript program")]


def test_wrong_files_are_named_in_words(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, words in wrong_files(tmp_path, folder / f"{NAME}.pth"):
        with pytest.raises(CheckpointError, match=words) as error:
            build_model(NAME, tmp_path / name)
        assert name in str(error.value)
    assert not (tmp_path / "evil-was-run").exists()


def test_no_file(tmp_path):
    (tmp_path / "best.pth").touch()
    with pytest.raises(FileNotFoundError, match="last.pth: does not exist. Its folder has best.pth"):
        build_model(NAME, tmp_path / "last.pth")
    with pytest.raises(FileNotFoundError, match="is a folder"):
        build_model(NAME, tmp_path)


@pytest.mark.slow
def test_the_hash_in_a_published_name_is_checked(folder, mirror, tmp_path):
    entry, _ = mirror
    with pytest.raises(DownloadError, match="begins with .*expected 40061d5f"):  # the real one's; ours is a stand-in
        build_model(entry, folder / zoo.get(NAME).checkpoint_url.rpartition("/")[2])
    right = tmp_path / f"mine-{entry.checkpoint_sha256}.pth"
    shutil.copy(folder / f"{NAME}.pth", right)
    assert build_model(NAME, right, verbose=False).report.ok


# ---- saving


@pytest.mark.parametrize("suffix", slow_but([".pth", ".safetensors"], ".pth"))
def test_saved_and_read_back(model, tmp_path, suffix):
    entry = dataclasses.replace(zoo.get(NAME), lr=0.05)
    recipe = dataclasses.replace(zoo.build_published_recipe(entry), epochs=3, milestones=(1, 2))
    path = save_checkpoint(
        model, tmp_path / f"a{suffix}", entry, recipe, {7: "lie/sleep"}, epoch=3, mAP=np.float32(0.5)
    )
    again = build_model(None, path, verbose=False)
    assert same(again, NAME) and again.entry == entry
    meta = read_meta(path)
    assert (meta.entry, meta.recipe, meta.label_map, meta.protocol) == (entry, recipe, {7: "lie/sleep"}, "mmaction")
    assert meta.extra == {"epoch": 3, "mAP": 0.5} and meta.notes == ()
    assert meta.preprocessing["mean"] == [123.675, 116.28, 103.53] and meta.preprocessing["short_side"] == 256
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_what_is_saved_is_what_mmcv_reads(model, tmp_path):
    path = save_checkpoint(model, tmp_path / "a.pth")
    content = torch.load(path, weights_only=True)
    assert set(content) == {"meta", "state_dict"} and isinstance(content["meta"], dict)
    assert list(content["state_dict"]) == list(golden_outputs.keys(NAME))
    assert read_meta(path).label_map == get_action_names()
    json.dumps(content["meta"])  # plain values only, nothing that needs this package to be read


@pytest.mark.slow
def test_saved_from_wrappers(model, tmp_path):
    path = save_checkpoint(torch.nn.DataParallel(model), tmp_path / "a.pth", entry=model.entry)
    assert build_model(NAME, path, verbose=False).report.ok


def test_saving_something_else_is_refused(model, tmp_path):
    with pytest.raises(ValueError, match="not a plain slowonly_r101"):
        save_checkpoint(model, tmp_path / "a.pth", entry=zoo.get("slowonly_r101"))
    with pytest.raises(TypeError, match="can't be kept"):
        save_checkpoint(model, tmp_path / "a.pth", odd=object())
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_saved_one_with_other_sampling(tmp_path, capsys):
    entry = zoo.get("slowfast_r50")
    path = save_checkpoint(Detector(entry), tmp_path / "a.pth")
    with pytest.raises(
        CheckpointError,
        match="saved as slowfast_r50, resample_rate 8 .the entry: 4.*not slowfast_r50_8x8. Build 'slowfast_r50'",
    ):
        build_model("slowfast_r50_8x8", path)
    build_model(dataclasses.replace(entry, frame_interval=1), path)
    assert "trained with frame_interval 2 (the entry: 1)" in capsys.readouterr().out


@pytest.mark.slow
def test_a_file_of_another_version_is_completed_and_said(model, tmp_path, capsys):
    path = save_checkpoint(model, tmp_path / "a.pth", recipe=zoo.build_published_recipe(model.entry))
    content = torch.load(path, weights_only=True)
    del content["meta"]["entry"]["licence"], content["meta"]["recipe"]["flip"]
    content["meta"]["recipe"]["hue"] = 0.3
    torch.save(content, path)
    again = build_model(None, path)
    assert again.entry == model.entry and again.meta.recipe.flip == 0.5
    note = "its recipe was written by another version: flip as published; hue not known here"
    assert note in capsys.readouterr().out and note in again.meta.notes


def test_a_recipe_with_earlier_names_is_read(model, tmp_path, capsys):
    recipe = dataclasses.replace(zoo.build_published_recipe(model.entry), color_jitter=0.3)
    path = save_checkpoint(model, tmp_path / "a.pth", recipe=recipe)
    content = torch.load(path, weights_only=True)
    content["meta"]["recipe"]["colour"] = content["meta"]["recipe"].pop("color_jitter")
    torch.save(content, path)
    again = build_model(None, path)
    assert again.meta.recipe == recipe and not again.meta.notes


def test_a_full_disk(model, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1_000_000})())
    with pytest.raises(OSError, match=r"127\.4 MB are needed, 1\.0 MB are free"):
        save_checkpoint(model, tmp_path / "a.pth")
    assert not list(tmp_path.iterdir())
