"""A copy of the test's process, for what has to die or to meet a limit with everything loaded already."""

import gc
import os


def fork():
    """os.fork, but the copy leaves the garbage alone: a decoder in it would wait for threads that the copy lacks."""
    child = os.fork()
    if child == 0:
        gc.disable()
    return child
