"""Processes that train together: which one this is, and how they communicate.

`torchrun` (PyTorch's own launcher) starts them, on one machine or many; without it there is one process and everything
here does nothing. Gradients and small sums travel by nccl on GPUs and gloo on CPUs. Python objects, and waiting for
work that takes hours (building frame caches, scoring a split), use a gloo group with a timeout of a day.
"""

import inspect
import logging
import os
import time
import warnings
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import timedelta

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

GROUP_TIMEOUT = timedelta(days=1)
STORE_TIMEOUT = timedelta(minutes=5)
CONNECT_TIMEOUT = timedelta(seconds=3)


@dataclass(frozen=True)
class DistributedContext:
    """This process among `size` of them. All processes have to call a method that communicates."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0  # among the processes of this machine
    restarts: int = 0  # how often torchrun has restarted the workers, on the machine with the most restarts
    cpu_group: object = None  # the gloo group

    @property
    def is_main(self):
        """Whether this is the process that reports and writes."""
        return self.rank == 0

    @contextmanager
    def main_process_first(self):
        """Run the body in the main process, then in one process of each other machine, then in the rest.

        Later processes find what earlier ones downloaded, packed or rendered, on a shared disk or their machine's own.
        """
        if self.is_main:
            own_turn = 0
        else:
            own_turn = 1 if self.local_rank == 0 else 2
        for turn in range(3):
            if turn == own_turn:
                yield
            self.barrier()

    def barrier(self):
        """Wait until all processes are here."""
        if self.size > 1:
            distributed.barrier(group=self.cpu_group)

    def gather(self, value):
        """The values of all processes (anything that pickles), in order of rank, in every process."""
        if self.size == 1:
            return [value]
        values = [None] * self.size
        distributed.all_gather_object(values, value, group=self.cpu_group)
        return values

    def broadcast(self, value):
        """The main process's value, in every process."""
        if self.size == 1:
            return value
        values = [value]
        distributed.broadcast_object_list(values, src=0, group=self.cpu_group)
        return values[0]

    def all_reduce_sum(self, values, device):
        """Sums of a list of floats over all processes; fast enough for every step."""
        if self.size == 1:
            return list(values)
        device = device if device.type == "cuda" else "cpu"
        sums = torch.tensor(values, dtype=torch.float64, device=device)
        distributed.all_reduce(sums)
        return sums.tolist()

    def wrap_ddp(self, model):
        """The model whose backward averages gradients over all processes; the model itself for one process.

        It starts with the main process's weights. Every process normalizes by its own clips, as the recipe means it,
        and running statistics are not exchanged (`share_buffers` does that before they are used).
        """
        if self.size == 1:
            return model
        device_ids = [self.local_rank] if next(model.parameters()).is_cuda else None
        parameters = inspect.signature(DistributedDataParallel).parameters
        # newer versions of torch have another name for this parameter
        sync_buffers = "forward_sync_buffers" if "forward_sync_buffers" in parameters else "broadcast_buffers"
        # the strides of a 1x1x1 convolution's gradient differ in dimensions of size 1, which makes no difference
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
        options = {"device_ids": device_ids, "gradient_as_bucket_view": True, sync_buffers: False}
        return DistributedDataParallel(model, **options)

    def share_buffers(self, model):
        """Give every process the main process's running statistics, so that the scored model is the saved one."""
        if self.size > 1:
            for buffer in model.buffers():
                distributed.broadcast(buffer, src=0)


SINGLE_PROCESS = DistributedContext()


def skip_gradient_sync(model, skip):
    """A context in which backward adds up gradients in this process only: for all micro-batches but the last."""
    return model.no_sync() if skip and isinstance(model, DistributedDataParallel) else nullcontext()


def is_distributed_launch():
    """Whether torchrun started this process."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def init_distributed(device: torch.device) -> tuple[DistributedContext, torch.device]:
    """Connect to the other processes that torchrun started. Only the main process reports from now on.

    Parameters
    ----------
    device : torch.device
        Its type counts; each process gets a GPU of its own.

    Returns
    -------
    context : DistributedContext
        SINGLE_PROCESS without torchrun.
    device : torch.device
        This process's.

    Raises
    ------
    RuntimeError
        This machine has fewer GPUs than processes.
    """
    if not is_distributed_launch():
        return SINGLE_PROCESS, device
    local_rank = int(os.environ["LOCAL_RANK"])
    if device.type == "cuda":
        count = torch.cuda.device_count()
        if local_rank >= count:
            raise RuntimeError(
                f"process {local_rank} of this machine has no GPU of its own: use --nproc-per-node {count} at most"
            )
        device = torch.device("cuda", local_rank)
        torch.cuda.set_device(device)
    rank = int(os.environ["RANK"])
    size = int(os.environ["WORLD_SIZE"])
    backend = "nccl" if device.type == "cuda" else "gloo"
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
        distributed.init_process_group(backend, store=_open_own_store(rank, size), rank=rank, world_size=size)
    else:
        distributed.init_process_group(backend)
    cpu_group = distributed.new_group(backend="gloo", timeout=GROUP_TIMEOUT) if size > 1 else None
    context = DistributedContext(rank, size, local_rank, cpu_group=cpu_group)
    if not context.is_main:
        logging.getLogger("avalib").setLevel(logging.WARNING)
    # torchrun counts the deaths of a machine's own workers; where they restarted for another machine's, it says 0
    restarts = max(context.gather(int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0))))
    return replace(context, restarts=restarts), device


def _open_own_store(rank, size):
    """A store in which the processes of this start, and no earlier one, exchange their addresses.

    torchrun's own store lives on when it restarts the workers, with the addresses of the dead in it (pytorch issue
    135712). So it only serves to pass on the port of a new store. A port that a dead main process left there refuses
    the connection, and this process reads it again.
    """
    host = os.environ["MASTER_ADDR"]
    agent_store = distributed.TCPStore(host, int(os.environ["MASTER_PORT"]), is_master=False, timeout=STORE_TIMEOUT)
    if rank == 0:
        store = distributed.TCPStore(host, 0, size, is_master=True, timeout=STORE_TIMEOUT, wait_for_workers=False)
        agent_store.set("avalib/port", str(store.port))
        return store
    deadline_s = time.monotonic() + STORE_TIMEOUT.total_seconds()
    while True:
        port = int(agent_store.get("avalib/port"))
        try:
            return distributed.TCPStore(host, port, size, is_master=False, timeout=CONNECT_TIMEOUT)
        except (distributed.DistNetworkError, distributed.DistStoreError):
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.2)


def cleanup_distributed():
    """Leave the other processes; does nothing without torchrun."""
    if distributed.is_initialized():
        distributed.destroy_process_group()
