"""The processes of one training: who this one is, and what they tell one another.

`torchrun` (PyTorch's own launcher) starts them, on one machine or many; without it a process is alone and everything
here is a no-op. Gradients and small sums travel by nccl on GPUs and gloo on CPUs; Python objects, and waiting for
work that takes hours (packing frames, scoring a split), by a gloo group that waits a day.
"""

import inspect
import os
import time
import warnings
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import timedelta

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

TIMEOUT = timedelta(days=1)


@dataclass(frozen=True)
class DistributedContext:
    """This process among `size` of them. Every method that talks has to be called by all."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0  # among those of this machine
    restarts: int = 0  # how often torchrun has started the workers again, on the machine where it did so most
    cpu_group: object = None  # the gloo group

    @property
    def main(self):
        """Whether this is the process that prints and writes."""
        return self.rank == 0

    @contextmanager
    def main_process_first(self):
        """The body runs in the main process, then in one of each other machine, then in the rest: who comes later
        finds downloaded, packed or rendered what an earlier one made, on a shared disk or on its own."""
        turn = 0 if self.main else 1 if self.local_rank == 0 else 2
        for now in range(3):
            if now == turn:
                yield
            self.barrier()

    def barrier(self):
        """Until all are here."""
        if self.size > 1:
            distributed.barrier(group=self.cpu_group)

    def gather(self, value):
        """Every process's value (anything that pickles), in order of rank, for every process."""
        if self.size == 1:
            return [value]
        values = [None] * self.size
        distributed.all_gather_object(values, value, group=self.cpu_group)
        return values

    def broadcast(self, value):
        """The main process's value."""
        if self.size == 1:
            return value
        box = [value]
        distributed.broadcast_object_list(box, src=0, group=self.cpu_group)
        return box[0]

    def all_reduce_sum(self, values, device):
        """Sums over all processes of a list of floats; fast, for every step."""
        if self.size == 1:
            return list(values)
        device = device if device.type == "cuda" else "cpu"
        sums = torch.tensor(values, dtype=torch.float64, device=device)
        distributed.all_reduce(sums)
        return sums.tolist()

    def wrap_ddp(self, model):
        """The model whose backward averages gradients over all processes.

        Weights start as the main process's. Batch norm is the recipe's: every process normalises by its own clips, and
        running statistics are not exchanged (`share_buffers` does it where they are used).
        """
        if self.size == 1:
            return model
        devices = [self.local_rank] if next(model.parameters()).is_cuda else None
        known = inspect.signature(DistributedDataParallel).parameters  # newer torch has another name for it
        unshared = {"forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers": False}
        # the strides of a 1x1x1 convolution's gradient differ in dimensions of size 1, which is no difference
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
        return DistributedDataParallel(model, device_ids=devices, gradient_as_bucket_view=True, **unshared)

    def share_buffers(self, model):
        """The main process's running statistics, everywhere: what is scored is then what is saved."""
        if self.size > 1:
            for buffer in model.buffers():
                distributed.broadcast(buffer, src=0)


SINGLE_PROCESS = DistributedContext()


def skip_gradient_sync(replica, skip):
    """The context in which backward keeps gradients to this process: for all shares of a step but the last."""
    return replica.no_sync() if skip and isinstance(replica, DistributedDataParallel) else nullcontext()


def is_distributed_launch():
    """Whether torchrun started this process."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def init_distributed(device):
    """Meet the others that torchrun started. -> (World, this process's device); alone without torchrun.

    Raises RuntimeError if this machine has fewer GPUs than processes.
    """
    if not is_distributed_launch():
        return SINGLE_PROCESS, device
    local = int(os.environ["LOCAL_RANK"])
    if device.type == "cuda":
        if local >= torch.cuda.device_count():
            count = torch.cuda.device_count()
            raise RuntimeError(
                f"process {local} of this machine has no GPU of its own: --nproc-per-node at most {count}"
            )
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    backend = "nccl" if device.type == "cuda" else "gloo"
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
        distributed.init_process_group(backend, store=_own_store(rank, size), rank=rank, world_size=size)
    else:
        distributed.init_process_group(backend)
    cpu_group = distributed.new_group(backend="gloo", timeout=TIMEOUT) if size > 1 else None
    context = DistributedContext(rank, size, local, cpu_group=cpu_group)
    # a machine counts its own workers' deaths; where they had to start again for another machine's, it says 0
    restarts = max(context.gather(int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0))))
    return replace(context, restarts=restarts), device


def _own_store(rank, size):
    """Where the processes of this start, and no earlier one, leave each other their addresses.

    torchrun's own store lives on when it starts the workers again, with the addresses of the dead in it (pytorch
    issue 135712), so it only serves to tell the port of a new one. A port that was left there by a dead main process
    refuses, and is asked for again.
    """
    host, patience = os.environ["MASTER_ADDR"], timedelta(minutes=5)
    agents = distributed.TCPStore(host, int(os.environ["MASTER_PORT"]), is_master=False, timeout=patience)
    if rank == 0:
        store = distributed.TCPStore(host, 0, size, is_master=True, timeout=patience, wait_for_workers=False)
        agents.set("avalib/port", str(store.port))
        return store
    until = time.monotonic() + patience.total_seconds()
    while True:
        port = int(agents.get("avalib/port"))
        try:
            return distributed.TCPStore(host, port, size, is_master=False, timeout=timedelta(seconds=3))
        except (distributed.DistNetworkError, distributed.DistStoreError):
            if time.monotonic() > until:
                raise
            time.sleep(0.2)


def cleanup_distributed():
    """Part from the others; nothing where there are none."""
    if distributed.is_initialized():
        distributed.destroy_process_group()
