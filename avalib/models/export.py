"""A detector as one file that runs without this package: a torch.export program (.pt2) or ONNX (.onnx).

Batch, number of boxes and picture size stay free. What is written is read back, run on several batches and compared
with the model before it is called done.
"""

import copy
import dataclasses
import json
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch

from avalib.data.labels import get_action_names
from avalib.models.fused import fuse_model
from avalib.utils.files import atomic_path

TOLERANCE = 1e-4  # of logits, in float32
_NEEDS = "ONNX needs three packages more: pip install onnx onnxscript onnxruntime"


class ExportError(RuntimeError):
    """The written file does not give what the model gives."""


@dataclass(frozen=True)
class ExportResult:
    """A written file: how far its logits were from the model's, over the batches that it was run on."""

    path: Path
    runs_in: str
    deviation: float
    checks: tuple  # (clips, boxes, height, width) of each run
    size_MB: float

    def __str__(self):
        runs = "; ".join(f"B={b}, N={n}, {h}x{w}" for b, n, h, w in self.checks)
        return (
            f"{self.path.name}: {self.size_MB:.0f} MB, logits within {self.deviation:.1e} of the model's in "
            f"{self.runs_in} ({runs})"
        )


def export_model(model, path, size=None, label_map=None, preprocessing=None, verbose=True):
    """Write a detector (its folded, inference form) as .pt2 or .onnx, by the suffix, and check it. -> Exported.

    Inputs `clips` (B,3,T,H,W) and `rois` (N,5), output `logits` (N,81), as the model's own forward. size: (H, W) in
    pixels to fix; None leaves it free. label_map {action_id: name}, default AVA's, and preprocessing, a dict as
    weights.default_preprocessing(model.entry) gives, go into the file's metadata ("avalib", JSON) beside the entry.
    Raises ValueError for another suffix, or a free size where ONNX has no operator for it (context rows);
    ImportError without the ONNX packages; ExportError where the file gives other logits.
    """
    path = Path(path)
    if path.suffix not in (".pt2", ".onnx"):
        raise ValueError(f"{path}: expected a name that ends in .pt2 (torch.export) or .onnx")
    if path.suffix == ".onnx" and size is None and model.entry.context:
        raise ValueError(
            "context rows average the whole picture on an 8x8 grid, which ONNX does for one size: size=(256, 340)"
        )
    folded = fuse_model(model).float().cpu()  # a third of the nodes; every runtime knows 3-D convolutions
    program = _program(folded, size or (64, 80), free=size is None)
    needed = sum(tensor.nbytes for tensor in folded.state_dict().values())
    write = _write_onnx if path.suffix == ".onnx" else _write_pt2
    with atomic_path(path, needed) as part:
        write(program, part, _metadata(model, label_map, preprocessing))
        exported = dataclasses.replace(check_export(model, part, size), path=path)
    if verbose:
        print(exported)
    return exported


def check_export(model, path, size=None, tolerance=TOLERANCE):
    """Run a written file beside the model on a few batches of noise. -> Exported.

    Raises ExportError, naming the batch, where the logits differ by more than `tolerance`.
    """
    path = Path(path)
    run, where = _runner(path)
    height, width = size or (64, 80)
    checks = [(1, 1, height, width), (3, 5, height, width), (2, 0, height, width)]
    if size is None:
        checks.append((1, 4, 96, 131))
    model = copy.deepcopy(model).float().cpu().eval()
    worst = 0.0
    for clips, boxes, h, w in checks:
        given = _batch(model.entry, clips, boxes, h, w)
        with torch.inference_mode():
            expected = model(*given)
        found = run(*given)
        if found.shape != expected.shape:
            raise ExportError(f"{path}: logits {tuple(found.shape)}, the model's {tuple(expected.shape)}")
        far = (found - expected).abs().max().item() if boxes else 0.0
        if not far <= tolerance:
            raise ExportError(f"{path}: {far:.1e} from the model's logits, for {clips} clips of {h}x{w}, {boxes} boxes")
        worst = max(worst, far)
    return ExportResult(path, where, worst, tuple(checks), path.stat().st_size / 1e6)


def _batch(entry, clips, boxes, height, width):
    """Noise of a shape; the boxes on all clips in turn, the first without area, some outside the picture."""
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randn(clips, 3, entry.clip_len, height, width, generator=generator)
    corners = torch.rand(boxes, 2, 2, generator=generator) * torch.tensor([width, height]) * 1.1
    rois = torch.cat([torch.arange(boxes)[:, None] % clips, corners.amin(1), corners.amax(1)], dim=1)
    if boxes > 1:
        rois[0, 3] = rois[0, 1]
    return pictures, rois


def _program(folded, size, free):
    """The torch.export program, without the paths of this machine that its nodes would carry."""
    free_size = {3: torch.export.Dim.DYNAMIC, 4: torch.export.Dim.DYNAMIC} if free else {}
    shapes = {
        "clips": {0: torch.export.Dim("batch", min=1, max=4096)} | free_size,
        "rois": {0: torch.export.Dim("boxes", min=0, max=1 << 20)},
    }
    program = torch.export.export(folded, _batch(folded.entry, 2, 3, *size), dynamic_shapes=shapes)
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    return program


def _metadata(model, label_map, preprocessing):
    entry, n_columns = model.entry, model.roi_head.bbox_head.fc_cls.out_features
    words = {
        "entry": dataclasses.asdict(entry),
        "label_map": label_map or get_action_names(),
        "preprocessing": preprocessing or {},
        "clips": f"(B,3,{entry.clip_len},H,W) float32 RGB, (0..255 - mean) / std",
        "rois": "(N,5) float32 [batch index, x1, y1, x2, y2] in input pixels",
        "logits": f"(N,{n_columns}) float32; column i is action_id i, column 0 is reserved; scores are their sigmoid",
    }
    return json.dumps(words)


def _write_pt2(program, part, metadata):
    torch.export.save(program, part, extra_files={"avalib.json": metadata})


def _write_onnx(program, part, metadata):
    try:
        import onnxscript  # noqa: F401  (torch's exporter writes through it)
    except ImportError as error:
        raise ImportError(_NEEDS) from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        onnx = torch.onnx.export(
            program, dynamo=True, input_names=["clips", "rois"], output_names=["logits"], verbose=False
        )
    onnx.model.metadata_props["avalib"] = metadata
    for node in onnx.model.graph:
        node.metadata_props.clear()  # where in which file of this machine each came from
    onnx.save(part, external_data=False)


def _runner(path):
    """A function (clips, rois) -> logits that runs the written file, and the name of what runs it."""
    if path.suffix == ".pt2":
        module = torch.export.load(path).module()
        return torch.inference_mode()(module), f"torch {torch.__version__.split('+')[0]}"
    try:
        import onnxruntime
    except ImportError as error:
        raise ImportError(_NEEDS) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(clips, rois):
        return torch.from_numpy(session.run(None, {"clips": clips.numpy(), "rois": rois.numpy()})[0])

    return run, f"onnxruntime {onnxruntime.__version__}"
