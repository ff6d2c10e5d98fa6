"""Checkpoints of other people: hostile, torn, misread, without numbers; each is an error that names the file.

The network is a tiny one under the zoo's names, so that files go the whole way through build_model.
"""

import dataclasses
import io
import json
import struct
import subprocess
import sys
import zipfile

import fuzzing
import pytest
import safetensors.torch
import torch
from torch import nn

from avalib import zoo
from avalib.data.labels import get_action_names
from avalib.models import architecture, build
from avalib.models.build import build_model
from avalib.models.checkpoint_file import CheckpointError, read_checkpoint_file
from avalib.models.checkpoint_meta import get_default_preprocessing
from avalib.models.resnet3d import LATERAL_NAMES

NAME = "slowonly_r50"
FC = "roi_head.bbox_head.fc_cls"


class Tiny(nn.Module):
    """A network with a few of a detector's names."""

    def __init__(self, entry, n_classes=80, **options):
        super().__init__()
        self.entry = entry
        self.backbone, self.roi_head = nn.Module(), nn.Module()
        self.backbone.conv1 = nn.Module()
        self.backbone.conv1.conv, self.backbone.conv1.bn = nn.Conv3d(3, 2, 1, bias=False), nn.BatchNorm3d(2)
        self.roi_head.bbox_head = nn.Module()
        self.roi_head.bbox_head.fc_cls = nn.Linear(2, n_classes + 1)


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setattr(build, "Detector", Tiny)
    monkeypatch.setattr(architecture, "Detector", Tiny)


def make_state_dict(n_classes=80):
    torch.manual_seed(0)
    return Tiny(zoo.get(NAME), n_classes).state_dict()


def make_meta(**changes):
    entry = zoo.get(NAME)
    recipe = json.loads(json.dumps(dataclasses.asdict(zoo.build_published_recipe(entry))))
    values = {
        "entry": dataclasses.asdict(entry),
        "recipe": recipe,
        "label_map": {str(i): name for i, name in get_action_names().items()},
        "preprocessing": get_default_preprocessing(entry),
        "protocol": "mmaction",
        "epoch": 3,
    }
    for name, value in changes.items():
        part, _, field = name.partition("__")
        values[part] = values[part] | {field: value} if field else value
    return values


def write_checkpoint(path, content=None, legacy=False, **changes):
    """A checkpoint in the format of the path's suffix."""
    content = make_state_dict() if content is None else content
    if path.suffix == ".safetensors":
        safetensors.torch.save_file(content, path, {"format": "pt", "avalib": json.dumps(make_meta(**changes))})
    else:
        saved = {"meta": make_meta(**changes), "state_dict": content}
        torch.save(saved, path, _use_new_zipfile_serialization=not legacy)
    return path


def assert_refused(path, words, **options):
    with pytest.raises(CheckpointError, match=words) as error:
        build_model(NAME, path, verbose=False, **options)
    assert path.name in str(error.value)


@pytest.mark.parametrize(("suffix", "legacy"), [(".pth", False), (".pth", True), (".safetensors", False)])
def test_a_right_one_is_read(tmp_path, suffix, legacy):
    model = build_model(None, write_checkpoint(tmp_path / f"a{suffix}", legacy=legacy), verbose=False)
    assert all(torch.equal(value, make_state_dict()[key]) for key, value in model.state_dict().items())
    assert model.meta.label_map == get_action_names() and model.meta.recipe == zoo.build_published_recipe(zoo.get(NAME))


