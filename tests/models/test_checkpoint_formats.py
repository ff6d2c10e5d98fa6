"""Weight files of every code base, written as their own tools write them and loaded as a person loads them."""

import argparse
import dataclasses
import io
import pickle

import golden_outputs
import numpy as np
import pytest
import safetensors.torch
import torch
from test_caffe2_names import name_blob

from avalib import zoo
from avalib.models.build import build_model
from avalib.models.checkpoint import read_meta, read_state_dict, save_checkpoint
from avalib.models.checkpoint_file import CheckpointError, read_checkpoint_file

SLOW = "psf_slow_r50_4x16_v22"
PTV_SLOW = "ptv_slow_r50_detection"
SMALL = {"patch_embed.proj.weight": torch.ones(2, 3, 1, 16, 16), "norm.bias": torch.zeros(2)}


def make_blobs(name):
    """The goldens' weights of a PySlowFast network as Caffe2 blobs, with the optimizer's beside them."""
    weights = golden_outputs.draw_state_dict(name)
    named = {name_blob(key, "r101" in name): value.numpy() for key, value in weights.items()}
    blobs = {blob: value for blob, value in named.items() if blob is not None}
    blobs |= {f"{blob}_momentum": np.zeros(3, np.float32) for blob in ("conv1_w", "pred_w")}
    return blobs | {"lr": np.float32(0.1), "model_iter": 46000}


class PythonTwoPickler(pickle._Pickler):
    """Writes text and bytes as Python 2 does: both are its str."""

    dispatch = dict(pickle._Pickler.dispatch)

    def save_python_two_str(self, value):
        data = value.encode() if isinstance(value, str) else value
        self.write(pickle.BINSTRING + len(data).to_bytes(4, "little") + data)
        self.memoize(value)

    dispatch[str] = save_python_two_str
    dispatch[bytes] = save_python_two_str


def dump_as_python_two(value):
    file = io.BytesIO()
    PythonTwoPickler(file, 2).dump(value)
    return file.getvalue().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


def write_caffe2(path, blobs):
    path.write_bytes(dump_as_python_two({"blobs": blobs, "cfg": "MODEL:\n  NUM_CLASSES: 80\n"}))
    return path


def write_pyslowfast(path, weights, legacy=False):
    """What PySlowFast's checkpoint.py writes."""
    content = {
        "epoch": 19,
        "model_state": weights,
        "optimizer_state": {"state": {0: {"momentum_buffer": torch.zeros(3)}}, "param_groups": [{"lr": 0.1}]},
        "cfg": "MODEL:\n  NUM_CLASSES: 80\n",
    }
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


def has_golden_weights(model, name):
    weights = golden_outputs.draw_state_dict(name)
    return all(torch.equal(value, weights[key]) for key, value in model.state_dict().items())


@pytest.fixture(scope="module")
def caffe2_file(tmp_path_factory):
    return write_caffe2(tmp_path_factory.mktemp("caffe2") / "C2D_8x8_R50.pkl", make_blobs(SLOW))


@pytest.mark.slow
def test_a_caffe2_pickle(caffe2_file):
    model = build_model(SLOW, caffe2_file, verbose=False)
    assert has_golden_weights(model, SLOW) and model.report.ok
    assert "Caffe2 blobs, renamed as PySlowFast's tensors" in str(model.report)


@pytest.mark.slow
def test_a_caffe2_pickle_of_the_published_name_needs_no_model_name(caffe2_file):
    assert build_model(None, caffe2_file, verbose=False).entry.alias == SLOW


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_caffe2_pickle_of_any_protocol_under_another_name(tmp_path, protocol):
    blobs = {"pred_w": np.arange(6, dtype=np.float32).reshape(2, 3), "lr": np.float32(0.1), "model_iter": 46000}
    (tmp_path / "slow.pth").write_bytes(pickle.dumps({"blobs": blobs, "cfg": "text"}, protocol))
    state_dict = read_state_dict(tmp_path / "slow.pth")
    assert list(state_dict) == ["head.projection.weight"]
    assert torch.equal(state_dict["head.projection.weight"], torch.arange(6.0).reshape(2, 3))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["psf_slowfast_r101_32x2_v21"])
def test_a_caffe2_pickle_of_slowfast_with_non_local_blocks(tmp_path, name):
    path = write_caffe2(tmp_path / "SLOWFAST_32x2_R101_50_50_v2.1.pkl", make_blobs(name))
    assert has_golden_weights(build_model(name, path, verbose=False), name)


