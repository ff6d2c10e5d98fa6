"""Processes that train together: the rank of this one, and how they communicate.

`torchrun` (PyTorch's launcher) starts them, on one machine or many. Without it there is one process, and everything
here does nothing. Gradients and small sums use nccl on GPUs and gloo on CPUs. Python objects and barriers use a gloo
group with a timeout of a day, as work such as building frame caches or scoring a split takes hours.
"""

import inspect
import logging
import os
import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import timedelta

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

GROUP_TIMEOUT = timedelta(days=1)
STORE_TIMEOUT = timedelta(minutes=5)
CONNECT_TIMEOUT = timedelta(seconds=3)


@dataclass(frozen=True)
class DistributedContext:
    """This process among `size` processes. Every process has to call the methods that communicate."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0  # among the processes of this machine
    restarts: int = 0  # how often torchrun has restarted the workers, on the machine with the most restarts
    cpu_group: object = None  # the gloo group

    @property
    def is_main(self) -> bool:
        """Whether this is the process that reports and writes."""
        return self.rank == 0

    @contextmanager
    def main_process_first(self) -> Iterator[None]:
        """Run the body in the main process, then in one process of each other machine, then in the rest.

        Later processes find the files that earlier ones downloaded or rendered, on a shared disk or on their machine.
        """
        # turn 0, 1 or 2, with a barrier after each
        if self.is_main:
            own_turn = 0
        else:
            own_turn = 1 if self.local_rank == 0 else 2
        for turn in range(3):
            if turn == own_turn:
                yield
            self.barrier()

    def barrier(self) -> None:
        """Wait until all processes have called this."""
        if self.size > 1:
            distributed.barrier(group=self.cpu_group)

    def gather(self, value: object) -> list:
        """Gather the (picklable) values of all processes, in order of rank, in every process."""
        if self.size == 1:
            return [value]
        values = [None] * self.size
        distributed.all_gather_object(values, value, group=self.cpu_group)
        return values

    def broadcast(self, value: object) -> object:
        """Send the main process's (picklable) value to every process. Returns it."""
        if self.size == 1:
            return value
        values = [value]
        distributed.broadcast_object_list(values, src=0, group=self.cpu_group)
        return values[0]

    def all_reduce_sum(self, values: Iterable[float], device: torch.device) -> list[float]:
        """Sum each of some floats over all processes; fast enough for every step."""
        if self.size == 1:
            return list(values)
        device = device if device.type == "cuda" else "cpu"
        sums = torch.tensor(values, dtype=torch.float64, device=device)
        distributed.all_reduce(sums)
        return sums.tolist()

    def wrap_ddp(self, model: nn.Module) -> nn.Module:
        """Wrap a model so that its backward averages gradients over all processes; one process returns it as it is.

        All processes start with the main process's weights. Each normalizes by the statistics of its own clips, as in
        the published recipe. Their running statistics differ until `broadcast_buffers`.
        """
        if self.size == 1:
            return model
        device_ids = [self.local_rank] if next(model.parameters()).is_cuda else None
        parameters = inspect.signature(DistributedDataParallel).parameters
        # the parameter has another name in newer versions of torch
        sync_buffers = "forward_sync_buffers" if "forward_sync_buffers" in parameters else "broadcast_buffers"
        # the strides of a 1x1x1 convolution's gradient differ in dimensions of size 1, which does not matter
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
        options = {"device_ids": device_ids, "gradient_as_bucket_view": True, sync_buffers: False}
        return DistributedDataParallel(model, **options)

    def broadcast_buffers(self, model: nn.Module) -> None:
        """Send the main process's running statistics to every process, so that all score the model that is saved."""
        if self.size > 1:
            for buffer in model.buffers():
                distributed.broadcast(buffer, src=0)


SINGLE_PROCESS = DistributedContext()


def skip_gradient_sync(model: nn.Module, skip: bool) -> AbstractContextManager:
    """A context in which backward adds gradients in this process only: for all micro-batches but the last."""
    return model.no_sync() if skip and isinstance(model, DistributedDataParallel) else nullcontext()


def is_distributed_launch() -> bool:
    """Whether torchrun started this process."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def init_distributed(device: torch.device) -> tuple[DistributedContext, torch.device]:
    """Connect to the other processes that torchrun started. From now on, the others log only warnings.

    Parameters
    ----------
    device : torch.device
        Only its type matters: each process takes a GPU of its own.

    Returns
    -------
    context : DistributedContext
        SINGLE_PROCESS without torchrun.
    device : torch.device
        The device of this process.

    Raises
    ------
    RuntimeError
        This machine has fewer GPUs than processes.
    """
    if not is_distributed_launch():
        return SINGLE_PROCESS, device
    # one GPU per process
    local_rank = int(os.environ["LOCAL_RANK"])
    if device.type == "cuda":
        count = torch.cuda.device_count()
        if local_rank >= count:
            raise RuntimeError(
                f"process {local_rank} of this machine has no GPU of its own: use --nproc-per-node {count} at most"
            )
        device = torch.device("cuda", local_rank)
        torch.cuda.set_device(device)
    # a group for tensors on the device, and one on the CPU for Python objects
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
    # torchrun counts the restarts for a machine's own workers; after one for another machine's workers it says 0
    restarts = max(context.gather(int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0))))
    return replace(context, restarts=restarts), device


def _open_own_store(rank, size):
    """Open a store in which the processes of this start exchange their addresses.

    torchrun keeps its own store when it restarts the workers, with the addresses of the dead ones (pytorch issue
    135712). So that store only passes on the port of a new one. If the port is that of a dead main process, the
    connection fails, and this process reads the port again.
    """
    host = os.environ["MASTER_ADDR"]
    agent_store = distributed.TCPStore(host, int(os.environ["MASTER_PORT"]), is_master=False, timeout=STORE_TIMEOUT)
    # the main process opens the new store, on a free port
    if rank == 0:
        store = distributed.TCPStore(host, 0, size, is_master=True, timeout=STORE_TIMEOUT, wait_for_workers=False)
        agent_store.set("avalib/port", str(store.port))
        return store
    # read the port until the main process has set its new one
    deadline_s = time.monotonic() + STORE_TIMEOUT.total_seconds()
    while True:
        port = int(agent_store.get("avalib/port"))
        try:
            return distributed.TCPStore(host, port, size, is_master=False, timeout=CONNECT_TIMEOUT)
        except (distributed.DistNetworkError, distributed.DistStoreError):
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.2)


def close_distributed() -> None:
    """Close the connections to the other processes. Does nothing without torchrun."""
    if distributed.is_initialized():
        distributed.destroy_process_group()