def test_every_plain_type_and_layout_of_tensors_is_read_as_torch_does(tmp_path):
    content = {str(t): torch.arange(12).to(t).reshape(3, 4) for t in (torch.float64, torch.float16, torch.bfloat16)}
    content |= {str(t): torch.arange(4).to(t) for t in (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)}
    content |= {"flags": torch.tensor([True, False]), "none": torch.zeros(0, 3), "point": torch.tensor(2.5)}
    content |= {"turned": content["torch.float64"].T, "part": content["torch.float64"][1:, ::2]}
    content |= {"parameter": nn.Parameter(torch.ones(2))}
    for legacy in (False, True):
        torch.save(content, tmp_path / "a.pth", _use_new_zipfile_serialization=not legacy)
        found, expected = read_checkpoint_file(tmp_path / "a.pth").state_dict, torch.load(tmp_path / "a.pth")
        assert list(found) == list(expected)
        for key, value in expected.items():
            assert found[key].dtype == value.dtype and torch.equal(found[key], value), key


# --- weights without numbers, heads without names ---------------------------------------------------------------------


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_no_numbers(tmp_path, value):
    content = make_state_dict()
    content[f"{FC}.weight"][3, 1] = value
    assert_refused(
        write_checkpoint(tmp_path / "a.pth", content), rf"{FC}.weight \(NaN or infinite: 1 of 162\).*earlier checkpoint"
    )


def test_weights_that_overflowed_in_float16(tmp_path):
    content = {key: value.half() if value.is_floating_point() else value for key, value in make_state_dict().items()}
    content["backbone.conv1.conv.weight"] = torch.full((2, 3, 1, 1, 1), 1e6).half()
    assert_refused(write_checkpoint(tmp_path / "a.pth", content), "backbone.conv1.conv.weight .NaN or infinite: 6 of 6")


def test_a_negative_variance(tmp_path):
    content = make_state_dict() | {"backbone.conv1.bn.running_var": torch.tensor([1.0, -0.1])}
    assert_refused(write_checkpoint(tmp_path / "a.pth", content), "backbone.conv1.bn.running_var .a negative variance")


def test_numbers_that_are_not_used_may_be_anything(tmp_path):
    content = make_state_dict()
    content[f"{FC}.weight"][3, 1] = float("nan")
    path = write_checkpoint(tmp_path / "a.pth", content)
    assert build_model(NAME, path, backbone_only=True, verbose=False).report.ok


def test_a_head_of_six_without_a_label_map(tmp_path):
    path = tmp_path / "six.pth"
    torch.save(make_state_dict(5), path)
    assert_refused(path, r"six.pth: its classifier has 6 outputs.*the file has none.*label_map=\{1: name, …, 5: name\}")
    own = {1: "walk", 2: "fall", 5: "sit"}
    assert build_model(NAME, path, label_map=own, verbose=False).meta.label_map == own


def test_a_head_that_is_smaller_than_its_label_map(tmp_path):
    assert_refused(write_checkpoint(tmp_path / "a.pth", make_state_dict(5)), "6 outputs.*actions up to 80")


@pytest.mark.parametrize("n_classes", [10_000, 1_000_000])
def test_a_head_beyond_the_limit_is_not_built(tmp_path, n_classes):
    content = make_state_dict() | {f"{FC}.weight": torch.zeros(n_classes + 1, 0)}
    assert_refused(write_checkpoint(tmp_path / "a.pth", content), r"classes; expected 1 to 9,999 \(MAX_ACTION_ID\)")
    for path in (None, write_checkpoint(tmp_path / "b.pth")):
        with pytest.raises(ValueError, match="MAX_ACTION_ID"):
            build_model(NAME, path, label_map={1: "a", n_classes: "b"}, verbose=False)


def test_laterals_beyond_the_limit_are_not_built(tmp_path):
    key = f"backbone.slow_path.{LATERAL_NAMES[0]}.conv.weight"
    path = tmp_path / "a.pth"
    torch.save(make_state_dict() | {key: torch.zeros(0, 8, 1_000_000, 1, 1)}, path)
    with pytest.raises(CheckpointError, match="a.pth: its entry's fusion_kernel is 1000000; expected 1 to 15"):
        build_model("slowfast_r50", path, verbose=False)


