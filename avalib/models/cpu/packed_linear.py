"""A ViT's linear layers as oneDNN's convolutions: a sixth faster on a CPU than matrix products, GELU included."""

import torch.nn.functional as F
from torch import nn

from avalib.models.cpu.packed_conv import PackedConv, PackingModule, can_run
from avalib.models.vit import MLP, Attention

_GEOMETRY = ((1, 1), (0, 0), (1, 1))  # of a 1x1 convolution


class PackedLinear(PackingModule):
    """A linear layer for inference, then the exact GELU if `gelu`; (B,N,C) -> (B,N,O).

    Parameters
    ----------
    weight, bias : Tensor
        (O,C) and (O,).
    gelu : bool
    """

    def __init__(self, weight, bias, gelu=False):
        super().__init__()
        self.register_buffer("weight", weight.detach())
        self.register_buffer("bias", bias.detach())
        self.activation = "gelu" if gelu else "none"

    def forward(self, x):
        if not can_run(x):
            y = F.linear(x, self.weight, self.bias)
            return F.gelu(y) if self.activation == "gelu" else y
        # tokens as a picture of one column, channels last in memory: a view
        picture = x.transpose(1, 2)[..., None]  # (B,C,N,1)
        if self.packed is None:
            self.packed = PackedConv(self.weight[:, :, None, None], self.bias, _GEOMETRY, picture.shape)
        return self.packed.convolve(picture, self.activation)[..., 0].transpose(1, 2)  # (B,N,O)


class PackedAttention(Attention):
    """Attention whose `qkv` is a PackedLinear with the bias of all three."""

    def compute_qkv(self, x):
        return self.qkv(x)


def pack_linear_layers(backbone):
    """Replace the linear layers of a VisionTransformer, in place, by PackedLinear. For inference."""
    for module in backbone.modules():
        if type(module) is Attention:
            module.__class__ = PackedAttention
            module.qkv = PackedLinear(module.qkv.weight, module.build_qkv_bias())
            module.proj = PackedLinear(module.proj.weight, module.proj.bias)
        elif type(module) is MLP:
            (wide, _), narrow = module.layers
            module.layers = nn.Sequential(
                PackedLinear(wide.weight, wide.bias, gelu=True), PackedLinear(narrow.weight, narrow.bias)
            )
