"""The forms of the layers that a kind of device can have: none changes the numbers."""

from dataclasses import replace

import pytest
import tiny_model
import torch

from avalib.models.cpu.accelerate import use_fast_forms
from avalib.models.detector import Detector
from avalib.models.kernel_forms import KERNEL_FORMS, get_kernel_forms


@pytest.fixture(scope="module")
def model():
    """In training mode, as RoIAlign's form matters with gradients only."""
    torch.manual_seed(0)
    model = use_fast_forms(Detector(tiny_model.ENTRY, dropout=0.0, zero_init_residual=False)).train()
    for norm in (module for module in model.modules() if isinstance(module, torch.nn.BatchNorm3d)):
        norm.momentum = 0.0
    return model


def compute_logits_and_gradients(model):
    """(logits, gradients of the first layer) for two clips of noise."""
    generator = torch.Generator().manual_seed(0)
    clips = torch.randn(2, 3, model.entry.clip_len, 32, 48, generator=generator)
    rois = torch.tensor([[0, 2, 3, 40, 30], [1, 10, 0, 30, 32.0]])
    logits = model(clips, rois)
    (gradient,) = torch.autograd.grad(logits[:, 1:].square().sum(), model.backbone.conv1.conv.weight)
    return logits.detach(), gradient


@pytest.mark.parametrize("field", ["frames_in_2d", "time_in_2d", "roi_align_by_matmul"])
def test_another_form_gives_the_same_numbers(field, model, monkeypatch):
    expected = compute_logits_and_gradients(model)
    forms = KERNEL_FORMS["cpu"]
    monkeypatch.setitem(KERNEL_FORMS, "cpu", replace(forms, **{field: not getattr(forms, field)}))
    for value, expected_value in zip(compute_logits_and_gradients(model), expected, strict=True):
        torch.testing.assert_close(value, expected_value, rtol=1e-3, atol=1e-4)


def test_other_accelerators_compute_as_cuda_does():
    assert get_kernel_forms(torch.device("mps")) == KERNEL_FORMS["cuda"]
