"""A model in tables: its stages with shapes, parameters and arithmetic, measured on the model itself."""

from dataclasses import dataclass
from functools import partial

import pandas as pd
import torch
from torch.utils.flop_counter import FlopCounterMode

from avalib.models.detector import Detector
from avalib.models.vit import Block, PatchEmbed, VisionTransformer
from avalib.utils.plurals import format_count

STAGES = ("conv1", "layer1", "layer2", "layer3", "layer4")
VIT_GROUPS = 4  # stages that a ViT's blocks are shown as


@dataclass(frozen=True)
class Stage:
    """A part of a backbone: a row of the tables."""

    name: str  # "backbone.slow_path.layer1", "backbone.blocks 0-2"
    layers: tuple[torch.nn.Module, ...]  # the output of the last one is the stage's

    def count_parameters(self) -> int:
        """How many numbers its layers learn."""
        return sum(map(count_parameters, self.layers))


def list_stages(model: Detector) -> list[Stage]:
    """List the stages of a detector's backbone, in the order of its modules."""
    backbone = model.backbone
    if not isinstance(backbone, VisionTransformer):
        return [Stage(name, (module,)) for name, module in model.named_modules() if _is_stage(name)]
    size = max(len(backbone.blocks) // VIT_GROUPS, 1)
    groups = [
        Stage(f"backbone.blocks {i}-{i + size - 1}", tuple(backbone.blocks[i : i + size]))
        for i in range(0, len(backbone.blocks), size)
    ]
    return [Stage("backbone.patch_embed", (backbone.patch_embed,)), *groups, Stage("backbone.norm", (backbone.norm,))]


def count_parameters(module):
    """How many numbers a module learns."""
    return sum(p.numel() for p in module.parameters())


def count_backbone_flops(model, height=256, width=340):
    """FLOPs of the backbone for one clip of height x width pixels.

    Two for each multiply-add of convolutions, matrix products and attention; norms, activations and pools are not
    counted.
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
        "clips", the stages of `list_stages` (B,C,T,H,W), "RoIAlign" (N,C,8,8), "logits"; in the order of the
        computation.
    """
    # hooks store what each stage returns
    outputs = {"clips": clips}

    def store_output(module, inputs, output, name):
        if output.dim() == 3:  # a ViT's tokens (B,N,C) -> (B,C,T,H,W)
            grid = outputs["backbone.patch_embed"].shape[2:]
            output = output.transpose(1, 2).unflatten(2, grid)
        outputs[name] = output

    def store_input(module, inputs, output, name):
        outputs[name] = inputs[0]

    hooks = [
        stage.layers[-1].register_forward_hook(partial(store_output, name=stage.name)) for stage in list_stages(model)
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
    # one clip with one box through the network
    device = next(model.parameters()).device
    clip = torch.zeros(1, 3, model.entry.clip_len, height, width, device=device)
    box = torch.tensor([[0, 0, 0, width - 1, height - 1]], dtype=torch.float32, device=device)
    stages = [*list_stages(model), Stage("logits", (model.roi_head.bbox_head.fc_cls,))]
    stages_by_name = {stage.name: stage for stage in stages}
    rows = []
    for name, tensor in trace_stages(model, clip, box).items():
        stage = stages_by_name.get(name)
        rows.append(
            {
                "stage": name.removeprefix("backbone."),
                "what": _describe_layers(stage.layers) if stage else _describe_tensor(name, model.entry),
                "output": "x".join(map(str, tensor.shape[1:])),
                "parameters": stage.count_parameters() if stage else 0,
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
    """A short text for a tensor that no stage computes."""
    if name == "clips":
        return "frames, normalized"
    pool = "mean" if entry.temporal_pool == "avg" else "maximum"
    size = f"{entry.roi_size}x{entry.roi_size}"
    return f"one box: {size} of the {pool} over time" + (f", {size} of the whole picture behind it" * entry.context)


def _describe_layers(layers):
    """A short text for a stage, from its layers."""
    module = layers[0]
    linears = [layer for layer in module.modules() if isinstance(layer, torch.nn.Linear)]
    if isinstance(module, Block):
        n_blocks = format_count(len(layers), "block")
        return f"{n_blocks}, attention of {module.attn.n_heads} heads, MLP {module.mlp.layers[1].in_features}"
    if linears:
        widths = [linears[0].in_features, *(linear.out_features for linear in linears)]
        return f"dropout, spatial max, linear {' -> '.join(map(str, widths))}"
    if isinstance(module, PatchEmbed):
        return f"patches of {'x'.join(map(str, module.projection.kernel_size))}, position table"
    if isinstance(module, torch.nn.LayerNorm):
        return "layer norm"
    if isinstance(module, torch.nn.Sequential):
        first = module[0]
        kernel = "x".join(map(str, first.conv1.conv.kernel_size))
        return f"{format_count(len(module), 'bottleneck')}, conv1 {kernel}, stride {first.conv2.conv.stride[1]}"
    kind = "stem" if hasattr(module, "bn") else "lateral"
    kernel = "x".join(map(str, module.conv.kernel_size))
    stride = "x".join(map(str, module.conv.stride))
    return f"{kind} conv {kernel}, stride {stride}"
