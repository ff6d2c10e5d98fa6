"""What became of the notebooks of the runs."""

from dataclasses import dataclass


@dataclass(frozen=True)
class NotebookResult:
    """What became of one notebook of a run.

    Attributes
    ----------
    run : str
        Name of the ZooRun.
    status : str
        "done", "done before", "failed", "stopped" (interrupted) or "not run" (an earlier notebook failed).
    reason : str
        Why it was run, or not run.
    minutes : float or None
        Wall time, None if it was not run.
    file : str
        The executed notebook; of a failed one *.failed.ipynb.
    """

    run: str
    notebook: str
    status: str
    reason: str = ""
    minutes: float | None = None
    error: str = ""
    file: str = ""

    @property
    def is_done(self) -> bool:
        """Whether its outputs are up to date."""
        return self.status in ("done", "done before")


def raise_on_failure(summary: list[NotebookResult]) -> None:
    """Raise RuntimeError that lists the notebooks that failed, were stopped or were not run, if there are any."""
    failed = [result for result in summary if not result.is_done]
    if failed:
        lines = [f"  {r.run}, {r.notebook}: {r.status} {r.error or r.reason} {r.file}" for r in failed]
        raise RuntimeError(f"{len(failed)} of {len(summary)} notebooks are not done:\n" + "\n".join(lines))
