"""What a state dict says of its network."""

import golden_outputs
import pytest
import torch

from avalib.models.architecture import describe_checkpoint


@pytest.mark.parametrize("name", golden_outputs.MODELS)
def test_describe(name):
    shapes = {key: torch.empty(shape, device="meta") for key, (shape, _) in golden_outputs.read_keys(name).items()}
    description = describe_checkpoint(shapes)
    entry = golden_outputs.get_entry(name)
    assert description.startswith(f"{entry.backbone} R{entry.depth} detector")
    assert ("context" in description) == entry.context
    assert entry.fusion_kernel is None or f"laterals {entry.fusion_kernel}x1x1" in description
