"""Batch samplers: which clips form a batch, in what order, in which process.

A step of the original takes `videos_per_gpu` clips on each GPU. Here each of these micro-batches is computed by some
process; with fewer processes than micro-batches, a process computes several, one after the other (gradient
accumulation). Eight GPUs, or one that accumulates 8 times, use the same clips in the same micro-batches.
"""

from collections.abc import Iterator, Sequence
from itertools import zip_longest

import numpy as np


class TrainBatchSampler:
    """The micro-batches of one process, as lists of (epoch, k): `accumulate` of them a step.

    Every epoch is a new permutation drawn from (seed, epoch), filled up from its own beginning until all micro-batches
    have equally many clips in the epoch, as torch's DistributedSampler does. Micro-batch number i of a step takes its
    clips from positions i, i + n, i + 2n, … of the permutation (n: micro-batches a step). The last, partial batch is
    kept.

    Set `epoch`, and `skip` to the number of its steps that are done already, before iterating.

    Parameters
    ----------
    n_clips : int
        Clips of the data set.
    batch_size : int
        Clips of a micro-batch.
    seed : int
        Of the permutations.
    accumulate : int
        Micro-batches a step of each process.
    rank, n_processes : int
        This process, and how many there are.
    """

    def __init__(
        self, n_clips: int, batch_size: int, seed: int, accumulate: int = 1, rank: int = 0, n_processes: int = 1
    ):
        self.n_clips = n_clips
        self.batch_size = batch_size
        self.seed = seed
        self.accumulate = accumulate
        self.rank = rank
        self.n_micro_batches = accumulate * n_processes  # of a step
        self.epoch = 0
        self.skip = 0

    @property
    def clips_per_micro_batch(self) -> int:
        """Clips that each micro-batch of a step takes in a whole epoch."""
        return -(-self.n_clips // self.n_micro_batches)

    @property
    def steps(self) -> int:
        """Optimizer steps of a whole epoch."""
        return -(-self.clips_per_micro_batch // self.batch_size)

    def __len__(self) -> int:
        return (self.steps - self.skip) * self.accumulate

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        # one order of all clips, the same in every process
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.n_clips)
        order = np.resize(order, self.clips_per_micro_batch * self.n_micro_batches)  # repeats from the beginning
        # this process computes micro-batches first … first + accumulate - 1 of each step
        first = self.rank * self.accumulate
        for step in range(self.skip, self.steps):
            of_step = slice(step * self.batch_size, (step + 1) * self.batch_size)
            for micro_batch in range(first, first + self.accumulate):
                clips = order[micro_batch :: self.n_micro_batches][of_step]
                yield [(self.epoch, int(k)) for k in clips]


class PerVideoBatchSampler:
    """Batches of neighboring k, in order; a batch holds clips of one video, because frame sizes may differ.

    Parameters
    ----------
    video_ids : (K,) array of str
        The video of each keyframe.
    batch_size : int
        Clips of a batch, at most.
    """

    def __init__(self, video_ids: np.ndarray, batch_size: int):
        # where the next video begins
        changes = np.flatnonzero(video_ids[1:] != video_ids[:-1]) + 1
        self.batches = []
        for run in np.split(np.arange(len(video_ids)), changes):
            self.batches += [run[i : i + batch_size].tolist() for i in range(0, len(run), batch_size)]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.batches)


def order_in_stretches(items: Sequence, workers: int) -> list:
    """Order items so that each of `workers`, who take them in turn, gets a stretch of neighbors, in order.

    A video's frames are then decoded one after the other, instead of by every worker from the last keyframe on.
    """
    stretches = np.array_split(np.arange(len(items)), workers)  # the first ones are longer by one
    turns = zip_longest(*(stretch.tolist() for stretch in stretches))
    return [items[index] for turn in turns for index in turn if index is not None]