WRONG_META = {
    "entry__clip_len": [10**9, 0, "4", None, 4.5, True, [4]],
    "entry__frame_interval": [10**9, 0],
    "entry__depth": [18, "50", [50]],
    "entry__backbone": ["X3D", 3, None],
    "entry__alias": [5, [1]],
    "entry__context": ["yes", 1],
    "entry__lr": [float("inf"), "0.1"],
    "recipe": [5, "published", [1]],
    "recipe__test_short_side": [10**9, 0, -256, "256", None],
    "recipe__train_short_side": [[256], 256, [256, 10**9], ["a", "b"]],
    "recipe__milestones": [3, [1.5]],
    "label_map": [
        5,
        [],
        {},
        ["walk"],
        "walk",
        {"a": "walk"},
        {"0": "walk"},
        {"-1": "walk"},
        {"1000000": "walk"},
        {"1": 5},
    ],
    "entry__code_base": ["detectron2", 3, None],
    "entry__non_local": ["gaussian", 1],
    "entry__non_local_blocks": [["9.0"], ["3.6", "3.99"], ["layer3"], [3], "3.6", ["3."], ["3.-1"]],
    "entry__slow_frames": ["random", None],
    "entry__temporal_pool": ["median", 1],
    "entry__roi_size": [10**9, 0, "7"],
    "entry__head_width": [10**9, 0, "4096"],
    "entry__last_stage_dilation": [0, 10**9, None],
    "entry__inflated_blocks": [-1, 10**9, "6"],
    "preprocessing": [5, "256", [256]],
    "preprocessing__short_side": [10**9, 0, "256", 1.5, None, [256]],
    "preprocessing__mean": [5, [1.0], [1.0, 2.0, float("nan")]],
    "protocol": [5, ["mmaction"]],
}


@pytest.mark.parametrize("field", WRONG_META)
def test_a_description_of_wrong_types_or_sizes(tmp_path, field):
    for value in WRONG_META[field]:
        words = f"(?i){field.split('__')[-1].replace('_', '.')}"
        assert_refused(write_checkpoint(tmp_path / "a.pth", **{field: value}), words)


def test_limits_are_named(tmp_path):
    assert_refused(
        write_checkpoint(tmp_path / "a.pth", entry__clip_len=10**9), r"1000000000; expected 1 to 512 \(MAX_CLIP_LEN\)"
    )
    assert_refused(
        write_checkpoint(tmp_path / "b.pth", preprocessing__short_side=10**9), r"16 to 4,320 \(MAX_SHORT_SIDE\)"
    )


# --- hostile files ----------------------------------------------------------------------------------------------------


