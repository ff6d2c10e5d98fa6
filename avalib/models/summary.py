"""A model told in tables: its stages with shapes, parameters and arithmetic, measured on the model itself."""

import pandas as pd
import torch
from torch.utils.flop_counter import FlopCounterMode

from avalib.models.detector import Detector

STAGES = ("conv1", "layer1", "layer2", "layer3", "layer4")


def count_parameters(module):
    """How many numbers a module learns."""
    return sum(p.numel() for p in module.parameters())


def count_backbone_flops(model, height=256, width=340):
    """FLOPs of the backbone for one clip of height x width pixels: 2 a multiply-add; BN, ReLU, pools not counted."""
    counter = FlopCounterMode(display=False)
    clip = torch.zeros(1, 3, model.entry.clip_len, height, width, device=next(model.parameters()).device)
    with torch.no_grad(), counter:
        model.eval().backbone(clip)
    return counter.get_total_flops()


def trace_stages(model, clips, rois):
    """Every stage's output in one forward pass. -> {name: tensor}, in the order of the computation.

    clips (B,3,T,H,W), rois (N,5) as the model takes them; names as in the state_dict.
    """
    seen = {}
    watched = {n: m for n, m in model.named_modules() if n.rpartition(".")[2] in STAGES or n.endswith("_lateral")}
    watched = {n: m for n, m in watched.items() if n.count(".") <= 2 and n.startswith("backbone")}
    hooks = [m.register_forward_hook(lambda _, __, out, n=n: seen.__setitem__(n, out)) for n, m in watched.items()]
    head = model.roi_head
    hooks.append(head.bbox_head.register_forward_hook(lambda _, given, out: seen.__setitem__("RoIAlign", given[0])))
    try:
        with torch.inference_mode():
            seen["logits"] = model.eval()(clips, rois)
    finally:
        for hook in hooks:
            hook.remove()
    return {"clips": clips, **{n: t for n, t in seen.items() if n != "logits"}, "logits": seen["logits"]}


def build_stage_table(model, height=256, width=340):
    """The stages as a table: stage, what it is, output shape for one clip, parameters, millions of them.

    Shapes are (C,T,H,W) for one clip of height x width, and (C,8,8) and (81,) for one box.
    """
    device = next(model.parameters()).device
    clip = torch.zeros(1, 3, model.entry.clip_len, height, width, device=device)
    box = torch.tensor([[0, 0, 0, width - 1, height - 1]], dtype=torch.float32, device=device)
    modules = dict(model.named_modules()) | {"logits": model.roi_head.bbox_head.fc_cls}
    rows = []
    for name, tensor in trace_stages(model, clip, box).items():
        module = modules.get(name)
        rows.append(
            {
                "stage": name.removeprefix("backbone."),
                "what": _what(module) if module is not None else _plain(name, model.entry),
                "output": "x".join(map(str, tensor.shape[1:])),
                "parameters": count_parameters(module) if module is not None else 0,
            }
        )
    return pd.DataFrame(rows)


def compare_models(entry, other, height=256, width=340):
    """Two rows' stage tables side by side: stage, then output and parameters of each, by alias. Costs no arithmetic.

    A stage that one of them lacks is empty there; SlowOnly's stages stand beside SlowFast's slow pathway.
    """
    tables = []
    for row in (entry, other):
        with torch.device("meta"):
            table = build_stage_table(Detector(row), height, width)
        table["stage"] = table["stage"].str.removeprefix("slow_path.")
        columns = {"output": f"{row.alias} output", "parameters": f"{row.alias} parameters"}
        tables.append(table.drop(columns="what").rename(columns=columns).set_index("stage"))
    joined = tables[0].join(tables[1], how="outer", rsuffix=" too")
    order = dict.fromkeys([*max(tables, key=len).index, *joined.index])
    return joined.reindex(list(order)).convert_dtypes().rename_axis("stage").reset_index()


def _plain(name, entry):
    """A few words for what has no layers of its own."""
    if name == "clips":
        return "frames, normalised"
    return "one box: 8x8 of the mean over time" + (", 8x8 of the whole picture behind it" if entry.context else "")


def _what(module):
    """A few words for a stage, read off its layers."""
    if isinstance(module, torch.nn.Linear):
        return f"dropout, spatial max, linear {module.in_features} -> {module.out_features}"
    if isinstance(module, torch.nn.Sequential):
        first = module[0]
        kernel = "x".join(map(str, first.conv1.conv.kernel_size))
        return f"{len(module)} bottlenecks, conv1 {kernel}, stride {first.conv2.conv.stride[1]}"
    kernel = "x".join(map(str, module.conv.kernel_size))
    stride = "x".join(map(str, module.conv.stride))
    return f"{'lateral' if not hasattr(module, 'bn') else 'stem'} conv {kernel}, stride {stride}"
