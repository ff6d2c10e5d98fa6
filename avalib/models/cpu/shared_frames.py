"""A detector for video streams on a CPU: what overlapping clips share is computed once."""

import torch
import torch.nn.functional as F

from avalib.models.fused import LAST, FusedDetector, fold_batch_norm
from avalib.models.resnet3d import convolve


class StreamingDetector(FusedDetector):
    """The inference form for clips that overlap: what follows from the same frames is computed once.

    In SlowOnly stem and stages 1 and 2 look at one frame, and so does each tap of the first convolution over time, in
    the first block of stage 3; that block's output follows from three frames. SlowFast has no such stages, and is
    computed as it is.
    Memory: about 1280 x H/8 x W/8 numbers for each frame that is looked at between the last clip's first and last.
    """

    def __init__(self, model, dtype):
        super().__init__(model, dtype)
        self.computed = 0  # frames
        self._of_frame, self._of_three = {}, {}  # (products of the taps, shortcut); the block's output
        if hasattr(model.backbone, "per_frame"):
            first = model.backbone.layer3[0].conv1
            taps = (
                fold_batch_norm(first)[0].permute(2, 0, 1, 3, 4).flatten(0, 1)[:, :, None]
            )  # (O,C,3,1,1) -> (3*O,C,1,1,1)
            self.register_buffer("taps", taps.to(first.conv.weight).to(dtype))

    def forward(self, clips, rois, numbers):
        """Logits (N,81), as the form's. numbers (B,T) ints say which frame each is: equal ones are equal frames; the
        first of a clip grows from clip to clip and from call to call."""
        if not hasattr(self, "taps"):
            return super().forward(clips, rois)
        self.detector.check(clips, rois)
        cells, rois = self.looked_at(clips, rois)
        new = {n: i for i, n in enumerate(numbers.ravel().tolist()) if n not in self._of_frame}
        if new:
            frames = clips.transpose(1, 2).flatten(0, 1)[list(new.values())].to(self.dtype)  # (n,3,H,W)
            self._of_frame |= zip(new, self._look(frames), strict=True)
            self.computed += len(new)
        threes = [list(zip([None, *row[:-1]], row, [*row[1:], None], strict=True)) for row in numbers.tolist()]
        new = [t for t in dict.fromkeys(three for row in threes for three in row) if t not in self._of_three]
        if new:
            self._of_three |= zip(new, self._first_over_time(new), strict=True)
        x = torch.stack([torch.stack([self._of_three[three] for three in row]) for row in threes])  # (B,T,H',W',C)
        self._forget(numbers[-1].min())
        backbone = self.detector.backbone
        x = backbone.layer3[1:](x.permute(0, 4, 1, 2, 3))
        return self.detector.roi_head([backbone.layer4(x, cells)], rois)

    def _look(self, frames):
        """Frames (n,3,H,W) -> of each: the products of the taps (3,H/8,W/8,O), the shortcut (H/16,W/16,C)."""
        backbone = self.detector.backbone
        x = backbone.per_frame(frames.transpose(0, 1)[None].contiguous(memory_format=LAST))
        products = convolve(x, self.taps, None, (1, 1, 1), (0, 0, 0))
        shortcut = backbone.layer3[0].downsample(x)
        products, shortcut = (v[0].permute(1, 2, 3, 0) for v in (products, shortcut))
        return zip(products.unflatten(3, (3, -1)).permute(0, 3, 1, 2, 4), shortcut, strict=True)

    def _first_over_time(self, threes):
        """The first block of stage 3 at (before, frame, after), None beyond the clip's ends -> (m,H/16,W/16,C)."""
        block = self.detector.backbone.layer3[0]
        seen = [[self._of_frame[n][0][tap] for tap, n in enumerate(three) if n is not None] for three in threes]
        x = torch.stack([sum(rest, one) for one, *rest in seen])
        x = F.relu(x.add_(block.conv1.bias), inplace=True)
        shortcut = torch.stack([self._of_frame[n][1] for _, n, _ in threes])
        x, shortcut = (v.permute(3, 0, 1, 2)[None] for v in (x, shortcut))
        return block.finish(x, shortcut)[0].permute(1, 2, 3, 0)

    def _forget(self, oldest):
        """What no later clip can ask for, nor will often: ends of clips."""
        self._of_frame = {n: kept for n, kept in self._of_frame.items() if n >= oldest}
        self._of_three = {t: kept for t, kept in self._of_three.items() if None not in t and min(t) >= oldest}
