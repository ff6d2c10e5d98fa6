"""A ViT beside its plain eager definition, whose attention stores the matrix of all pairs of tokens: time and memory.

At 256x340 a clip of VideoMAE's ViT-B has 2,688 tokens; 12 heads of 2688x2688 scores in float32 are 347 MB a block.
"""

import psutil
import torch
import torch.nn.functional as F
from common import compare, get_peak_gb, time_alternately

from avalib import zoo
from avalib.models.detector import Detector
from avalib.models.fused import FusedDetector
from avalib.models.vit import HEAD_WIDTH, Attention

TIME_AIM = 1.3
MEMORY_AIM = 3.0
MAX_DIFFERENCE = 1e-4  # of the logits


class MaterializedAttention(Attention):
    """Attention as the originals write it: scores (B,heads,N,N), softmax, product with the values."""

    def forward(self, x):
        bias = torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])
        qkv = F.linear(x, self.qkv.weight, bias).unflatten(2, (3, self.n_heads, HEAD_WIDTH))
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        scores = (q * HEAD_WIDTH**-0.5) @ k.transpose(2, 3)
        x = scores.softmax(dim=3) @ v
        return self.proj(x.transpose(1, 2).flatten(2))


def build_vit(name, plain):
    """A ViT with random weights; plain: with MaterializedAttention."""
    torch.manual_seed(0)
    model = Detector(zoo.get(name)).eval()
    for module in model.modules():
        if plain and type(module) is Attention:
            module.__class__ = MaterializedAttention
    return model


def build_sample(name, options):
    """One clip and three boxes."""
    h, w = options.height, options.width
    clip = torch.randn(1, 3, zoo.get(name).clip_len, h, w)
    return clip, torch.tensor([[0, 0, 0, w, h], [0, w / 8, h / 8, w / 2, h * 0.9], [0, w * 0.6, h / 4, w * 0.9, h]])


@torch.inference_mode()
def measure_vit_time(name, dtypes, options):
    """Rows: one clip through the network, in each dtype."""
    plain = build_vit(name, plain=True)
    sample = build_sample(name, options)
    expected = plain(*sample)
    networks = {dtype: FusedDetector(build_vit(name, plain=False), dtype) for dtype in dtypes}
    difference = {dtype: (network(*sample) - expected).abs().max().item() for dtype, network in networks.items()}
    if difference[torch.float32] > MAX_DIFFERENCE:
        raise SystemExit(f"{name}: float32 logits are {difference[torch.float32]:.1e} from the plain definition's")
    work = {"plain": lambda: plain(*sample)}
    work |= {dtype: (lambda network=network: network(*sample)) for dtype, network in networks.items()}
    seconds = time_alternately(work, options.repeats)
    rows = []
    for dtype in dtypes:
        what = f"inference, {name}, {str(dtype).removeprefix('torch.')}, beside materialized attention"
        note = f"logits within {difference[dtype]:.0e} of {expected.abs().max():.1f}"
        rows.append(compare(what, seconds[dtype], seconds["plain"], "s", TIME_AIM, note=note))
    return rows


@torch.inference_mode()
def measure_peak_gb(name, plain, options):
    """The memory that the first clip takes beyond the model's, in GB. In a process of its own."""
    model = build_vit(name, plain)
    sample = build_sample(name, options)
    before_gb = psutil.Process().memory_info().rss / 2**30
    model(*sample)
    return get_peak_gb() - before_gb


def compare_vit_memory(name, ours_gb, plain_gb):
    """A row: the peak memory of one clip."""
    what = f"memory of one clip, {name}, float32, beside materialized attention"
    return compare(what, ours_gb, plain_gb, "GB", MEMORY_AIM)
