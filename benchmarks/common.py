"""What the benchmarks share: alternating runs of ours and the baseline, the machine, the records."""

import argparse
import multiprocessing
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from avalib.utils.experiment import describe_machine, get_git_state, get_versions, to_public_path
from avalib.utils.files import write_json
from avalib.utils.process import get_own_peak_memory_bytes

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "outputs" / "benchmarks"


def build_parser(name, description, repeats=5):
    """The options that all have: --repeats, --json."""
    arguments = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--repeats", type=int, default=repeats, help="of every measurement; the median counts")
    arguments.add_argument("--json", default=RESULTS / f"bench_{name}.json", help="where the figures go")
    return arguments


def time_alternately(work, repeats, warm=1, clock=time.perf_counter):
    """Median seconds of each of `work` {name: function}, run in turns, so that all see the same hours of the machine.

    Every other turn goes backwards. warm: turns before, not counted. clock: time.process_time for processor time.
    """
    for do in list(work.values()) * warm:
        do()
    seconds = {name: [] for name in work}
    for turn in range(repeats):
        for name in list(work)[:: -1 if turn % 2 else 1]:
            started = clock()
            work[name]()
            seconds[name].append(clock() - started)
    return {name: statistics.median(times) for name, times in seconds.items()}


def run_apart(begin, work, *options):
    """work(*given) in a process of its own, after begin(): what was measured before has not cut up its memory."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), begin) as pool:
        return pool.submit(work, *options).result()


def compare(what, ours, baseline, unit, aim=None, more=False, note=""):
    """A row of the table: `ours` and `baseline` in `unit`, how many times better ours is, the least that is aimed at.

    more: larger is better (a rate). Without a baseline, aim is what ours has to stay under (over, if `more`). note: a
    few words behind the row; with ours None, why it was not measured.
    """
    ratio = None
    if None not in (ours, baseline):
        ratio = ours / baseline if more else baseline / ours
    return {
        "what": what,
        "unit": unit,
        "ours": ours,
        "baseline": baseline,
        "ratio": ratio,
        "aim": aim,
        "more": more,
        "note": note,
    }


def record(name, rows, options, **details):
    """Print the rows and write them, with the machine and whatever else was found, as bench_NAME.json."""
    for row in rows:
        print(" ".join(format_row(row)))
    content = {
        "name": name,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "repeats": options.repeats,
        "rows": rows,
        **details,
        "machine": describe_platform(),
        "versions": get_versions(),
        "git": get_git_state(),
    }
    path = write_json(options.json, content, default=float)
    print(f"written: {to_public_path(path)}")


def describe_platform():
    """The processor, and how many threads torch takes where it was loaded."""
    torch = sys.modules.get("torch")
    return describe_machine() | ({"torch_threads": torch.get_num_threads()} if torch else {})


def format_row(row):
    """A row's cells as text: what, ours, baseline, ratio, aim."""
    if row["ours"] is None:
        return [row["what"], f"not measured: {row['note']}", "", "", format_aim(row)]
    ours, baseline = (format_number(row[side], row["unit"]) for side in ("ours", "baseline"))
    ratio = f"{row['ratio']:.2f}x" if row["ratio"] else ""
    note = f" ({row['note']})" if row["note"] else ""
    return [row["what"], ours + note, baseline, ratio, format_aim(row)]


def format_aim(row):
    """What was aimed at, and "missed" where it was."""
    aim, ours, ratio = row["aim"], row["ours"], row["ratio"]
    if aim is None:
        return ""
    if row["baseline"] is not None or ours is None:
        return f"{aim:g}x" + (", missed" if ratio is not None and ratio < aim else "")
    missed = ours < aim if row["more"] else ours > aim
    return f"{'over' if row['more'] else 'under'} {format_number(aim, row['unit'])}" + (", missed" if missed else "")


def format_number(value, unit):
    if value is None:
        return ""
    return f"{value:.0f} {unit}" if value >= 100 else f"{value + 0.0:.3g} {unit}"  # no "-0"


def get_peak_gb():
    """The most memory this process has held so far, in GB."""
    return get_own_peak_memory_bytes() / 2**30
