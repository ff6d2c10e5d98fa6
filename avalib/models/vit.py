"""The Vision Transformer of VideoMAE and UMT as published: all patches of a clip attend to each other.

Tokens are (B,N,C), in the order time, row, column. Module names and weight shapes are those of MMAction2's checkpoints;
for UMT's files `key_names` translates.

Source: MMAction2 1.x vit_mae.py; unmasked_teacher single_modality/action_detection; arXiv:2203.12602, arXiv:2303.16058.
"""

import torch
import torch.nn.functional as F
from torch import nn

from avalib.zoo.entry import ZooEntry

WIDTHS = {12: 768, 24: 1024}  # channels of a token, by the number of blocks: ViT-B, ViT-L
HEAD_WIDTH = 64  # channels of an attention head
PATCH_SIDE = 16  # input pixels
TABLE_SIDE = 14  # patches down and across that the position table is made for: 224 pixels
EPSILON = 1e-6  # of the layer norms


def build_position_table(n_positions: int, channels: int) -> torch.Tensor:
    """Build the sines and cosines of the positions 0, 1, 2, … of the tokens.

    Channel 2i of position p is sin(p / 10000^(2i/C)), channel 2i+1 the cosine of the same angle.

    Returns
    -------
    Tensor
        (1, n_positions, channels) float32, computed in float64.
    """
    position = torch.arange(n_positions, device="cpu")[:, None]  # (N,1)
    frequency = torch.pow(10000, -torch.arange(0, channels, 2, dtype=torch.float64, device="cpu") / channels)  # (C/2,)
    angles = position * frequency  # (N,C/2) float64
    table = torch.stack([angles.sin(), angles.cos()], dim=2)  # (N,C/2,2)
    return table.flatten(1)[None].float()


def drop_path(x: torch.Tensor, rate: float) -> torch.Tensor:
    """Set a branch's output to 0 for some clips of a batch, chosen at random; x (B,N,C), rate 0..1.

    The others are divided by the probability of staying, so that the mean does not change.
    """
    stays = torch.rand(len(x), 1, 1, device=x.device) >= rate  # (B,1,1)
    return x * (stays / max(1 - rate, EPSILON)).to(x.dtype)


class PatchEmbed(nn.Module):
    """Cut clips into patches of `tubelet` frames and 16x16 pixels, and map each to a token.

    What does not fill a patch at the right and the bottom edge is left out.
    """

    def __init__(self, channels, tubelet):
        super().__init__()
        kernel = (tubelet, PATCH_SIDE, PATCH_SIDE)
        self.projection = nn.Conv3d(3, channels, kernel, stride=kernel)

    def forward(self, clips):
        """(B,3,T,H,W) -> (B,C,T/tubelet,H/16,W/16)."""
        return self.projection(clips.to(self.projection.weight.dtype))


class Attention(nn.Module):
    """Multi-head attention of all tokens to all tokens. Queries and values have a bias, keys have none."""

    def __init__(self, channels):
        super().__init__()
        self.n_heads = channels // HEAD_WIDTH
        self.q_bias = nn.Parameter(torch.zeros(channels))
        self.v_bias = nn.Parameter(torch.zeros(channels))
        self.qkv = nn.Linear(channels, 3 * channels, bias=False)
        self.proj = nn.Linear(channels, channels)

    def forward(self, x):
        return self.proj(self.attend(x))

    def attend(self, x):
        """The values of all tokens, weighted by attention: (B,N,C) -> (B,N,C)."""
        q, k, v = self.compute_heads(x.to(self.qkv.weight.dtype))
        x = F.scaled_dot_product_attention(q, k, v)  # no (N,N) matrix is stored
        return x.transpose(1, 2).flatten(2)

    def compute_heads(self, x):
        """Queries, keys and values by one product, (B,N,C) -> (3,B,heads,N,64)."""
        return self.split_heads(F.linear(x, self.qkv.weight, self.build_qkv_bias()))

    def split_heads(self, qkv):
        """(B,N,3C) -> (3,B,heads,N,64), a view."""
        return qkv.unflatten(2, (3, self.n_heads, HEAD_WIDTH)).permute(2, 0, 3, 1, 4)

    def build_qkv_bias(self):
        """(3C,), zeros for the keys."""
        return torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])


class MLP(nn.Module):
    """Two linear layers with the exact (erf) GELU between them, on each token."""

    def __init__(self, channels):
        super().__init__()
        hidden = nn.Sequential(nn.Linear(channels, 4 * channels), nn.GELU())
        self.layers = nn.Sequential(hidden, nn.Linear(4 * channels, channels))

    def forward(self, x):
        return self.layers(x.to(self.layers[1].weight.dtype))