@pytest.mark.slow
@pytest.mark.parametrize("legacy", [False, True])
def test_a_torch_file_named_pkl(tmp_path, legacy):
    path = write_pyslowfast(tmp_path / "SLOW.pkl", golden_outputs.draw_state_dict(SLOW), legacy)
    model = build_model(SLOW, path, verbose=False)
    assert has_golden_weights(model, SLOW)
    assert model.meta.extra == {"epoch": 19, "cfg": "MODEL:\n  NUM_CLASSES: 80\n"}
    assert "epoch 19 of its training" in str(model.report)


@pytest.mark.slow
def test_a_file_of_pytorchvideo(tmp_path):
    torch.save({"model_state": golden_outputs.draw_state_dict(PTV_SLOW)}, tmp_path / "SLOW.pyth")
    model = build_model(PTV_SLOW, tmp_path / "SLOW.pyth", verbose=False)
    assert has_golden_weights(model, PTV_SLOW) and list(model.state_dict()) == list(golden_outputs.read_keys(PTV_SLOW))


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_saved_under_the_published_names_and_read_back(tmp_path, suffix):
    path = save_checkpoint(golden_outputs.build_golden_detector(SLOW), tmp_path / f"a{suffix}", epoch=3)
    # safetensors sorts its tensors
    assert read_state_dict(path).keys() == golden_outputs.read_keys(SLOW).keys()
    again = build_model(None, path, verbose=False)
    assert has_golden_weights(again, SLOW) and again.entry == zoo.get(SLOW) and again.n_classes == 80
    assert read_meta(path).preprocessing["mean"] == [114.75, 114.75, 114.75]


# --- small files: what is read of each form -------------------------------------------------------------------------


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("key", ["state_dict", "model_state", "model", "module"])
def test_weights_under_a_key(tmp_path, key, legacy):
    torch.save({key: SMALL, "epoch": 3}, tmp_path / "a.pkl", _use_new_zipfile_serialization=not legacy)
    file = read_checkpoint_file(tmp_path / "a.pkl")
    assert list(file.state_dict) == list(SMALL) and file.meta == {"epoch": 3}


@pytest.mark.parametrize("prefix", ["backbone.", "encoder.", "module.", "module.encoder."])
def test_prefixes_of_umt(tmp_path, prefix):
    weights = {prefix + key: value for key, value in SMALL.items()}
    torch.save({"model": weights}, tmp_path / "a.pth")
    assert list(read_state_dict(tmp_path / "a.pth")) == list(SMALL)


def test_the_backbone_of_mmaction_keeps_its_prefix(tmp_path):
    weights = {"backbone.patch_embed.projection.weight": torch.zeros(2, 3, 2, 16, 16)}
    torch.save({"state_dict": weights}, tmp_path / "a.pth")
    assert list(read_state_dict(tmp_path / "a.pth")) == list(weights)


def test_options_of_a_training_with_umt_are_not_in_the_way(tmp_path):
    options = argparse.Namespace(lr=1e-3, model="vit_base", betas=(0.9, 0.999), output_dir="out")
    torch.save({"module": SMALL, "args": options, "optimizer": {"a": torch.zeros(3)}}, tmp_path / "a.pth")
    assert list(read_state_dict(tmp_path / "a.pth")) == list(SMALL)


def test_the_optimizers_numbers_are_not_read(tmp_path):
    path = write_pyslowfast(tmp_path / "a.pyth", SMALL)
    assert list(read_state_dict(path)) == list(SMALL)


def test_safetensors_under_another_name(tmp_path):
    safetensors.torch.save_file(SMALL, tmp_path / "a.pth")
    assert read_state_dict(tmp_path / "a.pth").keys() == SMALL.keys()


def test_a_torch_file_named_safetensors(tmp_path):
    torch.save(SMALL, tmp_path / "a.safetensors")
    assert list(read_state_dict(tmp_path / "a.safetensors")) == list(SMALL)


def test_blobs_become_float32_tensors_that_can_be_written(tmp_path):
    path = write_caffe2(tmp_path / "a.pkl", {"pred_w": np.ones((2, 3), np.float64), "pred_b": np.ones(2, np.float32)})
    state_dict = read_state_dict(path)
    state_dict["head.projection.weight"] += 1
    assert state_dict["head.projection.weight"].dtype == torch.float32
    assert (state_dict["head.projection.weight"] == 2).all()


# --- what is refused -------------------------------------------------------------------------------------------------


