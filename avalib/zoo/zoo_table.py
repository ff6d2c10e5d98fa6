"""The published table of the zoo, as DataFrame and as markdown."""

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from avalib.zoo.entries import ENTRIES
from avalib.zoo.entry import DEFAULT_LICENCE

if TYPE_CHECKING:
    import pandas as pd


def build_zoo_table() -> "pd.DataFrame":
    """Build the table of the published README.

    Returns
    -------
    DataFrame
        A row per model: model, modality, pretrained, backbone, input (frames x interval), GPUs, resolution, mAP
        (percent, AVA v2.1 val).
    """
    import pandas as pd

    return pd.DataFrame(
        {
            "model": entry.alias,
            "modality": entry.modality,
            "pretrained": entry.pretrained,
            "backbone": entry.network + (" + context" if entry.context else ""),
            "input": f"{entry.clip_len}x{entry.frame_interval}",  # frames x interval
            "GPUs": entry.published_gpus,
            "resolution": entry.resolution,
            "mAP": entry.published_mAP,
        }
        for entry in ENTRIES
    )


def render_zoo_table() -> str:
    """Render the models with links to their checkpoints.

    Returns
    -------
    str
        Markdown. README.md holds it between `<!-- zoo table -->` marks.
    """
    table = build_zoo_table()[["model", "pretrained", "backbone", "input", "mAP"]]
    table["model"] = [f"`{entry.alias}`" for entry in ENTRIES]
    table["checkpoint"] = [f"[{_name_file(entry)}][{entry.alias}]" for entry in ENTRIES]
    links = [f"[{entry.alias}]: {entry.checkpoint_url}" for entry in ENTRIES]
    return "\n".join([_render_markdown(table), "", *_render_licences(), *links])


def render_published_files() -> str:
    """Render everything that was published about the models, with links to all files.

    Returns
    -------
    str
        Markdown. docs/results.md holds it between `<!-- files -->` marks.
    """
    table = build_zoo_table()
    table["model"] = [f"`{entry.alias}`" for entry in ENTRIES]
    table["files"] = [_render_files(entry) for entry in ENTRIES]
    return _render_markdown(table)


def _name_file(entry):
    """The alias with the ending of the published file: .pth, .pkl, .pyth."""
    return entry.alias + PurePosixPath(entry.checkpoint_url).suffix


def _render_files(entry):
    """Links to those of an entry's files that were published."""
    urls = {"checkpoint": entry.checkpoint_url, "log": entry.log_url, "json": entry.json_url}
    return " ".join(f"[{name}]({url})" for name, url in urls.items() if url)


def _render_licences():
    """A line for each licence of weights that is not the repository's own, and an empty one."""
    aliases_by_licence = {}
    for entry in ENTRIES:
        aliases_by_licence.setdefault(entry.licence, []).append(f"`{entry.alias}`")
    aliases_by_licence.pop(DEFAULT_LICENCE, None)
    lines = [f"Licence of {', '.join(aliases)}: {licence}." for licence, aliases in aliases_by_licence.items()]
    return [line for text in lines for line in (text, "")]


def _render_markdown(table):
    rows = [list(table.columns), ["---"] * len(table.columns), *table.astype(str).values.tolist()]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)
