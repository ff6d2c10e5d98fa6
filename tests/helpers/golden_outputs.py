"""Golden outputs of the original detectors, run unmodified; how to draw their weights and inputs.

tests/golden/golden.json (the seven of MMAction2 v0.10.0) and golden2.json (the later models) say where the numbers come
from and how near they must be met.
"""

import dataclasses
import functools
import hashlib
import json
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from avalib import zoo
from avalib.models.detector import Detector

FOLDER = Path(__file__).parents[1] / "golden"
GOLDEN = json.loads((FOLDER / "golden.json").read_text(encoding="utf-8"))
LATER_GOLDEN = json.loads((FOLDER / "golden2.json").read_text(encoding="utf-8"))
ARRAYS = dict(np.load(FOLDER / "golden.npz"))
LATER_ARRAYS = dict(np.load(FOLDER / "golden2.npz"))
MODELS = list(GOLDEN["models"])
LATER_MODELS = list(LATER_GOLDEN["models"])
LATER_FACTS = {
    facts["alias"]: facts for facts in json.loads((FOLDER / "zoo2.json").read_text(encoding="utf-8"))["models"]
}
SEED = GOLDEN["seed"]
# keys whose weights are drawn at a fifth of the scale, so that logits stay moderate
SMALL_WEIGHTS = (
    ".conv3.conv.weight",
    "fc_cls.weight",
    "fc_cls.2.weight",
    "branch2.c.weight",
    "head.projection.weight",
    "branch2.conv_c.weight",
    "detection_head.proj.weight",
)


def get_entry(name):
    """The zoo entry of a golden; `…_fusion5` is slowfast_r50_8x8 with the laterals of the first configuration."""
    if name == "slowfast_r50_8x8_fusion5":
        return dataclasses.replace(zoo.get("slowfast_r50_8x8"), fusion_kernel=5)
    return zoo.get(name)


def get_key_list_name(name):
    """The name under which a model's keys are listed: networks that are the same are listed once."""
    if name in LATER_FACTS:
        return LATER_FACTS[name]["state_dict_csv"].removeprefix("part one: ")
    return {"slowfast_r50_8x8_fusion5": "slowfast_r50"}.get(name, name.replace("_omnisource", ""))


@functools.cache
def read_keys(name):
    """{key: (shape, dtype)} of a published file, in its order; "kinetics_recogniser_…" are the recognisers'."""
    tables = [
        pd.read_csv(FOLDER / "state_dicts.csv.gz", dtype=str),
        pd.read_csv(FOLDER / "state_dicts2.csv.gz", dtype=str).rename(columns={"state_dict": "model"}),
    ]
    table = pd.concat(tables)
    rows = table[table["model"] == get_key_list_name(name)]
    assert len(rows), name
    shapes = [tuple(int(n) for n in s.split("x")) if isinstance(s, str) and s else () for s in rows["shape"]]
    return dict(zip(rows["key"], zip(shapes, rows["dtype"], strict=True), strict=True))


def _build_position_table(shape):
    """The ViTs' sines and cosines, written as MMAction2 1.x vit_mae.py has them."""
    _, n_positions, channels = shape
    exponents = torch.arange(channels, dtype=torch.float64)
    exponents = (exponents - exponents % 2) / channels
    angles = torch.arange(n_positions)[:, None] * torch.pow(10000, -exponents)
    angles[:, 0::2].sin_()
    angles[:, 1::2].cos_()
    return angles[None].float().numpy()