class CodeToRun:
    """Unpickled by Python's own pickle, it ends the process."""

    def __reduce__(self):
        import os

        return os._exit, (1,)


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("place", ["blobs", "beside", "inside"])
def test_a_caffe2_file_with_code_in_it(tmp_path, protocol, place):
    contents = {
        "blobs": {"blobs": CodeToRun()},
        "beside": {"blobs": {"pred_b": np.zeros(2)}, "cfg": CodeToRun()},
        "inside": {"blobs": {"pred_b": np.zeros(2), "hook": CodeToRun()}},
    }
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(contents[place], protocol))
    with pytest.raises(
        CheckpointError, match=r"a.pkl: the pickle in it asks to load (posix|nt)\._exit.*Nothing was run"
    ):
        build_model(SLOW, tmp_path / "a.pkl")


@pytest.mark.parametrize("name", ["collections.OrderedDict", "torch._utils._rebuild_tensor_v2", "builtins.eval"])
def test_a_caffe2_file_holds_only_plain_values_and_arrays(tmp_path, name):
    module, _, function = name.rpartition(".")
    (tmp_path / "a.pkl").write_bytes(b"\x80\x02}U\x05blobsc" + f"{module}\n{function}\n".encode() + b")Rs.")
    with pytest.raises(CheckpointError, match=f"asks to load {name}"):
        build_model(SLOW, tmp_path / "a.pkl")


