"""The clips of keyframes with their boxes and labels, as a torch Dataset.

Every random draw of a sample comes from (seed, epoch, index), so a run is the same for any number of workers, and can
be resumed in mid-epoch.

Source of the rules: MMAction2 v0.10.0 ava_dataset.py.
"""

import numpy as np
import torch
from torch.utils.data import Dataset

from avalib.data.assigner import select_training_boxes
from avalib.data.frame_protocols import choose_clip_frames, get_frame_protocol
from avalib.data.keyframe_table import KeyframeTable
from avalib.data.sequential_reader import SequentialReader
from avalib.data.transforms import augment_clip, draw_augmentation
from avalib.utils.boxes import to_pixels
from avalib.video.frame_source import FrameSource
from avalib.video.resize import resize_boxes
from avalib.video.video_error import VideoError
from avalib.zoo.entry import ZooEntry
from avalib.zoo.recipe import Recipe

DECODE_WINDOW = 256  # keyframes that one pass through a video is planned for
MAX_REPLACEMENTS = 100  # keyframes that are tried in place of one whose frames can't be read


class ClipDataset(Dataset):
    """Clips of keyframes. Indexed by (epoch, k), or by k alone (epoch 0).

    A sample is a dict:

    - clip: (T,H,W,3) uint8 tensor.
    - boxes: (n,4) float32, pixels of the clip. In training those of `select_training_boxes` that have an action (the
      others never enter the loss); in a test the proposals, not clipped.
    - index: k, the number of the keyframe.
    - targets: (n,81) float32, in training only.
    - flip: whether the clip is still to be mirrored, as its boxes already are (`transforms.flip_clips`), in training
      only.
    - augmentation: (4,) int64, only with resize_on_device: what `transforms.cut_clips` is still to do with the clip.
    - missing: (k, reason), only if the frames of keyframe k can't be read. In training the sample is then that of
      another keyframe, drawn at random, and `index` is the other one's; in a test it holds nothing else. `ClipLoader`
      counts these keyframes.

    Parameters
    ----------
    keyframes : KeyframeTable
        What the clips show.
    entry : ZooEntry
        The model: length and interval of the clips.
    recipe : Recipe
        Sizes, augmentation, seed.
    frames : FrameSource
        Where the frames come from.
    training : bool
        True: random crops with targets. False: whole frames with proposals.
    resize_on_device : bool
        Training clips keep their frames' size, and are resized and cropped later. Recipes that change colors, which
        comes after the crop, take no notice of it.
    """

    def __init__(
        self,
        keyframes: KeyframeTable,
        entry: ZooEntry,
        recipe: Recipe,
        frames: FrameSource,
        training: bool,
        resize_on_device: bool = False,
    ):
        get_frame_protocol(recipe.numbering)  # an unknown one is an error before the first clip
        self.keyframes = keyframes
        self.entry = entry
        self.recipe = recipe
        self.frames = frames
        self.training = training
        self.resize_on_device = resize_on_device and not recipe.color_jitter
        self.sequential_reader = SequentialReader(recipe.test_short_side)

    def __len__(self):
        return len(self.keyframes)

    def __getitem__(self, item):
        epoch, k = item if isinstance(item, tuple) else (0, item)
        try:
            return self._load_sample(epoch, k)
        except (VideoError, FileNotFoundError) as error:
            # a batch of training keeps its size; a test scores what it can read
            replacement = self._load_replacement(epoch, k) if self.training else {}
            return {"missing": (k, str(error)), **replacement}
        except Exception as error:
            video_id = self.keyframes.video_ids[k]
            timestamp = self.keyframes.timestamps[k]
            error.add_note(f"while reading {self.frames.get_path(video_id)} for keyframe {video_id},{timestamp:04.0f}")
            raise

    def choose_frame_numbers(
        self, k: int, epoch: int, n_ava_frames: int, rng: np.random.Generator | None = None
    ) -> np.ndarray:
        """Choose the frames of the clip of keyframe k, jittered in training (and in a test if the recipe says so).

        Parameters
        ----------
        k, epoch : int
            The sample.
        n_ava_frames : int
            How many AVA-numbered frames the video has.
        rng : Generator, optional
            Where the jitter is drawn from. The default is a new one of this sample.

        Returns
        -------
        ndarray
            (T,) AVA numbers, from 1.
        """
        rng = rng or self._build_rng(epoch, k)
        numbers = choose_clip_frames(
            self.recipe.numbering,
            self.keyframes.timestamps[k],
            self.entry.clip_len,
            self.entry.frame_interval,
            n_ava_frames,
            start_s=self.keyframes.start_s[k],
            last_frame=self.keyframes.last_frame[k],
            rng=rng if self.training or self.recipe.jitter_at_test else None,
        )
        return rng.permutation(numbers) if self.recipe.shuffle_frames else numbers

    def _build_rng(self, epoch, k):
        return np.random.default_rng([self.recipe.seed, epoch, k])

    def _load_sample(self, epoch, k):
        self.frames.check_available(self.keyframes.video_ids[k], self.keyframes.timestamps[k])
        sample = self._load_training_sample(epoch, k) if self.training else self._load_test_sample(k)
        sample["clip"] = torch.from_numpy(sample["clip"])
        return {"index": k, **sample}

    def _load_replacement(self, epoch, k):
        """The sample of another keyframe, drawn at random, so that a training batch keeps its size."""
        rng = np.random.default_rng([self.recipe.seed, epoch, k, 1])
        for other in rng.permutation(len(self))[:MAX_REPLACEMENTS]:
            try:
                return self._load_sample(epoch, int(other))
            except (VideoError, FileNotFoundError):
                continue
        raise VideoError(
            f"{self.frames.layout.root}: {MAX_REPLACEMENTS} keyframes were tried, and the frames of none can be read"
        )

    def _load_training_sample(self, epoch, k):
        """A random crop of the clip, with the boxes that train and their targets."""
        rng = self._build_rng(epoch, k)
        reader = self.frames.get_reader(self.keyframes.video_ids[k])
        # (T,H,W,3) uint8, of the video's or the cache's size
        clip = reader.read_ava_frames(self.choose_frame_numbers(k, epoch, reader.n_ava_frames, rng))
        height, width = clip.shape[1:3]
        truth_norm, labels = self.keyframes.get_ground_truth(k)
        proposals_norm = self.keyframes.get_proposals(k)
        # people and proposals are augmented together, then separated again
        boxes_px = to_pixels(np.concatenate([truth_norm, proposals_norm]), width, height)
        if self.resize_on_device:
            drawn = draw_augmentation((height, width), self.recipe, rng)
            boxes_px = drawn.move_boxes(boxes_px, (height, width), self.recipe.flip_shift)
            later = {"augmentation": torch.tensor([drawn.height, drawn.width, drawn.left, drawn.top])}
            flip = drawn.flip
        else:
            clip, boxes_px, flip = augment_clip(clip, boxes_px, self.recipe, rng)
            later = {}
        n_people = len(truth_norm)
        boxes_px, targets = select_training_boxes(
            ground_truth=boxes_px[:n_people],
            labels=labels.astype(np.float32),
            proposals=boxes_px[n_people:],
            threshold=self.recipe.assign_iou,
            limit=self.recipe.rois_per_frame,
            rng=rng,
        )
        # column 0 is reserved: it is no action
        has_action = targets[:, 1:].any(axis=1)
        return {"clip": clip, "flip": flip, "boxes": boxes_px[has_action], "targets": targets[has_action], **later}

    def _load_test_sample(self, k):
        """The whole frame at the recipe's short side, not mirrored, with the proposals."""
        reader = self.frames.get_reader(self.keyframes.video_ids[k])
        if not self.sequential_reader.has_next(k):
            # a new pass through the video, for this keyframe and the next ones: frame numbers (n_clips,T)
            n_clips = self.keyframes.count_consecutive(k, DECODE_WINDOW)
            clips = [self.choose_frame_numbers(i, 0, reader.n_ava_frames) for i in range(k, k + n_clips)]
            self.sequential_reader.start(reader, k, np.stack(clips))
        clip = self.sequential_reader.read_next()
        proposals_px = to_pixels(self.keyframes.get_proposals(k), reader.width, reader.height)
        return {"clip": clip, "boxes": resize_boxes(proposals_px, (reader.height, reader.width), clip.shape[1:3])}
