"""A detector as one file that runs without this package: a torch.export program (.pt2) or ONNX (.onnx).

Batch, number of boxes and picture size stay free. The written file is read back, run on several batches and compared
with the model before it gets its name.
"""

import copy
import dataclasses
import json
import logging
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch

from avalib.data.labels import get_action_names
from avalib.models.fused import fuse_model
from avalib.utils.errors import AvalibError
from avalib.utils.files import atomic_path
from avalib.utils.plurals import format_count

logger = logging.getLogger(__name__)

TOLERANCE = 1e-4  # of logits, in float32
MAX_BATCH = 4096
MAX_BOXES = 1 << 20
_MISSING_ONNX = "ONNX needs three more packages: pip install onnx onnxscript onnxruntime"


class ExportError(AvalibError, RuntimeError):
    """The written file gives other logits than the model."""


@dataclass(frozen=True)
class ExportCheck:
    """The shape of a batch on which file and model were compared."""

    n_clips: int
    n_boxes: int
    height: int
    width: int

    def __str__(self):
        return f"B={self.n_clips}, N={self.n_boxes}, {self.height}x{self.width}"


@dataclass(frozen=True)
class ExportResult:
    """A written file, and how far its logits were from the model's."""

    path: Path
    runs_in: str  # "torch 2.11.0", "onnxruntime 1.23"
    deviation: float  # the largest, over all checks
    checks: tuple[ExportCheck, ...]
    size_MB: float

    def __str__(self):
        checks = "; ".join(map(str, self.checks))
        return (
            f"{self.path.name}: {self.size_MB:.0f} MB, logits within {self.deviation:.1e} of the model's in "
            f"{self.runs_in} ({checks})"
        )


def export_model(model, path, size=None, label_map=None, preprocessing=None, verbose=True):
    """Write a detector's fused form as .pt2 or .onnx, and check the file.

    The file's inputs are `clips` (B,3,T,H,W) and `rois` (N,5), its output `logits` (N,81), as the model's own forward.
    Its metadata ("avalib", JSON) has the entry, the label map and the preprocessing.

    Parameters
    ----------
    model : Detector
        Left unchanged.
    path : str or Path
        Ends in .pt2 or .onnx.
    size : (int, int), optional
        (H, W) in pixels to fix; None leaves it free.
    label_map : dict, optional
        {action_id: name}, default AVA's.
    preprocessing : dict, optional
        As `get_default_preprocessing(model.entry)` gives it.
    verbose : bool
        Log the result.

    Returns
    -------
    ExportResult

    Raises
    ------
    ValueError
        For another suffix, or a free size where ONNX has no operator for it (models with context).
    ImportError
        Without the ONNX packages.
    ExportError
        Where the file gives other logits.
    """
    path = Path(path)
    if path.suffix not in (".pt2", ".onnx"):
        raise ValueError(f"{path}: expected a name that ends in .pt2 (torch.export) or .onnx")
    if path.suffix == ".onnx" and size is None and model.entry.context:
        raise ValueError(
            "models with context average the whole picture on an 8x8 grid, which ONNX does for one size: "
            "size=(256, 340)"
        )
    # the program, then the file: written under a temporary name, compared with the model, renamed
    fused = fuse_model(model).float().cpu()  # a third of the nodes; every runtime has 3-D convolutions
    program = _trace_program(fused, size or (64, 80), has_free_size=size is None)
    metadata = _build_metadata(model, label_map, preprocessing)
    write = _write_onnx if path.suffix == ".onnx" else _write_pt2
    needed_bytes = sum(tensor.nbytes for tensor in fused.state_dict().values())
    with atomic_path(path, needed_bytes) as part:
        write(program, part, metadata)
        result = dataclasses.replace(check_export(model, part, size), path=path)
    if verbose:
        logger.info(result)
    return result


