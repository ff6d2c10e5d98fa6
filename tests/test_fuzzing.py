"""fuzzing: the harness notices a crash, a hang, a bare exception and a message that does not name the file."""

import os
import time

import fuzzing
import pytest


def read_quietly(path):
    raise ValueError(f"{path}: not this")


def read_without_a_name(path):
    raise ValueError("not this")


def read_barely(path):
    return {}[path.read_bytes()]


def read_and_crash(path):
    os._exit(11)


def read_and_hang(path):
    time.sleep(60)


def test_a_descriptive_error_passes():
    fuzzing.run(read_quietly, [b"a,1\n"], (ValueError,), count=20)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("read", "problem"),
    [
        (read_without_a_name, "does not name the file"),
        (read_barely, "KeyError"),
        (read_and_crash, "exit code 11"),
        (read_and_hang, "no answer"),
    ],
)
def test_a_fault_is_noticed(read, problem):
    with pytest.raises(AssertionError, match=problem):
        fuzzing.run(read, [b"a,1\n"], (ValueError,), count=5, seconds_each=2)


def test_the_inputs_are_the_same_at_every_run():
    import random

    first = [fuzzing.mutate(random.Random(n), [b"abc,1\n", b"12345"]) for n in range(50)]
    assert first == [fuzzing.mutate(random.Random(n), [b"abc,1\n", b"12345"]) for n in range(50)]
    assert len(set(first)) > 40
