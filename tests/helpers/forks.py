"""A copy of the test's process, for what has to die or to meet a limit with everything loaded already."""

import gc
import os

import torch

# The first backward pass of a process decides whether a copy of it can compute gradients. It can, unless an export
# came before: on a machine without a GPU that pretends to have one, for which autograd starts a thread.
torch.ones((), requires_grad=True).backward()


def fork():
    """os.fork, but the copy leaves the garbage alone: a decoder in it would wait for threads that the copy lacks."""
    child = os.fork()
    if child == 0:
        gc.disable()
    return child
