"""Batches: the same clips in the same micro-batches for any number of processes."""

import numpy as np
import pytest

from avalib.data.samplers import PerVideoBatchSampler, TrainBatchSampler, order_in_stretches


def test_training_batches_go_on_in_mid_epoch():
    order = TrainBatchSampler(10, 4, seed=0)
    whole = list(order)
    order.skip = 1
    assert list(order) == whole[1:] and len(order) == 2 and len(whole[-1]) == 2
    order.epoch, order.skip = 1, 0
    assert sorted(k for b in order for _, k in b) == list(range(10)) and list(order) != whole


@pytest.mark.parametrize("count", [1, 10, 13, 24])
def test_however_many_processes_a_step_has_the_same_clips_in_the_same_shares(count):
    def steps(processes, accumulate):
        made = [list(TrainBatchSampler(count, 3, 0, accumulate, r, processes)) for r in range(processes)]
        assert len({len(m) for m in made}) == 1, "every process does as many shares as the others"
        return [
            [share for m in made for share in m[s : s + accumulate]] for s in range(0, len(made[0]), accumulate)
        ]  # step -> its shares, in order

    alone = steps(1, 4)
    assert alone == steps(4, 1) == steps(2, 2)
    seen = [k for step in alone for share in step for _, k in share]
    assert set(seen) == set(range(count)) and len(seen) == -(-count // 4) * 4  # filled up from the beginning
    order = [k for _, k in next(iter(TrainBatchSampler(count, count, 0)))]
    assert sorted(k for share in alone[0] for _, k in share) == sorted(np.resize(order, len(seen))[:12])


def test_test_batches_stay_within_a_video():
    order = PerVideoBatchSampler(np.array(list("aaabbc")), 2)
    assert list(order) == [[0, 1], [2], [3, 4], [5]]


def test_workers_who_take_turns_get_stretches():
    order = order_in_stretches(list("abcdefg"), 3)
    assert [order[w::3] for w in range(3)] == [list("abc"), list("de"), list("fg")]
    assert order_in_stretches(list("abc"), 1) == list("abc") and order_in_stretches([], 2) == []
    assert sorted(order_in_stretches(list("ab"), 4)) == list("ab")
