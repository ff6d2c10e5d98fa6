"""A wrong device or precision is answered with those that exist."""

import pytest
import torch

from avalib.utils.device import choose_device, choose_precision


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("gpu", "device='gpu': expected 'auto', 'cpu', 'cuda'.*Did you mean 'cuda'"),
        ("GPU:0", "Did you mean 'cuda'"),
        ("cpus", "Did you mean 'cpu'"),
        ("cuda:x", "expected 'auto'"),
        ("meta", "expected 'auto'"),
        ("", "expected 'auto'"),
        (None, "expected 'auto'"),
        ("cuda:99", "no CUDA|numbered 0 to"),
    ],
)
def test_a_wrong_device_is_answered_with_those_that_exist(device, message):
    with pytest.raises(ValueError, match=message):
        choose_device(device)


@pytest.mark.parametrize(
    ("precision", "suggestion"), [("fp32", "float32"), ("bf16", "bfloat16"), ("flaot16", "float16")]
)
def test_a_wrong_precision_is_answered_with_a_suggestion(precision, suggestion):
    with pytest.raises(ValueError, match=f"expected 'auto', 'float32'.*Did you mean '{suggestion}'"):
        choose_precision(precision, torch.device("cpu"))
