"""Options of a model change how it computes, but not what."""

from dataclasses import replace

import pytest
from test_step import run_steps
from tiny_model import make_config

from avalib.models.cpu.frame_layers import PointwiseConv3d, WinogradConv3d
from avalib.training import model_options


def list_accelerated_kernels(state):
    modules = state.model.modules()
    return {m.kernel_size for m in modules if isinstance(m, WinogradConv3d | PointwiseConv3d)}


def test_in_float32_on_a_cpu_wide_convolutions_are_accelerated():
    _, state = run_steps(make_config(), count=0)
    assert list_accelerated_kernels(state) == {(3, 1, 1), (1, 3, 3), (1, 1, 1)}


@pytest.mark.slow
def test_a_compiler_chooses_its_own_convolutions():
    assert not list_accelerated_kernels(run_steps(replace(make_config(), compile=True), count=0)[1])


@pytest.mark.slow
def test_accelerated_convolutions_change_nothing_but_the_time(monkeypatch):
    # rounding may turn a ReLU: in a second step, and with other weights already in the first
    metrics, state = run_steps(make_config(dropout=0.5), count=1, seed=2)
    monkeypatch.setattr(model_options, "use_fast_training_forms", lambda model: model)
    plain_metrics, plain = run_steps(make_config(dropout=0.5), count=1, seed=2)
    assert metrics[0] == pytest.approx(plain_metrics[0], rel=1e-4)
    for one, other in zip(state.model.parameters(), plain.model.parameters(), strict=True):
        assert (one.grad - other.grad).abs().max() < 5e-5 * other.grad.abs().max()
