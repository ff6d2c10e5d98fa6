"""The table of measurements, made of outputs/benchmarks/bench_*.json: printed, and written into docs/benchmarks.md.

python benchmarks/table.py
"""

import json
import re

from common import RESULTS, ROOT, format_row

from avalib.utils.files import write_text

MARKS = re.compile(r"(<!-- bench table -->\n).*?(\n<!-- /bench table -->)", re.S)
ORDER = ("models", "runtimes", "video", "detect", "eval", "data", "workbench", "writing", "start", "growth", "gpu")


def main():
    table, path = format_table(), ROOT / "docs" / "benchmarks.md"
    page = path.read_text(encoding="utf-8")
    write_text(path, MARKS.sub(lambda marks: marks[1] + table + marks[2], page))
    print(table)


def format_table():
    """The table of all records that are there, a line of where and when under it."""
    records = [
        json.loads(path.read_text(encoding="utf-8"))
        for name in ORDER
        if (path := RESULTS / f"bench_{name}.json").exists()
    ]
    lines = ["| what, beside what | ours | baseline, same run | ratio | aim |", "|---|---|---|---|---|"]
    lines += [f"| {' | '.join(format_row(row))} |" for record in records for row in record["rows"]]
    where = [f"- `{record['name']}`: {describe_record(record)}" for record in records]
    return "\n".join([*lines, "", *where]) if records else "Not measured yet: `make bench`, then `make bench-table`."


def describe_record(record):
    """Machine, torch, commit, repeats of a record, in words."""
    machine, git = record["machine"], record["git"] or {"commit": "none", "dirty": False}
    gpus = "".join(f", {gpu}" for gpu in machine.get("gpus", ()))
    changes = " with changes" if git["dirty"] else ""
    return (
        f"{machine['cores']} cores of {machine['processor']}{gpus}, torch {record['versions']['torch']}, commit "
        f"`{git['commit'][:7]}`{changes}, {record['date'][:10]}, medians of {record['repeats']}"
    )


if __name__ == "__main__":
    main()