def rewrite_zip(path, change):
    """The bytes of a .pth whose entries {name: content} went through `change`, as entries or (content, kind)."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in change(entries).items():
            content, kind = content if isinstance(content, tuple) else (content, zipfile.ZIP_STORED)
            archive.writestr(name, content, kind)
    return out.getvalue()


def replace_pickle(pickle):
    return lambda entries: {name: pickle if name.endswith("data.pkl") else old for name, old in entries.items()}


def make_tensor_pickle(shape, stride, count=4, offset=b"K\x00", name=b"_rebuild_tensor_v2"):
    """A pickle {"a": tensor} with any parts."""
    storage = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuJ"
    storage += struct.pack("<i", count) + b"tQ"
    tail = b"\x89ccollections\nOrderedDict\n)Rt"
    return (
        b"\x80\x02}X\x01\x00\x00\x00actorch._utils\n"
        + name
        + b"\n("
        + storage
        + offset
        + shape
        + stride
        + tail
        + b"Rs."
    )


HUGE = b"\x8a\x06\x00\x00\x00\x00\x00\x01"
PICKLES = {
    "zero strides": make_tensor_pickle(HUGE + b"\x85", b"K\x00\x85"),
    "beyond the storage": make_tensor_pickle(b"K\x05\x85", b"K\x01\x85"),
    "offset beyond the storage": make_tensor_pickle(b"K\x01\x85", b"K\x01\x85", offset=HUGE),
    "negative stride": make_tensor_pickle(b"K\x02\x85", b"J\xff\xff\xff\xff\x85"),
    "negative size": make_tensor_pickle(b"J\xff\xff\xff\xff\x85", b"K\x01\x85"),
    "more strides than sizes": make_tensor_pickle(b"K\x02\x85", b"K\x01K\x01\x86"),
    "a storage larger than its file": make_tensor_pickle(b"J\x00\x00\x00\x10\x85", b"K\x01\x85", count=1 << 28),
    "a negative storage": make_tensor_pickle(b"K\x00\x85", b"K\x01\x85", count=-1),
    "quantized": make_tensor_pickle(b"K\x02\x85", b"K\x01\x85", name=b"_rebuild_qtensor"),
    "sparse": make_tensor_pickle(b"K\x02\x85", b"K\x01\x85", name=b"_rebuild_sparse_tensor"),
    "meta tensor": make_tensor_pickle(b"K\x02\x85", b"K\x01\x85", name=b"_rebuild_meta_tensor_no_storage"),
    "nested tuples": b"}" + b"N" + b"\x85" * 400_000 + b"K\x01s.",
    "nested values": b"}X\x01\x00\x00\x00a" + b"N" + b"\x85" * 400_000 + b"s.",
    "memo": b"Nr\xff\xff\xff\xff.",
    "a dtype's state": b"cnumpy\ndtype\nX\x02\x00\x00\x00f8\x89\x88\x87R(K\x03X\x01\x00\x00\x00|NNNJ\x08\x00\x00\x00"
    b"J\x01\x00\x00\x00K\x3ftb.",
    "text": b"hello",
    "nothing": b"",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PICKLES)
def test_a_hostile_pickle_in_a_zip(tmp_path, name):
    path = write_checkpoint(tmp_path / "a.pth")
    path.write_bytes(rewrite_zip(path, replace_pickle(PICKLES[name])))
    assert_refused(path, "a.pth: ")


@pytest.mark.slow
@pytest.mark.parametrize("name", PICKLES)
def test_a_hostile_pickle_in_a_legacy_file(tmp_path, name):
    path = write_checkpoint(tmp_path / "a.pth", legacy=True)
    head = path.read_bytes()
    path.write_bytes(head[: head.index(b".", head.index(b"type_sizes")) + 1] + PICKLES[name])
    assert_refused(path, "a.pth: ")


def test_a_zip_bomb(tmp_path):
    path = write_checkpoint(tmp_path / "a.pth")
    bomb = (bytes(50_000_000), zipfile.ZIP_DEFLATED)
    path.write_bytes(rewrite_zip(path, lambda entries: entries | {"a/data/0": bomb}))
    assert_refused(path, "compressed or encrypted entries")


def test_a_zip_whose_directory_is_all_of_it(tmp_path):
    path = tmp_path / "a.pth"
    path.write_bytes(b"PK\x03\x04" + bytes(100) + b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1, 1, 1 << 30, 4, 0))
    assert_refused(path, "a zip directory of 1,073,741,824 bytes")


def test_a_tar(tmp_path):
    import tarfile

    with tarfile.open(tmp_path / "a.pth", "w") as archive:
        archive.add(__file__, "storages")
    assert_refused(tmp_path / "a.pth", "a tar archive of torch 0.1")


SAFETENSORS = {
    "a header of 100 GB": struct.pack("<Q", 100 << 30) + b"{}",
    "a header that ends early": struct.pack("<Q", 20) + b'{"a":{"dtype":"F32",',
    "overlapping": b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},'
    b'"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}',
    "a huge shape": b'{"a":{"dtype":"F32","shape":[1099511627776,1099511627776],"data_offsets":[0,8]}}',
    "another dtype": b'{"a":{"dtype":"F4","shape":[16],"data_offsets":[0,8]}}',
    "nested": b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "many": b"{"
    + b",".join(b'"%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}' % n for n in range(30_000))
    + b"}",
    "no object": b"[]",
    "no header": b"\x00\x00",
}


@pytest.mark.parametrize("name", SAFETENSORS)
def test_a_hostile_safetensors(tmp_path, name):
    content = SAFETENSORS[name]
    if content[:1] in (b"{", b"["):
        content = struct.pack("<Q", len(content)) + content + bytes(12)
    (tmp_path / "a.safetensors").write_bytes(content)
    assert_refused(tmp_path / "a.safetensors", "a.safetensors: ")


def test_a_nested_description_in_a_safetensors(tmp_path):
    text = "[" * 100_000 + "]" * 100_000
    safetensors.torch.save_file(make_state_dict(), tmp_path / "a.safetensors", {"avalib": text})
    assert_refused(tmp_path / "a.safetensors", "the metadata in its header is damaged")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_files_that_are_no_checkpoints(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    for content in (b"", b"hello\n" * 500, b"<!DOCTYPE html><html></html>", b"\x1f\x8b\x08" + bytes(50), bytes(5000)):
        path.write_bytes(content)
        assert_refused(path, f"a{suffix}: ")


@pytest.mark.parametrize(("suffix", "legacy"), [(".pth", False), (".pth", True), (".safetensors", False)])
def test_a_torn_file(tmp_path, suffix, legacy):
    path = write_checkpoint(tmp_path / f"a{suffix}", legacy=legacy)
    whole = path.read_bytes()
    for size in range(1, len(whole), len(whole) // 40):
        path.write_bytes(whole[:size])
        assert_refused(path, "(Get it again|damaged)")


MEASURE = """
import sys
import torch
from avalib.models.checkpoint_file import CheckpointError, read_checkpoint_file
from avalib.utils.process import get_own_peak_memory_bytes
before = get_own_peak_memory_bytes()
try:
    read_checkpoint_file(sys.argv[1])
