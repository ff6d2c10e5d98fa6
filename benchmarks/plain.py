"""The detectors as one would write the published definition down: 3-D layers, run eagerly, float32. The baseline.

Names and shapes of weights are the zoo's, so that one state_dict serves both (tests/test_bench.py holds the logits
together). Source: MMAction2 v0.10.0; torchvision for RoIAlign.
"""

import torch
from torch import nn
from torchvision.ops import roi_align

BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}


class Unit(nn.Module):
    """Convolution and batch norm, ReLU if asked for."""

    def __init__(self, i, o, kernel, stride=(1, 1, 1), relu=True):
        super().__init__()
        self.conv = nn.Conv3d(i, o, kernel, stride, tuple(k // 2 for k in kernel), bias=False)
        self.bn = nn.BatchNorm3d(o)
        self.relu = nn.ReLU(inplace=True) if relu else nn.Identity()

    def forward(self, x):
        return self.relu(self.bn(self.conv(x)))


class Block(nn.Module):
    def __init__(self, i, planes, stride, inflate, project):
        super().__init__()
        self.conv1 = Unit(i, planes, (3 if inflate else 1, 1, 1))
        self.conv2 = Unit(planes, planes, (1, 3, 3), (1, stride, stride))
        self.conv3 = Unit(planes, 4 * planes, (1, 1, 1), relu=False)
        self.downsample = Unit(i, 4 * planes, (1, 1, 1), (1, stride, stride), relu=False) if project else nn.Identity()

    def forward(self, x):
        return torch.relu(self.conv3(self.conv2(self.conv1(x))) + self.downsample(x))


class Path(nn.Module):
    def __init__(self, depth, base, kernel, inflated, fed=(0, 0, 0, 0), fusion=0, alpha=1):
        super().__init__()
        self.conv1 = Unit(3, base, (kernel, 7, 7), (1, 2, 2))
        self.pool = nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))
        width = base
        for s, blocks in enumerate(BLOCKS[depth]):
            planes, stride, inflate = base * 2**s, (1, 2, 2, 1)[s], s + 1 in inflated
            layer = [Block(width + 2 * fed[s], planes, stride, inflate, True)]
            layer += [Block(4 * planes, planes, 1, inflate, False) for _ in range(blocks - 1)]
            self.add_module(f"layer{s + 1}", nn.Sequential(*layer))
            width = 4 * planes
        for name, c in zip(("conv1", "layer1", "layer2", "layer3"), fed if fusion else (), strict=False):
            lateral = nn.Conv3d(c, 2 * c, (fusion, 1, 1), (alpha, 1, 1), (fusion // 2, 0, 0), bias=False)
            self.add_module(f"{name}_lateral", nn.ModuleDict({"conv": lateral}))

    def stem(self, x):
        return self.pool(self.conv1(x))


class SlowOnly(Path):
    def __init__(self, entry):
        super().__init__(entry.depth, 64, 1, (3, 4))

    def forward(self, x):
        return [self.layer4(self.layer3(self.layer2(self.layer1(self.stem(x)))))]


class SlowFast(nn.Module):
    def __init__(self, entry):
        super().__init__()
        base, self.rate = 64 // entry.channel_ratio, entry.resample_rate
        fed = (base, 4 * base, 8 * base, 16 * base)
        self.slow_path = Path(entry.depth, 64, 1, (3, 4), fed, entry.fusion_kernel, entry.speed_ratio)
        self.fast_path = Path(entry.depth, base, 5, (1, 2, 3, 4))

    def forward(self, x):
        slow, fast = self.slow_path.stem(x[:, :, :: self.rate]), self.fast_path.stem(x)
        for s, name in enumerate(("conv1", "layer1", "layer2", "layer3"), 1):
            lateral = getattr(self.slow_path, f"{name}_lateral")["conv"](fast)
            slow = getattr(self.slow_path, f"layer{s}")(torch.cat([slow, lateral], 1))
            fast = getattr(self.fast_path, f"layer{s}")(fast)
        return [slow, fast]


class Detector(nn.Module):
    """clips (B,3,T,H,W), rois (N,5) -> logits (N,81), of a zoo entry."""

    def __init__(self, entry, n_classes=80, dropout=0.5):
        super().__init__()
        self.context = entry.context
        self.backbone = {"SlowOnly": SlowOnly, "SlowFast": SlowFast}[entry.backbone](entry)
        channels = (2048 if entry.backbone == "SlowOnly" else 2304) * (2 if entry.context else 1)
        head = nn.ModuleDict({"fc_cls": nn.Linear(channels, n_classes + 1)})
        self.roi_head = nn.ModuleDict({"bbox_head": head})
        self.dropout = nn.Dropout(dropout)

    def forward(self, clips, rois):
        x = torch.cat([nn.functional.adaptive_avg_pool3d(m, (1, None, None)) for m in self.backbone(clips)], 1)[:, :, 0]
        x = x.float()
        found = roi_align(x, rois, 8, 1 / 16, sampling_ratio=0, aligned=True)
        if self.context:
            found = torch.cat([found, nn.functional.adaptive_avg_pool2d(x, 8)[rois[:, 0].long()]], 1)
        most = nn.functional.adaptive_max_pool2d(self.dropout(found), 1).flatten(1)
        return self.roi_head["bbox_head"]["fc_cls"](most)
