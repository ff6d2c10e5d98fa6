"""Which clips go together, in what order, in which process.

A step of the original takes `videos_per_gpu` clips on each GPU. Here each of these shares is done by some process, one
share after the other where there are fewer processes than shares (gradient accumulation): 8 GPUs, or one that
accumulates 8 times, take the same clips in the same shares.
"""

from itertools import zip_longest

import numpy as np


class TrainBatchSampler:
    """This process's batches of (epoch, k): one share of a step each, `accumulate` of them a step.

    Every epoch is a new permutation drawn from (seed, epoch), filled up from its own beginning until all shares are
    equally long (as torch's DistributedSampler does); share v takes every shares-th clip from v; the last partial batch
    is kept. Set `epoch` (and `skip`, how many steps of it are done already) before iterating.
    """

    def __init__(self, count, batch_size, seed, accumulate=1, rank=0, processes=1):
        self.count, self.batch_size, self.seed = count, batch_size, seed
        self.accumulate, self.rank, self.shares = accumulate, rank, accumulate * processes
        self.epoch, self.skip = 0, 0

    @property
    def share_length(self):
        """Clips that each share takes of an epoch."""
        return -(-self.count // self.shares)

    @property
    def steps(self):
        """Steps of the optimiser in a whole epoch."""
        return -(-self.share_length // self.batch_size)

    def __len__(self):
        return (self.steps - self.skip) * self.accumulate

    def __iter__(self):
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.count)
        order = np.resize(order, self.share_length * self.shares)  # repeats from the beginning
        for step in range(self.skip, self.steps):
            for share in range(self.rank * self.accumulate, (self.rank + 1) * self.accumulate):
                clips = order[share :: self.shares][step * self.batch_size : (step + 1) * self.batch_size]
                yield [(self.epoch, int(k)) for k in clips]


class PerVideoBatchSampler:
    """Batches of k in order; a batch never crosses from one video to the next, whose frames may have another size."""

    __test__ = False  # not a test class, whatever pytest thinks of its name

    def __init__(self, video_ids, batch_size):
        change = np.flatnonzero(video_ids[1:] != video_ids[:-1]) + 1
        runs = np.split(np.arange(len(video_ids)), change)
        self.batches = [run[i : i + batch_size].tolist() for run in runs for i in range(0, len(run), batch_size)]

    def __len__(self):
        return len(self.batches)

    def __iter__(self):
        return iter(self.batches)


def order_in_stretches(items, workers):
    """The items so ordered that each of `workers`, who take them in turn, gets a stretch of neighbours, in order: a
    video's frames are then decoded one after the other, not by each worker from the last keyframe on."""
    stretches = np.array_split(np.arange(len(items)), workers)  # the first ones are longer by one
    turns = zip_longest(*(stretch.tolist() for stretch in stretches))
    return [items[i] for turn in turns for i in turn if i is not None]
