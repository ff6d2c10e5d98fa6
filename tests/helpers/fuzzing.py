"""Mutated files for the readers: the same ones at every run, read in a process of its own that may crash or hang."""

import multiprocessing
import random
import re
import tempfile
import traceback
from pathlib import Path

NUMBERS = [
    b"0",
    b"-1",
    b"1",
    b"255",
    b"65536",
    b"2147483648",
    b"9223372036854775808",
    b"1e309",
    b"nan",
    b"-0.0",
    b"1e-400",
]
BYTES = [
    b"\x00",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b'"',
    b"'",
    b"\\",
    b"{",
    b"}",
    b",",
    b"\n",
    b"\r",
    b"\x1b",
    b"../",
]


def mutate(generator, seeds, tokens=()):
    """One mutated input (bytes), made of one or two of the seeds by one to six random changes."""
    data = bytearray(generator.choice(seeds))
    for _ in range(generator.randint(1, 6)):
        kind = generator.randrange(8)
        start = generator.randrange(len(data) + 1)
        end = min(len(data), start + generator.choice([1, 1, 2, 4, 8, 32, 200]))
        if kind == 0 and start < len(data):  # another bit
            data[start] ^= 1 << generator.randrange(8)
        elif kind == 1:  # a piece left out
            del data[start:end]
        elif kind == 2:  # a piece again
            data[start:start] = data[start:end] * generator.choice([1, 2, 50])
        elif kind == 3:  # something that readers trip over
            data[start:start] = generator.choice([*BYTES, *NUMBERS, *tokens])
        elif kind == 4:  # cut off
            del data[start:]
        elif kind == 5:  # the rest from another seed
            other = generator.choice(seeds)
            data[start:] = other[generator.randrange(len(other) + 1) :]
        elif kind == 6 and (found := list(re.finditer(rb"-?\d+(\.\d+)?", data))):  # another number
            number = generator.choice(found)
            data[number.start() : number.end()] = generator.choice(NUMBERS)
        elif kind == 7:  # random bytes
            data[start:end] = generator.randbytes(end - start)
    return bytes(data)


def run(read, seeds, expected, count=1000, suffix="", tokens=(), seed=0, seconds_each=20.0, memory_bytes=4 << 30):
    """Let `read(path)` read `count` mutated files; what it raises must be `expected` and must name the file.

    read: a function at the top of a module; expected: exception classes; memory_bytes: address space that reading may
    take beyond what the process has after its imports. Fails with the first input that crashes, hangs, or raises
    something else, and keeps it.
    """
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        receiver, sender = context.Pipe()
        settings = (read, seeds, expected, count, suffix, tokens, seed, memory_bytes)
        process = context.Process(target=_read_all, args=(sender, folder, *settings))
        process.start()
        sender.close()
        last = "nothing"
        try:
            while last != "done":
                if not receiver.poll(seconds_each + 60 * (last == "nothing")):
                    _fail(folder, last, f"no answer within {seconds_each} s")
                last, problem = receiver.recv()
                if problem:
                    _fail(folder, last, problem)
        except EOFError:
            process.join()
            _fail(folder, last, f"the process died with exit code {process.exitcode}")
        finally:
            process.kill()
            process.join()


def _fail(folder, last, problem):
    kept = Path(tempfile.gettempdir()) / f"fuzz-{last}"
    source = Path(folder) / last
    if source.exists():
        kept.write_bytes(source.read_bytes())
    raise AssertionError(f"{last} (kept as {kept}): {problem}")


def _read_all(sender, folder, read, seeds, expected, count, suffix, tokens, seed, memory_bytes):
    generator = random.Random(seed)
    _limit_memory(memory_bytes)
    for number in range(count):
        path = Path(folder) / f"input{number}{suffix}"
        path.write_bytes(mutate(generator, seeds, tokens))
        sender.send((path.name, None))
        if problem := _problem(read, path, expected):
            sender.send((path.name, problem))
            sender.recv()  # the file stays until the parent has copied it and ends this process
        path.unlink()
    sender.send(("done", None))


def _problem(read, path, expected):
    """What is wrong with how `read` takes a file, or None."""
    try:
        read(path)
    except expected as error:
        if path.name not in str(error):
            return f"the message does not name the file: {type(error).__name__}: {error}"
    except BaseException:
        return traceback.format_exc(limit=-6)
    return None


def _limit_memory(memory_bytes):
    try:
        import resource
    except ImportError:
        return
    pages = (
        int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0]) if Path("/proc/self/statm").exists() else 0
    )
    limit = pages * resource.getpagesize() + memory_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))
