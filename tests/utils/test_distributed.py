"""The context of a single process, which needs no launcher. tests/training/test_distributed_training.py has two."""

import pytest
import torch

from avalib.utils.distributed import SINGLE_PROCESS, DistributedContext, init_distributed, skip_gradient_sync


def test_without_a_launcher_there_is_one_process():
    device = torch.device("cpu")
    assert init_distributed(device) == (SINGLE_PROCESS, device)
    assert not torch.distributed.is_initialized()


def test_one_process_communicates_with_nobody():
    assert SINGLE_PROCESS.gather(3) == [3]
    assert SINGLE_PROCESS.broadcast("x") == "x"
    assert SINGLE_PROCESS.all_reduce_sum([1.5], torch.device("cpu")) == [1.5]


def test_one_process_trains_the_model_itself():
    model = torch.nn.Linear(2, 2)
    assert SINGLE_PROCESS.wrap_ddp(model) is model
    with skip_gradient_sync(model, skip=True):
        model(torch.ones(2)).sum().backward()
    assert model.weight.grad is not None


@pytest.mark.parametrize(("rank", "local_rank", "turn"), [(0, 0, 0), (8, 0, 1), (1, 1, 2), (9, 1, 2)])
def test_the_main_process_goes_first_then_one_of_each_machine(rank, local_rank, turn, monkeypatch):
    """With barriers that only count: the body runs after as many as there are turns before."""
    barriers = []
    monkeypatch.setattr(DistributedContext, "barrier", lambda self: barriers.append(1))
    with DistributedContext(rank=rank, size=16, local_rank=local_rank).main_process_first():
        assert len(barriers) == turn
    assert len(barriers) == 3