class Block(nn.Module):
    """Attention, then MLP, each behind a layer norm and beside the identity.

    drop_path_rate: the probability with which each of the two is left out in training.
    """

    def __init__(self, channels):
        super().__init__()
        self.drop_path_rate = 0.0
        self.norm1 = nn.LayerNorm(channels, eps=EPSILON)
        self.attn = Attention(channels)
        self.norm2 = nn.LayerNorm(channels, eps=EPSILON)
        self.mlp = MLP(channels)

    def forward(self, x):
        x = x + self.drop(self.attn(self.norm1(x)))
        return x + self.drop(self.mlp(self.norm2(x)))

    def drop(self, branch):
        """A branch's output, in training with drop path."""
        return drop_path(branch, self.drop_path_rate) if self.training and self.drop_path_rate else branch


class VisionTransformer(nn.Module):
    """ViT-B (12 blocks) or ViT-L (24): (B,3,T,H,W) -> [(B,C,T/tubelet,H/16,W/16)].

    Parameters
    ----------
    entry : ZooEntry
        depth (blocks), clip_len, tubelet (frames in a token), drop_path. code_base "umt": the position table is not in
        the state_dict, and it is resized in float32 whatever the model's type.
    """

    def __init__(self, entry: ZooEntry):
        super().__init__()
        if entry.depth not in WIDTHS:
            depths = ", ".join(map(str, WIDTHS))
            raise ValueError(f"depth {entry.depth}: expected the number of a ViT's blocks, one of {depths}")
        channels = WIDTHS[entry.depth]
        self.clip_len = entry.clip_len
        self.n_slices = entry.clip_len // entry.tubelet  # tokens along time
        self.out_channels = channels
        self.has_float32_table = entry.code_base == "umt"
        self.patch_embed = PatchEmbed(channels, entry.tubelet)
        self.blocks = nn.ModuleList(Block(channels) for _ in range(entry.depth))
        self.norm = nn.LayerNorm(channels, eps=EPSILON)
        table = build_position_table(self.n_slices * TABLE_SIDE**2, channels).to(self.norm.weight.device)
        self.register_buffer("pos_embed", table, persistent=not self.has_float32_table)
        self.set_drop_path(entry.drop_path)
        self.init_weights()

    def set_drop_path(self, rate: float) -> None:
        """Let the drop path rates of the blocks rise linearly from 0 in the first one to `rate` in the last one."""
        last = max(len(self.blocks) - 1, 1)
        for number, block in enumerate(self.blocks):
            block.drop_path_rate = rate * number / last

    def init_weights(self) -> None:
        """Linear weights from a truncated normal with std 0.02, biases 0. Draws from torch's global generator."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def resize_position_table(self, height: int, width: int) -> torch.Tensor:
        """Resize the position table to a grid of height x width patches.

        Each of the table's slices in time is resized by bicubic interpolation. At 14x14 that changes nothing.

        Returns
        -------
        Tensor
            (1, N, C), N = slices * height * width.
        """
        table = self.pos_embed.float() if self.has_float32_table else self.pos_embed
        slices = table.unflatten(1, (self.n_slices, TABLE_SIDE, TABLE_SIDE))[0]  # (T',14,14,C)
        slices = slices.permute(0, 3, 1, 2)  # (T',C,14,14)
        slices = F.interpolate(slices, size=(height, width), mode="bicubic", align_corners=False)
        return slices.permute(0, 2, 3, 1).flatten(0, 2)[None]  # (1,N,C)

    def forward(self, clips: torch.Tensor) -> list[torch.Tensor]:
        self.check_clips(clips)
        x = self.patch_embed(clips)  # (B,C,T',h,w)
        grid = x.shape[2:]
        # tokens with their places
        x = x.flatten(2).transpose(1, 2)  # (B,N,C)
        x = x + self.resize_position_table(*grid[1:])
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        # one map again, channels last in memory
        return [x.unflatten(1, grid).permute(0, 4, 1, 2, 3)]  # (B,C,T',h,w)

    def check_clips(self, clips: torch.Tensor) -> None:
        """Raise ValueError for clips (B,3,T,H,W) of another length, or without a whole patch."""
        n_frames, height, width = clips.shape[2:]
        if n_frames != self.clip_len:
            raise ValueError(
                f"this ViT takes clips of {self.clip_len} frames, got {n_frames}: its position table has "
                f"{self.n_slices} slices in time and is not interpolated along it"
            )
        if min(height, width) < PATCH_SIDE:
            raise ValueError(f"a ViT's patches are {PATCH_SIDE}x{PATCH_SIDE} pixels, the clip has {height}x{width}")


def compute_products_in(backbone: VisionTransformer, dtype: torch.dtype) -> None:
    """Compute the matrix products and the attention of a VisionTransformer in bfloat16 or float16, the rest as before.

    What is summed over the blocks, the layer norms and the position table keep their precision.
    """
    for module in backbone.modules():
        if isinstance(module, PatchEmbed | Attention | MLP):
            module.to(dtype)
