"""The record of check_gpu.py: rows, checks and failures in one json, written after each; read again by each process."""

import json
import time
from datetime import UTC, datetime

from common import RESULTS, compare, format_row

from avalib.utils.experiment import get_git_state, get_versions
from avalib.utils.files import write_json


def get_default_path(small):
    """Where the record goes: a trial with small networks must not stand where bench-table looks."""
    return RESULTS / ("check_gpu_small.json" if small else "bench_gpu.json")


def require(what, ours, aim, unit="", note=""):
    """A row of the table that must stay under its aim, as something is wrong otherwise."""
    return compare(what, ours, None, unit, aim, note=note) | {"required": True}


class Report:
    """The record of one run: {"rows": [...], "checks": [{section, check, status, seconds, …}], …}.

    A check's status is "running", "passed", "failed" (an error, or a required row misses its aim), "died" (its process
    ended) or "no time".

    Parameters
    ----------
    path : Path
    small : bool, optional
        None: go on with the record that is there; else begin a new one.
    """

    def __init__(self, path, small=None):
        self.path = path
        if small is None:
            self.load()
            return
        self.content = {
            "name": "gpu",
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "small": small,
            "repeats": None,
            "rows": [],
            "checks": [],
            "machine": {},
            "versions": get_versions(),
            "git": get_git_state(),
        }
        self.save()

    def load(self):
        """Read the file again: another process has added to it."""
        self.content = json.loads(self.path.read_text(encoding="utf-8"))

    def save(self):
        """Write the file whole, so that it is complete whenever the process ends."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_json(self.path, self.content, default=float)

    def set_facts(self, **facts):
        """Add facts about the machine or the run, such as profiles."""
        self.content |= facts
        self.save()

    def start(self, section, check, limit_s):
        """Note that a check begins, which should end within so many seconds. Returns its entry."""
        entry = {"section": section, "check": check, "status": "running", "seconds": None}
        entry |= {"limit_s": round(limit_s, 1), "started": time.time()}
        self.content["checks"].append(entry)
        self.save()
        return entry

    def add_row(self, entry, row):
        """Print and write a row; a required one that misses its aim fails its check."""
        print("  " + " | ".join(cell for cell in format_row(row) if cell), flush=True)
        self.content["rows"].append(row | {"section": entry["section"], "check": entry["check"]})
        if row.get("required") and not (row["ours"] is not None and row["ours"] <= row["aim"]):
            entry["status"] = "failed"
            entry.setdefault("errors", []).append(f"{row['what']}: {row['ours']}, expected at most {row['aim']}")
        self.save()

    def finish(self, entry, seconds, status="passed", **details):
        """Note how a check ended; a row's failure stays."""
        if entry["status"] == "running":
            entry["status"] = status
        errors = [*entry.get("errors", []), *details.pop("errors", [])]
        entry |= {"seconds": round(seconds, 1), **details} | ({"errors": errors} if errors else {})
        self.save()

    def is_overdue(self, grace_s):
        """Whether a check runs for longer than its limit and a grace."""
        running = (entry for entry in self.content["checks"] if entry["status"] == "running")
        return any(time.time() - entry["started"] > entry["limit_s"] + grace_s for entry in running)

    def close_dead_checks(self):
        """Note the checks that an earlier process did not finish. Returns the (section, name) of all so far."""
        for entry in self.content["checks"]:
            if entry["status"] == "running":
                entry["status"] = "died"
        self.save()
        return {(entry["section"], entry["check"]) for entry in self.content["checks"]}

    def list_failures(self):
        """The checks that failed or died."""
        return [entry for entry in self.content["checks"] if entry["status"] in ("failed", "died", "running")]

    def summarize(self):
        """What passed and what did not, as lines."""
        checks = self.content["checks"]
        counts = {}
        for entry in checks:
            counts[entry["status"]] = counts.get(entry["status"], 0) + 1
        lines = [f"{len(checks)} checks: " + ", ".join(f"{count} {status}" for status, count in counts.items())]
        for entry in self.list_failures():
            reasons = "; ".join(entry.get("errors", [])) or "its process ended"
            lines.append(f"  {entry['section']}, {entry['check']}: {entry['status']}: {reasons[:300]}")
        missed = [row for row in self.content["rows"] if format_row(row)[-1].endswith("missed")]
        lines += [f"  missed: {' | '.join(cell for cell in format_row(row) if cell)}" for row in missed]
        return "\n".join(lines)