except CheckpointError:
    pass
print(get_own_peak_memory_bytes() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="measures memory with getrusage")
@pytest.mark.parametrize("legacy", [False, True])
def test_reading_takes_no_more_than_four_times_the_file(tmp_path, legacy):
    path = write_checkpoint(tmp_path / "a.pth", make_state_dict() | {"large": torch.ones(20_000_000)}, legacy=legacy)
    taken = int(subprocess.run([sys.executable, "-c", MEASURE, path], check=True, capture_output=True).stdout)
    assert taken < 4 * path.stat().st_size + (128 << 20)


# --- mutated files ----------------------------------------------------------------------------------------------------

TOKENS = [
    b"\x85",
    b"R",
    b"b",
    b"Q",
    b"r\xff\xff\xff\xff",
    b"J\xff\xff\xff\x7f",
    b"K\x00\x85",
    b"PK\x03\x04",
    b"PK\x05\x06",
]


def read_with_a_tiny_network(path):
    build.Detector = architecture.Detector = Tiny  # this process's only
    build_model(NAME, path, verbose=False)
    build_model(None, path, verbose=False)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_mutated_checkpoints(tmp_path, kind):
    suffix = ".safetensors" if kind == "safetensors" else ".pth"
    seeds = [
        write_checkpoint(tmp_path / f"a{suffix}", make_state_dict(n), kind == "legacy").read_bytes() for n in (80, 5)
    ]
    bare = tmp_path / f"b{suffix}"
    torch.save(make_state_dict(), bare, _use_new_zipfile_serialization=kind == "zip")
    seeds += [] if kind == "safetensors" else [bare.read_bytes()]
    if kind == "zip":  # the checksums of a zip would hide what is behind them
        seeds += [rewrite_zip(bare, replace_pickle(PICKLES["zero strides"]))]
    fuzzing.run(read_with_a_tiny_network, seeds, (CheckpointError,), suffix=suffix, tokens=TOKENS)