def _draw(key, shape):
    if key.endswith("pos_embed"):
        return _build_position_table(shape)
    rng = np.random.default_rng(zlib.crc32(key.encode()) + SEED)
    if key.endswith("num_batches_tracked"):
        return np.int64(0)
    if key.endswith("running_var"):
        return rng.uniform(0.5, 1.5, size=shape).astype(np.float32)
    if key.endswith("running_mean"):
        return rng.normal(0.0, 0.1, size=shape).astype(np.float32)
    if key.endswith("bias"):
        return rng.normal(0.0, 0.05, size=shape).astype(np.float32)
    if len(shape) == 1:
        return rng.uniform(0.8, 1.2, size=shape).astype(np.float32)
    std = np.sqrt(2 / np.prod(shape[1:]))
    if key.endswith(SMALL_WEIGHTS):
        std *= 0.2
    if ("nonlocal" in key and "conv_" in key) or "non_local_block" in key:
        std *= 0.1
    weights = rng.normal(0.0, std, size=shape).astype(np.float32)
    return weights * np.float32(0.2) if key == "head.weight" else weights


@functools.lru_cache(maxsize=3)
def draw_state_dict(name):
    """The goldens' weights of a model (or recogniser): {key: tensor}, each key with a generator of its own."""
    keys = read_keys(name)
    with ThreadPoolExecutor() as pool:  # numpy draws without Python's lock
        arrays = pool.map(_draw, keys, [shape for shape, _ in keys.values()])
        return dict(zip(keys, map(torch.as_tensor, arrays), strict=True))


def compute_weights_sha256(weights):
    """The hash of weights as the goldens' recipe defines it."""
    digest = hashlib.sha256()
    for key, value in weights.items():
        digest.update(key.encode() + np.ascontiguousarray(value.numpy()).tobytes())
    return digest.hexdigest()


def draw_clips(name, height=GOLDEN["H"], width=GOLDEN["W"]):
    """The goldens' input: (2,3,T,64,80) float32; (2,3,T,64,96) of the ViTs."""
    if name in LATER_GOLDEN["models"]:
        facts = LATER_GOLDEN["models"][name]
        height, width = facts["H"], facts["W"]
    shape = (GOLDEN["B"], 3, get_entry(name).clip_len, height, width)
    return torch.as_tensor(np.random.default_rng(SEED + 1).normal(size=shape).astype(np.float32))


def load_rois():
    """The goldens' seven boxes: (7,5) float32."""
    return torch.as_tensor(ARRAYS["rois"])


def load_vit_rois():
    """The seven boxes of the ViTs' goldens: (7,5) float32."""
    return torch.as_tensor(LATER_ARRAYS["rois_vit"])


def load_inputs(name):
    """The goldens' (clips, rois) of a model; UMT's boxes grouped by clip, as its recorded outputs are."""
    if get_entry(name).backbone != "ViT":
        return draw_clips(name), load_rois()
    order = LATER_GOLDEN["models"][name].get("row_order", list(range(7)))
    return draw_clips(name), load_vit_rois()[order]


def load_logits(name):
    """The recorded logits of a model in float32: (7,81), or (7,80) where the original has no reserved column."""
    arrays = LATER_ARRAYS if name in LATER_GOLDEN["models"] else ARRAYS
    return torch.as_tensor(arrays[f"{name}/logits"])


def load_labels():
    """The goldens' labels: (7,81) float32; the last box has no action."""
    return torch.as_tensor(ARRAYS["labels"])


def build_golden_detector(name):
    """The model with the goldens' weights, in eval mode."""
    model = Detector(get_entry(name))
    model.load_state_dict(draw_state_dict(name))
    return model.eval()


def has_golden_weights(model, name, prefix=""):
    """Whether the model's tensors under a prefix equal the goldens' of a network."""
    expected = draw_state_dict(name)
    return all(torch.equal(v, expected[k]) for k, v in model.state_dict().items() if k.startswith(prefix))


def make_mmcv_checkpoint(name):
    """What mmcv 1.2.7 saves in training: wrapped, prefixed, with optimizer state and numpy numbers."""
    weights = {f"module.{key}": value for key, value in draw_state_dict(name).items()}
    optimizer = {"state": {0: {"momentum_buffer": torch.zeros(3)}}, "param_groups": [{"lr": 0.1}]}
    meta = {"mmcv_version": "1.2.7", "epoch": 20, "hook_msgs": {"best_score": np.float64(0.2)}}
    return {"meta": meta, "state_dict": weights, "optimizer": optimizer}
