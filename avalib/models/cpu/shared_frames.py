"""A detector for video streams on a CPU: what overlapping clips share is computed once."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from avalib.models.cpu.frame_layers import convolve
from avalib.models.folded_conv import fold_batch_norm
from avalib.models.fused import FusedDetector
from avalib.models.kernel_forms import get_kernel_forms


@dataclass(frozen=True)
class FrameFeatures:
    """What is computed from one frame alone, for the first block of stage 3."""

    tap_products: torch.Tensor  # (3,H/8,W/8,O): conv1's 3x1x1 kernel, one product for each tap
    shortcut: torch.Tensor  # (H/16,W/16,C)


@dataclass(frozen=True)
class Triplet:
    """Numbers of three consecutive frames of a clip; None before its first and behind its last one."""

    before: int | None
    frame: int
    after: int | None


class TripletCache:
    """Outputs of the first block of stage 3, by the frames that they are computed from.

    compute_frames: clips' frames (n,3,H,W) -> n FrameFeatures.
    compute_triplets: [[FrameFeatures or None] * 3] -> outputs (n,H/16,W/16,C).
    """

    def __init__(self, compute_frames, compute_triplets):
        self._compute_frames = compute_frames
        self._compute_triplets = compute_triplets
        self._frames = {}  # number: FrameFeatures
        self._triplets = {}  # Triplet: output (H/16,W/16,C)
        self.n_computed_frames = 0

    def __len__(self):
        """How many frames are in memory."""
        return len(self._frames)

    def compute_clips(self, clips, numbers):
        """Outputs (B,T,H/16,W/16,C) for clips (B,3,T,H,W) whose frames have `numbers` (B,T)."""
        self._add_frames(clips, numbers)
        # a list of T triplets for each clip, each computed once
        triplets = [list_triplets(row) for row in numbers.tolist()]
        self._add_triplets(triplets)
        # (B,T,H/16,W/16,C)
        outputs = torch.stack([torch.stack([self._triplets[triplet] for triplet in row]) for row in triplets])
        self._forget_before(numbers[-1].min())
        return outputs

    def _add_frames(self, clips, numbers):
        """Compute the frames that are not in memory."""
        new = {number: i for i, number in enumerate(numbers.ravel().tolist()) if number not in self._frames}
        if new:
            frames = clips.transpose(1, 2).flatten(0, 1)[list(new.values())]  # (n,3,H,W)
            self._frames |= zip(new, self._compute_frames(frames), strict=True)
            self.n_computed_frames += len(new)

    def _add_triplets(self, triplets):
        """Compute the triplets (a list for each clip) that are not in memory."""
        unique = dict.fromkeys(triplet for row in triplets for triplet in row)
        new = [triplet for triplet in unique if triplet not in self._triplets]
        if new:
            features = [
                [self._frames.get(n) for n in (triplet.before, triplet.frame, triplet.after)] for triplet in new
            ]
            self._triplets |= zip(new, self._compute_triplets(features), strict=True)

    def _forget_before(self, oldest):
        """Drop what no later clip needs, and the ends of clips, which few clips share."""
        self._frames = {number: value for number, value in self._frames.items() if number >= oldest}
        self._triplets = {
            triplet: value
            for triplet, value in self._triplets.items()
            if None not in (triplet.before, triplet.after) and min(triplet.before, triplet.frame) >= oldest
        }


def list_triplets(numbers):
    """The Triplet around each frame of a clip."""
    return [
        Triplet(before, frame, after)
        for before, frame, after in zip([None, *numbers[:-1]], numbers, [*numbers[1:], None], strict=True)
    ]


class StreamingDetector(FusedDetector):
    """The fused detector for clips that overlap: what depends on the same frames is computed once.

    In SlowOnly the stem and stages 1 and 2 see one frame, and so does each tap of the first convolution over time, in
    the first block of stage 3. That block's output depends on three frames. SlowFast and non-local models have no
    such stages and are computed as they are, as all are where `kernel_forms` says so.
    Memory: about 1280 x H/8 x W/8 numbers for each frame between the last clip's first and last one.

    Parameters
    ----------
    model : Detector
    dtype : torch.dtype
        What the backbone computes in.
    """

    def __init__(self, model, dtype):
        super().__init__(model, dtype)
        self.cache = None
        if not get_kernel_forms(next(model.parameters()).device).shares_frames:
            return
        if model.entry.backbone == "SlowOnly" and not model.entry.non_local_blocks:
            self.cache = TripletCache(self._compute_frames, self._compute_triplets)
            unit = model.backbone.layer3[0].conv1
            # the 3x1x1 kernel as three 1x1x1 ones: (O,C,3,1,1) -> (3,O,C,1,1) -> (3*O,C,1,1,1)
            taps = fold_batch_norm(unit)[0].permute(2, 0, 1, 3, 4).flatten(0, 1)[:, :, None]
            self.register_buffer("taps", taps.to(unit.conv.weight).to(dtype))

    def forget_frames(self):
        """Compute all frames anew: those of another video, or of a stretch that must not depend on the one before."""
        if self.cache is not None:
            self.cache = TripletCache(self._compute_frames, self._compute_triplets)

    def forward(self, clips, rois, numbers):
        """Logits (N,81) as FusedDetector computes them.

        numbers (B,T) int array: which frame each is. Equal numbers are equal frames. The first number of a clip grows
        from clip to clip and from call to call.
        """
        if self.cache is None:
            return super().forward(clips, rois)
        self.detector.check_inputs(clips, rois)
        x = self.cache.compute_clips(clips, numbers).permute(0, 4, 1, 2, 3)  # (B,C,T,H/16,W/16)
        x = self.detector.backbone.layer3[1:](x)
        return self._finish([x], clips, self.detector.prepare_rois(rois, clips))

    def _compute_frames(self, frames):
        """FrameFeatures of each of some frames (n,3,H,W)."""
        # the frames as one clip: nothing here sees time
        backbone = self.detector.backbone
        clip = frames.to(self.dtype).transpose(0, 1)[None]  # (1,3,n,H,W)
        x = backbone.run_stem(clip.contiguous(memory_format=torch.channels_last_3d))
        x = backbone.layer2(backbone.layer1(x))  # (1,C,n,H/8,W/8)
        # conv1's three taps as one 1x1x1 convolution
        products = convolve(x, self.taps, None, (1, 1, 1), (0, 0, 0))[0]  # (3*O,n,H/8,W/8)
        products = products.permute(1, 2, 3, 0).unflatten(3, (3, -1))  # (n,H/8,W/8,3,O)
        products = products.permute(0, 3, 1, 2, 4)  # (n,3,H/8,W/8,O)
        shortcuts = backbone.layer3[0].downsample(x)[0].permute(1, 2, 3, 0)  # (n,H/16,W/16,C)
        return [FrameFeatures(*pair) for pair in zip(products, shortcuts, strict=True)]

    def _compute_triplets(self, triplets):
        """The first block of stage 3 for lists of three FrameFeatures (None: padding) -> (n,H/16,W/16,C)."""
        block = self.detector.backbone.layer3[0]
        # conv1 of the middle frame: the sum of one tap's product from each of the three frames, (n,H/8,W/8,O)
        x = torch.stack([self._sum_taps(triplet) for triplet in triplets])
        x = F.relu(x.add_(block.conv1.bias), inplace=True)
        shortcut = torch.stack([middle.shortcut for _, middle, _ in triplets])  # (n,H/16,W/16,C)
        # the other two convolutions see one frame each: a clip of n frames, (1,…,n,H,W)
        x = x.permute(3, 0, 1, 2)[None]
        shortcut = shortcut.permute(3, 0, 1, 2)[None]
        y = F.relu(block.conv3(block.conv2(x)) + shortcut, inplace=True)
        return y[0].permute(1, 2, 3, 0)

    @staticmethod
    def _sum_taps(triplet):
        """The first tap's product of the frame before, plus the second's of the frame, plus the third's after it."""
        first, *others = [features.tap_products[tap] for tap, features in enumerate(triplet) if features is not None]
        return sum(others, first)
