"""Weights that were trained on the rendered mini-AVA and can be downloaded, for a lesson without a training.

tools/make_mini_weights.py makes such a file and writes its line in mini_weights.json. A model without a line has none.
"""

import json
from dataclasses import dataclass
from pathlib import Path

PATH = Path(__file__).with_name("mini_weights.json")


@dataclass(frozen=True)
class MiniWeights:
    """A weight file of one model.

    Parameters
    ----------
    url : str
        Where it is published.
    sha256 : str
    n_bytes : int
    mAP : float
        mAP@0.5 on the mini-AVA's val split, 0..1.
    """

    url: str
    sha256: str
    n_bytes: int
    mAP: float


def load_mini_weights() -> dict[str, MiniWeights]:
    """Load the table of the models that have such a file.

    Returns
    -------
    dict
        {alias: MiniWeights}.
    """
    return {alias: MiniWeights(**fields) for alias, fields in json.loads(PATH.read_text(encoding="utf-8")).items()}


def get_mini_weights(alias: str) -> MiniWeights:
    """Get the weights of a model.

    Parameters
    ----------
    alias : str

    Returns
    -------
    MiniWeights

    Raises
    ------
    ValueError
        None are published; the message says what else can be done.
    """
    weights = load_mini_weights()
    if alias not in weights:
        raise ValueError(
            f"checkpoint 'mini': no weights of {alias} trained on the mini-AVA are published; there are: "
            f"{', '.join(weights) or 'none'}. Train them with notebook 03 (about ten minutes on two cores) and take "
            "checkpoint 'best', or give the path or URL of a file that tools/make_mini_weights.py has made."
        )
    return weights[alias]
