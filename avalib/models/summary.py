"""A model in tables: its stages with shapes, parameters and arithmetic, measured on the model itself."""

from functools import partial

import pandas as pd
import torch
from torch.utils.flop_counter import FlopCounterMode

from avalib.models.detector import Detector

STAGES = ("conv1", "layer1", "layer2", "layer3", "layer4")


def count_parameters(module):
    """How many numbers a module learns."""
    return sum(p.numel() for p in module.parameters())


def count_backbone_flops(model, height=256, width=340):
    """FLOPs of the backbone for one clip of height x width pixels.

    Two for each multiply-add of the convolutions; batch norms, activations and pools are not counted.
    """
    counter = FlopCounterMode(display=False)
    clip = torch.zeros(1, 3, model.entry.clip_len, height, width, device=next(model.parameters()).device)
    with torch.no_grad(), counter:
        model.eval().backbone(clip)
    return counter.get_total_flops()


def trace_stages(model, clips, rois):
    """The output of each stage in one forward pass.

    Parameters
    ----------
    model : Detector
    clips : Tensor
        (B,3,T,H,W) as the model takes them.
    rois : Tensor
        (N,5) as the model takes them.

    Returns
    -------
    dict of str to Tensor
        "clips", the stages as named in the state_dict, "RoIAlign" (N,C,8,8), "logits"; in the order of the computation.
    """
    outputs = {"clips": clips}

    def store_output(module, inputs, output, name):
        outputs[name] = output

    def store_input(module, inputs, output, name):
        outputs[name] = inputs[0]

    hooks = [
        module.register_forward_hook(partial(store_output, name=name))
        for name, module in model.named_modules()
        if _is_stage(name)
    ]
    hooks.append(model.roi_head.bbox_head.register_forward_hook(partial(store_input, name="RoIAlign")))
    try:
        with torch.inference_mode():
            logits = model.eval()(clips, rois)
    finally:
        for hook in hooks:
            hook.remove()
    return outputs | {"logits": logits}


def _is_stage(name):
    """Whether a module of this name is a stem, a stage or a lateral, and no part of one."""
    pathway, _, last = name.rpartition(".")
    is_named_so = last in STAGES or last.endswith("_lateral")
    return is_named_so and pathway in ("backbone", "backbone.slow_path", "backbone.fast_path")


def build_stage_table(model, height=256, width=340):
    """The stages of a model as a table.

    Parameters
    ----------
    model : Detector
    height, width : int
        Of the clip in pixels.

    Returns
    -------
    DataFrame
        stage, what (a description), output ("CxTxHxW" for one clip, "Cx8x8" and "81" for one box), parameters.
    """
    device = next(model.parameters()).device
    clip = torch.zeros(1, 3, model.entry.clip_len, height, width, device=device)
    box = torch.tensor([[0, 0, 0, width - 1, height - 1]], dtype=torch.float32, device=device)
    modules = dict(model.named_modules()) | {"logits": model.roi_head.bbox_head.fc_cls}
    rows = []
    for name, tensor in trace_stages(model, clip, box).items():
        module = modules.get(name)
        has_layers = module is not None
        rows.append(
            {
                "stage": name.removeprefix("backbone."),
                "what": _describe_layers(module) if has_layers else _describe_tensor(name, model.entry),
                "output": "x".join(map(str, tensor.shape[1:])),
                "parameters": count_parameters(module) if has_layers else 0,
            }
        )
    return pd.DataFrame(rows)


def compare_models(entry, other, height=256, width=340):
    """The stage tables of two zoo entries side by side, without computing anything.

    Returns
    -------
    DataFrame
        stage, then output and parameters of each, by alias. A stage that one of them lacks is empty there. SlowOnly's
        stages stand beside SlowFast's slow pathway.
    """
    tables = []
    for model_entry in (entry, other):
        with torch.device("meta"):
            table = build_stage_table(Detector(model_entry), height, width)
        table["stage"] = table["stage"].str.removeprefix("slow_path.")
        names = {column: f"{model_entry.alias} {column}" for column in ("output", "parameters")}
        tables.append(table.drop(columns="what").rename(columns=names).set_index("stage"))
    joined = tables[0].join(tables[1], how="outer", rsuffix=" too")
    # the order of the longer table, then what only the other one has
    longer = max(tables, key=len)
    order = dict.fromkeys([*longer.index, *joined.index])
    return joined.reindex(list(order)).convert_dtypes().rename_axis("stage").reset_index()


def _describe_tensor(name, entry):
    """A few words for what has no layers of its own."""
    if name == "clips":
        return "frames, normalized"
    return "one box: 8x8 of the mean over time" + (", 8x8 of the whole picture behind it" if entry.context else "")


def _describe_layers(module):
    """A few words for a stage, read off its layers."""
    if isinstance(module, torch.nn.Linear):
        return f"dropout, spatial max, linear {module.in_features} -> {module.out_features}"
    if isinstance(module, torch.nn.Sequential):
        first = module[0]
        kernel = "x".join(map(str, first.conv1.conv.kernel_size))
        return f"{len(module)} bottlenecks, conv1 {kernel}, stride {first.conv2.conv.stride[1]}"
    kind = "stem" if hasattr(module, "bn") else "lateral"
    kernel = "x".join(map(str, module.conv.kernel_size))
    stride = "x".join(map(str, module.conv.stride))
    return f"{kind} conv {kernel}, stride {stride}"
