"""The benchmarks' baseline is the network it is compared with; their figures come from what they say."""

import sys
from pathlib import Path

import goldens
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import plain


@pytest.mark.parametrize("name", ["slowonly_r50", "slowfast_context_r50"])
def test_the_plain_definition_is_the_same_network(name):
    model = plain.Detector(goldens.entry_of(name)).eval()
    assert set(model.state_dict()) == set(goldens.keys(name))
    model.load_state_dict(goldens.state_dict(name))
    with torch.inference_mode():
        found = model(goldens.clips(name), goldens.rois()).numpy()
    assert abs(found - goldens.ARRAYS[f"{name}/logits64"]).max() < 1e-4
