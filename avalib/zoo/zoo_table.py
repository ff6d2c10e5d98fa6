"""The published table of the zoo, as DataFrame and as markdown."""

from typing import TYPE_CHECKING

from avalib.utils.markdown import render_table
from avalib.zoo.entries import ENTRIES, get
from avalib.zoo.entry import DEFAULT_LICENCE, ZooEntry
from avalib.zoo.families import README_MODELS

if TYPE_CHECKING:
    import pandas as pd

DATASET_TITLES = {"ava2.1": "AVA v2.1", "ava2.2": "AVA v2.2", "ava_kinetics": "AVA-Kinetics"}


def build_zoo_table() -> "pd.DataFrame":
    """Build the table of all published models.

    Returns
    -------
    DataFrame
        A row per model: model, modality, pretrained, backbone, input (frames x interval), GPUs, resolution, trained on,
        evaluated on (the val split of mAP), protocol (the evaluator of mAP), mAP (percent). Only mAPs of one val split
        can be compared.
    """
    import pandas as pd

    return pd.DataFrame(
        {
            "model": entry.alias,
            "modality": entry.modality,
            "pretrained": entry.pretrained,
            "backbone": describe_backbone(entry),
            "input": f"{entry.clip_len}x{entry.frame_interval}",  # frames x interval
            "GPUs": entry.published_gpus,
            "resolution": entry.resolution,
            "trained on": DATASET_TITLES[entry.dataset],
            "evaluated on": f"{DATASET_TITLES[entry.test_dataset]} val",
            "protocol": entry.protocol,
            "mAP": entry.published_mAP,
        }
        for entry in ENTRIES
    )


def describe_backbone(entry: ZooEntry) -> str:
    """Describe a network with what it adds to the plain backbone: "SlowOnly R50 + context + max over time"."""
    additions = {
        "non-local": entry.non_local is not None,
        "context": entry.context,
        "max over time": entry.temporal_pool == "max",
        "two-layer head": entry.head_width is not None,
        "ACRN": entry.relation,
    }
    return " + ".join([entry.network, *(addition for addition, is_present in additions.items() if is_present)])


def render_zoo_table() -> str:
    """Render the README's table of models, each with a link to its files in docs/models.md.

    Returns
    -------
    str
        Markdown. README.md holds it between `<!-- zoo table -->` marks.
    """
    table = build_zoo_table().set_index("model", drop=False).loc[list(README_MODELS)]
    table = table[["model", "backbone", "input", "trained on", "evaluated on", "mAP"]]
    table["model"] = [f"[`{model}`](docs/models.md#{model})" for model in README_MODELS]
    return "\n".join([render_table(table), *_describe_other_licences(README_MODELS)])


def render_published_files() -> str:
    """Render what all models were trained with, the licences of their weights and links to their files.

    Returns
    -------
    str
        Markdown: a table, then the licences in full. docs/models.md holds it between `<!-- files -->` marks.
    """
    # a row for each model
    table = build_zoo_table()[["model", "pretrained", "GPUs"]]
    # an anchor for the links of the README's table
    table["model"] = [f'<a id="{entry.alias}"></a>`{entry.alias}`' for entry in ENTRIES]
    # each licence once below the table, by its number
    licences = list(dict.fromkeys(entry.licence for entry in ENTRIES))
    table["licence"] = [f"{_get_short_licence(entry)} ({licences.index(entry.licence) + 1})" for entry in ENTRIES]
    table["person boxes"] = [f"{entry.person_boxes}, score from {entry.person_score:g}" for entry in ENTRIES]
    table["files"] = [_render_files(entry) for entry in ENTRIES]
    notes = [f"{number}. {licence}" for number, licence in enumerate(licences, 1)]
    return "\n".join([render_table(table), "", "Licences:", "", *notes])


def _get_short_licence(entry):
    """A licence without its remarks in brackets."""
    return entry.licence.partition(" (")[0]


def _describe_other_licences(models):
    """For each licence of weights that is not plainly MMAction2's an empty line, and a line with its models."""
    models_by_licence = {}
    for model in models:
        models_by_licence.setdefault(get(model).licence, []).append(f"`{model}`")
    lines = []
    for licence, names in models_by_licence.items():
        if licence != DEFAULT_LICENCE:
            lines += ["", f"Licence of {', '.join(names)}: {licence}."]
    return lines


def _render_files(entry):
    """Links to those of an entry's files that were published."""
    urls = {"checkpoint": entry.checkpoint_url, "log": entry.log_url, "json": entry.json_url}
    return " ".join(f"[{name}]({url})" for name, url in urls.items() if url)