def check_export(model, path, size=None, tolerance=TOLERANCE):
    """Compare a written file with its model on a few batches of noise.

    Parameters
    ----------
    model : Detector
    path : str or Path
    size : (int, int), optional
        (H, W) of the batches, where the file fixes it.
    tolerance : float
        The largest allowed difference of a logit.

    Returns
    -------
    ExportResult

    Raises
    ------
    ExportError
        Where logits differ more; it names the batch.
    """
    path = Path(path)
    run, runs_in = _open_runner(path)
    # batches of several shapes: one box, several clips, no box, and another picture size where it is free
    height, width = size or (64, 80)
    checks = [ExportCheck(1, 1, height, width), ExportCheck(3, 5, height, width), ExportCheck(2, 0, height, width)]
    if size is None:
        checks.append(ExportCheck(1, 4, 96, 131))
    model = copy.deepcopy(model).float().cpu().eval()
    deviations = []
    for check in checks:
        # logits (N,81) of the model and of the file, on the same noise
        batch = _build_batch(model.entry, check)
        with torch.inference_mode():
            expected = model(*batch)
        logits = run(*batch)
        if logits.shape != expected.shape:
            raise ExportError(f"{path}: logits {tuple(logits.shape)}, the model's {tuple(expected.shape)}")
        deviation = (logits - expected).abs().max().item() if check.n_boxes else 0.0
        if not deviation <= tolerance:
            raise ExportError(
                f"{path}: {deviation:.1e} from the model's logits, for {format_count(check.n_clips, 'clip')} of "
                f"{check.height}x{check.width}, {format_count(check.n_boxes, 'box', 'boxes')}"
            )
        deviations.append(deviation)
    return ExportResult(path, runs_in, max(deviations), tuple(checks), size_MB=path.stat().st_size / 1e6)


def _build_batch(entry, check):
    """Noise (clips, rois) of a shape; boxes on all clips in turn, the first without area, some outside the picture."""
    generator = torch.Generator().manual_seed(0)
    clips = torch.randn(check.n_clips, 3, entry.clip_len, check.height, check.width, generator=generator)
    # two random points (N,2,2) of a picture that is a tenth larger, and the box between them
    scale = torch.tensor([check.width, check.height])
    corners = torch.rand(check.n_boxes, 2, 2, generator=generator) * scale * 1.1
    clip_index = torch.arange(check.n_boxes)[:, None] % check.n_clips
    rois = torch.cat([clip_index, corners.amin(1), corners.amax(1)], dim=1)
    if check.n_boxes > 1:
        rois[0, 3] = rois[0, 1]
    return clips, rois


def _trace_program(fused, size, has_free_size):
    """The torch.export program, without the paths of this machine that its nodes would carry."""
    clip_dims = {0: torch.export.Dim("batch", min=1, max=MAX_BATCH)}
    if has_free_size:
        clip_dims |= {3: torch.export.Dim.DYNAMIC, 4: torch.export.Dim.DYNAMIC}
    dynamic_shapes = {"clips": clip_dims, "rois": {0: torch.export.Dim("boxes", min=0, max=MAX_BOXES)}}
    batch = _build_batch(fused.entry, ExportCheck(2, 3, *size))
    program = torch.export.export(fused, batch, dynamic_shapes=dynamic_shapes)
    # remove the paths of source files
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    return program


def _build_metadata(model, label_map, preprocessing):
    """The JSON text that the file carries."""
    n_columns = model.n_classes + 1
    values = {
        "entry": dataclasses.asdict(model.entry),
        "label_map": label_map or get_action_names(),
        "preprocessing": preprocessing or {},
        "clips": f"(B,3,{model.entry.clip_len},H,W) float32 RGB, (0..255 - mean) / std",
        "rois": "(N,5) float32 [batch index, x1, y1, x2, y2] in input pixels",
        "logits": f"(N,{n_columns}) float32; column i is action_id i, column 0 is reserved; scores are their sigmoid",
    }
    return json.dumps(values)


def _write_pt2(program, part, metadata):
    torch.export.save(program, part, extra_files={"avalib.json": metadata})


def _write_onnx(program, part, metadata):
    try:
        import onnxscript  # noqa: F401  (torch's exporter writes through it)
    except ImportError as error:
        raise ImportError(_MISSING_ONNX) from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        onnx = torch.onnx.export(
            program, dynamo=True, input_names=["clips", "rois"], output_names=["logits"], verbose=False
        )
    onnx.model.metadata_props["avalib"] = metadata
    for node in onnx.model.graph:
        node.metadata_props.clear()  # the file and line on this machine that each node came from
    onnx.save(part, external_data=False)


def _open_runner(path):
    """A function (clips, rois) -> logits that runs the written file, and the name of the runtime."""
    if path.suffix == ".pt2":
        module = torch.export.load(path).module()
        return torch.inference_mode()(module), f"torch {torch.__version__.split('+')[0]}"
    try:
        import onnxruntime
    except ImportError as error:
        raise ImportError(_MISSING_ONNX) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(clips, rois):
        return torch.from_numpy(session.run(None, {"clips": clips.numpy(), "rois": rois.numpy()})[0])

    return run, f"onnxruntime {onnxruntime.__version__}"