REFUSED = {  # content of a pickle: what the message says
    "another dict": ({"weights": {"a": np.zeros(2)}}, "a pickle of a dict without 'blobs', but 'weights'"),
    "a list": ([1, 2], "a pickle of a list. Expected a file of torch.save"),
    "no blobs": ({"blobs": {}}, "without 'blobs'"),
    "blobs that are a list": ({"blobs": [np.zeros(2)]}, "without 'blobs'"),
    "a blob that is text": ({"blobs": {"pred_b": "text"}}, "blob 'pred_b' is a str; expected an array"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_pickle_that_is_no_caffe2_file(tmp_path, case):
    content, message = REFUSED[case]
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(CheckpointError, match=message):
        build_model(SLOW, tmp_path / "a.pkl")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_caffe2_file_that_was_cut_short(tmp_path, share):
    whole = dump_as_python_two({"blobs": {"pred_w": np.zeros((80, 2048), np.float32)}})
    (tmp_path / "a.pkl").write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(CheckpointError, match="a.pkl: no weight file, or one that was cut short"):
        build_model(SLOW, tmp_path / "a.pkl")


@pytest.mark.slow
def test_a_blob_without_a_rule_is_reported(tmp_path):
    path = write_caffe2(tmp_path / "a.pkl", make_blobs(SLOW) | {"conv_extra_w": np.zeros(3, np.float32)})
    with pytest.raises(CheckpointError, match="1 not in the model: conv_extra_w"):
        build_model(SLOW, path)


# --- other networks, other columns -----------------------------------------------------------------------------------


def make_weights(name, **shapes):
    """Zeros in all shapes of a published file (one number a tensor in memory), some of them changed; None: left out."""
    weights = {}
    for key, (shape, dtype) in golden_outputs.read_keys(name).items():
        shape = shapes.get(key, shape)
        if shape is not None:
            weights[key] = torch.zeros(shape, dtype=getattr(torch, dtype))
    return weights


def refuse(tmp_path, alias, weights, message, **options):
    torch.save({"state_dict": weights}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=message):
        build_model(alias, tmp_path / "a.pth", verbose=False, **options)


def change_head(name, n_outputs):
    """A file's weights with another number of columns."""
    width = 2048
    head = "head.projection" if name == SLOW else "roi_head.bbox_head.fc_cls"
    return make_weights(name, **{f"{head}.weight": (n_outputs, width), f"{head}.bias": (n_outputs,)})


COLUMNS = {
    "60 of PySlowFast": (
        SLOW,
        60,
        r"60 outputs \(actions 1 to 60, no reserved.*60 evaluated actions have ids up to 80",
    ),
    "one more of PySlowFast": (SLOW, 81, "81 outputs .*one column more.*is column 0 reserved"),
    "one less of PySlowFast": (SLOW, 79, "79 outputs .*the label map to read them by has the actions up to 80"),
    "one more of MMAction2": ("slowonly_r50", 82, r"82 outputs \(actions 1 to 81 and the reserved column 0\)"),
    "one less of MMAction2": ("slowonly_r50", 80, "80 outputs .*one column less than MMAction2's files"),
    "60 of MMAction2": ("slowonly_r50", 60, "60 outputs .*60 evaluated actions have ids up to 80"),
    "a recognizer of PySlowFast": (SLOW, 400, "recognizer for 400 classes, in PySlowFast's names: backbone_only=True"),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", COLUMNS)
def test_other_columns(tmp_path, case):
    alias, n_outputs, message = COLUMNS[case]
    refuse(tmp_path, alias, change_head(alias, n_outputs), message)


@pytest.mark.slow
def test_a_recognizers_backbone(tmp_path):
    torch.save({"model_state": change_head(SLOW, 400)}, tmp_path / "a.pyth")
    report = build_model(SLOW, tmp_path / "a.pyth", backbone_only=True, verbose=False).report
    assert report.initialized == report.left_out == ("head.projection.weight", "head.projection.bias")


@pytest.mark.slow
def test_columns_for_own_classes(tmp_path):
    torch.save({"model_state": change_head(SLOW, 3)}, tmp_path / "a.pyth")
    model = build_model(SLOW, tmp_path / "a.pyth", label_map={1: "walk", 2: "run", 3: "sit"}, verbose=False)
    assert model.n_classes == 3
    logits = model.eval()(torch.zeros(1, 3, 4, 32, 32), torch.tensor([[0.0, 0, 0, 31, 31]]))
    assert logits.shape == (1, 4)


OTHERS = {  # the model that is built, the file's: what the message says
    "another code base": ("slowonly_r50", SLOW, f"SlowOnly R50 detector, in PySlowFast's names. It fits {SLOW}"),
    "a third code base": (SLOW, PTV_SLOW, f"SlowOnly R50 detector, in PyTorchVideo's names. It fits {PTV_SLOW}"),
    "MMAction2's": (PTV_SLOW, "slowonly_r50", "SlowOnly R50 detector. It fits slowonly_r50, "),
    "another depth": (
        SLOW,
        "psf_slowfast_r101_32x2_v22",
        "SlowFast R101 detector, 3 non-local blocks, laterals 5x1x1, in PySlowFast's names. It fits "
        "psf_slowfast_r101_32x2_v21, psf_slowfast_r101_32x2_v22, psf_slowfast_r101_64x2_v22",
    ),
    "a row without norms behind the laterals": (
        "ptv_slowfast_r50_detection",
        "slowfast_r50_8x8",
        "SlowFast R50 detector, laterals 7x1x1. It fits slowfast_r50_8x8, ",
    ),
    "two layers": ("slowonly_r50", "slowonly_r50_8x8_ak_nlhead", "with context, a classifier of two layers. It fits"),
    "ACRN": ("slowfast_r50_8x8", "slowfast_acrn_r50_8x8", "ACRN, laterals 7x1x1. It fits slowfast_acrn_r50_8x8"),
    "non-local blocks": ("slowonly_r50", "slowonly_nl_r50_4x16", "5 non-local blocks. It fits slowonly_nl_r50_4x16"),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", OTHERS)
def test_the_file_of_another_model(tmp_path, case):
    alias, other, message = OTHERS[case]
    refuse(tmp_path, alias, make_weights(other), message)


@pytest.mark.slow
def test_a_published_name_of_a_model_that_pools_otherwise(tmp_path):
    # the tensors fit both, so only the name tells
    other = zoo.get("slowfast_r50_8x8_tmax_ava22")
    name = other.checkpoint_url.rpartition("/")[2].replace(other.checkpoint_sha256, "a")
    entry = dataclasses.replace(other, checkpoint_url=f"https://example.org/{name}")
    torch.save({"state_dict": make_weights(other.alias)}, tmp_path / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zoo, "ENTRIES", (entry,))
        with pytest.raises(CheckpointError, match="published name of .*, temporal_pool max .the entry: avg.; not slow"):
            build_model("slowfast_r50_8x8_ava22", tmp_path / name, verbose=False)


@pytest.mark.slow
def test_a_published_name_of_a_model_with_longer_clips(tmp_path):
    path = write_pyslowfast(tmp_path / "SLOWFAST_64x2_R101_50_50.pkl", make_weights("psf_slowfast_r101_64x2_v22"))
    model = build_model("psf_slowfast_r101_32x2_v22", path, verbose=False)
    assert "trained with clip_len 64 (the entry: 32)" in str(model.report)
    assert build_model(None, path, verbose=False).entry.alias == "psf_slowfast_r101_64x2_v22"


@pytest.mark.slow
def test_a_file_without_an_entry_names_the_models_that_it_fits(tmp_path):
    refuse(
        tmp_path,
        None,
        make_weights(PTV_SLOW),
        f"SlowOnly R50 detector, in PyTorchVideo's names and fits these.: {PTV_SLOW}",
    )


def test_a_model_without_a_published_recognizer():
    with pytest.raises(ValueError, match=f"{PTV_SLOW} has no published recognizer"):
        build_model(PTV_SLOW, "pretrained")
