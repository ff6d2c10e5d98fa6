"""Make a small file of weights that were trained on the mini-AVA, to be published and downloaded for lessons.

    python tools/make_mini_weights.py outputs/runs/mini/slowonly_r50/train/best.pth --url https://HOST/releases/mini-1

The file has half of the checkpoint's size: matrices in float16, all else as it was. Its name ends in the beginning of
its sha256. The model's line in avalib/zoo/mini_weights.json is written; what is left to do is printed.
"""

import argparse
import dataclasses
import json
from pathlib import Path

import torch

from avalib import zoo
from avalib.models.build import build_model
from avalib.models.checkpoint import read_meta
from avalib.models.checkpoint_file import read_checkpoint_file, write_checkpoint_file
from avalib.utils.console import allow_any_text, show_log_messages
from avalib.utils.files import compute_sha256, write_text
from avalib.zoo import mini_weights

LARGEST_DIFFERENCE = 0.02  # of a score, between the checkpoint and the file in half precision
N_BOXES = 8  # on which scores are compared


def parse_options(arguments=None):
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="a checkpoint of notebook 03 on the mini-AVA, such as best.pth")
    parser.add_argument("--url", required=True, help="the address of the folder that the file will be uploaded to")
    parser.add_argument("--out", default="dist", help="the folder that the file is written to")
    return parser.parse_args(arguments)


def halve_precision(state_dict):
    """A state_dict with matrices and kernels in float16; vectors (biases, batch norm) and counters stay as they are."""
    return {
        key: tensor.half() if tensor.is_floating_point() and tensor.ndim > 1 else tensor
        for key, tensor in state_dict.items()
    }


def make_mini_weights(checkpoint, folder):
    """Write the file; -> its path and the checkpoint's CheckpointMeta.

    Raises
    ------
    ValueError
        The checkpoint was not trained on the mini-AVA by this package, or its scores change in half precision.
    """
    meta = read_meta(checkpoint)
    if meta.entry is None or meta.recipe is None or meta.recipe.name != "mini" or "mAP" not in meta.extra:
        raise ValueError(f"{checkpoint}: expected a checkpoint that notebook 03 has trained on the mini-AVA")
    file = read_checkpoint_file(checkpoint)
    part = write_checkpoint_file(folder / "part.pth", halve_precision(file.state_dict), file.meta)
    difference = compute_largest_difference(checkpoint, part)
    print(f"scores differ by at most {difference:.1e} from the checkpoint's")
    if difference > LARGEST_DIFFERENCE:
        part.unlink()
        raise ValueError(f"{checkpoint}: scores change by {difference:.3f} in half precision; publish it as it is")
    path = part.rename(folder / f"{meta.entry.alias}_mini-{compute_sha256(part)[:8]}.pth")
    return path, meta


@torch.no_grad()
def compute_largest_difference(checkpoint, other):
    """The largest difference of two files' scores (0..1) on a clip of noise."""
    generator = torch.Generator().manual_seed(0)
    scores = []
    for path in (checkpoint, other):
        model = build_model(None, path, verbose=False)
        generator.manual_seed(0)
        clips = torch.randn(1, 3, model.entry.clip_len, 64, 64, generator=generator)
        corners = 40 * torch.rand(N_BOXES, 2, generator=generator)
        rois = torch.cat([torch.zeros(N_BOXES, 1), corners, corners + 20], dim=1)
        scores.append(model(clips, rois).sigmoid())
    return (scores[0] - scores[1]).abs().max().item()


def record_weights(path, meta, url):
    """Write the file's line in mini_weights.json; -> its MiniWeights."""
    weights = mini_weights.MiniWeights(
        url=f"{url.rstrip('/')}/{path.name}",
        sha256=compute_sha256(path),
        n_bytes=path.stat().st_size,
        mAP=round(meta.extra["mAP"], 4),
    )
    table = zoo.load_mini_weights() | {meta.entry.alias: weights}
    content = {alias: dataclasses.asdict(fields) for alias, fields in sorted(table.items())}
    write_text(mini_weights.PATH, json.dumps(content, indent=2) + "\n")
    return weights


def main(arguments=None):
    """Write the file and its line, and print what is left to do."""
    options = parse_options(arguments)
    folder = Path(options.out)
    folder.mkdir(parents=True, exist_ok=True)
    path, meta = make_mini_weights(Path(options.checkpoint), folder)
    weights = record_weights(path, meta, options.url)
    print(f"{path}: {weights.n_bytes / 1e6:.1f} MB, mAP {weights.mAP:.3f} on the mini-AVA, sha256 {weights.sha256}")
    print(f"1. upload {path} so that it is at {weights.url}")
    print(f"2. commit {mini_weights.PATH.name}")
    print(f"3. check: avalib prepare mini --weights {meta.entry.alias}")


if __name__ == "__main__":
    allow_any_text()
    show_log_messages()
    main()
