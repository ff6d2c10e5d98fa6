"""The report of `avalib.check`, `avalib.lint_csv` and the check of an import, and the findings in it."""

import html
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from avalib.utils.files import write_json
from avalib.utils.plurals import format_count

OK, NOTE, WRONG = "ok", "note", "wrong"  # NOTE: worth knowing. WRONG: needs to be fixed
SHOWN_LINES = 8  # of a problem's line numbers, in text


@dataclass(frozen=True)
class Finding:
    """What one check has given. The fields from `lines` on are of problems that rows of a table have."""

    check: str  # what was checked, or the problem of the rows
    split: str = ""
    value: object = ""  # what the data set has
    expected: object = ""
    status: str = OK
    lines: list[int] | tuple = ()  # of the rows: lines of a csv, row numbers of a DataFrame
    location: str = ""  # the first places in the file, where lines of a csv don't say it
    example: str = ""  # the first of the rows
    looks_like: str = ""  # what it may mean, what evaluators do with it
    stops_import: bool = False  # `import_data` rejects such rows: they can be neither trained nor tested on


def build_row_finding(problem: str, lines: list[int], example: str, looks_like: str, status=NOTE, **options) -> Finding:
    """The finding of a problem that rows have; the other parameters are the fields of Finding."""
    value = f"{format_count(len(lines), 'row')}, first at line {lines[0]} ({example})"
    return Finding(problem, "", value, "none", status, lines=lines, example=example, looks_like=looks_like, **options)


@dataclass(frozen=True)
class CheckReport:
    """What a check of a data set or of a csv reports."""

    findings: list[Finding]
    verdict: str  # one sentence
    videos: pd.DataFrame | None = None  # of a data set: one row per video, see `survey_videos`

    @classmethod
    def of_rows(cls, source: str, findings: list[Finding]) -> "CheckReport":
        """The report on the rows of one source."""
        noun = "finding" if len(findings) == 1 else "findings"
        return cls(findings, f"{source}: {len(findings) or 'no'} {noun}")

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return all(finding.status != WRONG for finding in self.findings)

    @property
    def table(self) -> pd.DataFrame:
        """One row per check: check, split, value, expected, status ("ok", "note", "wrong")."""
        columns = ["check", "split", "value", "expected", "status"]
        return pd.DataFrame([[getattr(f, name) for name in columns] for f in self.findings], columns=columns)

    @property
    def problems(self) -> pd.DataFrame:
        """The problems of rows: problem, split, rows (how many), lines, location, example, looks_like, status."""
        rows = [
            (f.check, f.split, len(f.lines), list(f.lines), f.location, f.example, f.looks_like, f.status)
            for f in self.findings
            if f.lines
        ]
        columns = ["problem", "split", "rows", "lines", "location", "example", "looks_like", "status"]
        return pd.DataFrame(rows, columns=columns)

    def save(self, path: str | Path) -> Path:
        """Write all of it as json. Returns the path."""
        tables = {"table": self.table, "problems": self.problems}
        if self.videos is not None:
            tables["videos"] = self.videos
        records = {name: table.to_dict("records") for name, table in tables.items()}
        return write_json(path, {"verdict": self.verdict, "ok": self.ok, **records}, default=str)

    def _get_main_table(self):
        """The table to show: of a data set its checks, of a csv the problems, in the columns that say something."""
        if self.videos is not None:
            return self.table
        # imports say where in which file, other tables have line numbers
        problems = self.problems
        place = "location" if (problems.location != "").any() else "lines"
        return problems[["status", "problem", "rows", place, "example", "looks_like"]]

    def __repr__(self):
        if self.videos is None:
            return "\n\n".join([*map(_format_problem, self.problems.itertuples()), self.verdict])
        return f"{self.table.to_string(index=False, max_colwidth=70)}\n\n{self.verdict}"

    def _repr_html_(self):
        table = self._get_main_table()
        is_ok = table.status == OK
        # the verdict, what is worth reading, and the rest folded
        parts = [f"<p><b>{html.escape(self.verdict)}</b></p>"]
        if not is_ok.all():
            parts.append(table[~is_ok].to_html(index=False))
        if is_ok.any():
            summary = f"<summary>{format_count(int(is_ok.sum()), 'check')} without a finding</summary>"
            parts.append(f"<details>{summary}{table[is_ok].to_html(index=False)}</details>")
        return "".join(parts)


def _format_problem(problem):
    """A row of CheckReport.problems as lines of text."""
    shown = ", ".join(map(str, problem.lines[:SHOWN_LINES]))
    lines = shown + (", …" if problem.rows > SHOWN_LINES else "")
    return (
        f"{problem.status}: {problem.problem}\n"
        f"  rows: {problem.rows}, {problem.location or f'line {lines}'}\n"
        f"  example: {problem.example}\n"
        f"  looks like: {problem.looks_like}"
    )
