"""One step: the published schedule, and options that change how it is computed but not what."""

from dataclasses import replace

import pytest
import torch
from tiny_model import make_config

from avalib import zoo
from avalib.training.optimizer import build_optimizer, build_scaler, compute_lr
from avalib.training.profiling import build_noise_batch, build_untrained_state
from avalib.training.reproducibility import seed_everything, use_deterministic_algorithms
from avalib.training.step import reduce_metrics, train_step
from avalib.utils.distributed import SINGLE_PROCESS, DistributedContext

# --- schedule and optimizer -------------------------------------------------------------------------------------------


def test_published_schedule():
    recipe = zoo.build_published_recipe(zoo.get("slowonly_r50"))
    rates = [compute_lr(recipe, 0.2, i, 10) for i in (0, 25, 49, 50, 99, 100, 149, 150, 199)]
    assert rates == pytest.approx([0.02, 0.2 * 0.55, 0.2 * (0.1 + 0.9 * 0.98), 0.2, 0.2, 0.02, 0.02, 0.002, 0.002])


def test_cosine_ends_near_zero_after_the_warm_up():
    recipe = replace(zoo.build_mini_recipe(zoo.get("slowonly_r50")), epochs=2)
    rates = [compute_lr(recipe, 1.0, i, 10) for i in range(20)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) > 0.8
    assert rates[-1] < 0.02


def test_the_published_optimizer():
    recipe = zoo.build_published_recipe(zoo.get("slowonly_r50"))
    model = torch.nn.Sequential(torch.nn.Conv3d(3, 4, 1), torch.nn.BatchNorm3d(4))
    (group,) = build_optimizer(model, recipe).param_groups
    assert len(group["params"]) == 4, "batch norm and biases decay too"
    assert (group["momentum"], group["weight_decay"]) == (0.9, 1e-5)
    assert (group["fused"], group["nesterov"], group["dampening"]) == (True, False, 0)


@pytest.mark.parametrize(("precision", "is_scaled"), [("float16", True), ("float32", False)])
def test_only_float16_is_scaled(precision, is_scaled):
    assert build_scaler(make_config(precision=precision)).is_enabled() == is_scaled


# --- options ----------------------------------------------------------------------------------------------------------


def run_steps(config, count=2, seed=0):
    """Metrics and the state after some steps on the same noise, from the same weights."""
    seed_everything(seed)
    state = build_untrained_state(config)
    for block in state.model.backbone.modules():
        if hasattr(block, "conv3"):
            torch.nn.init.ones_(block.conv3.bn.weight)  # at 0 the branches have no gradient at the start
    seed_everything(1)
    batch = build_noise_batch(config, state.model, 2)
    return [train_step(state, [batch], config, 0.01, i).metrics for i in range(count)], state


@pytest.fixture(scope="module")
def plain_steps():
    return run_steps(make_config(dropout=0.5))


@pytest.mark.slow
@pytest.mark.parametrize("option", ["recompute", "channels_last"])
def test_options_change_no_metric(option, plain_steps):
    metrics, state = run_steps(make_config(dropout=0.5, **{option: True}))
    for values, plain in zip(metrics, plain_steps[0], strict=True):
        assert values == pytest.approx(plain, rel=1e-4)
    assert list(state.model.state_dict()) == list(plain_steps[1].model.state_dict())
    plain_buffers = dict(plain_steps[1].model.named_buffers())
    for name, buffer in state.model.named_buffers():  # running statistics were not updated twice
        torch.testing.assert_close(buffer, plain_buffers[name], rtol=1e-4, atol=1e-5)


def test_deterministic_algorithms_end_with_the_run():
    with use_deterministic_algorithms(True):
        assert torch.are_deterministic_algorithms_enabled()
    assert not torch.are_deterministic_algorithms_enabled()


# --- gradients and metrics --------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_micro_batches_have_the_mean_of_their_gradients():
    config = make_config(grad_clip=1e9)
    state = build_untrained_state(config)
    batches = [build_noise_batch(config, state.model, 2) for _ in range(2)]
    separate = []
    for batch in batches:
        train_step(state, [batch], config, lr=0.0)
        separate.append([p.grad.clone() for p in state.model.parameters()])
    result = train_step(state, batches, config, lr=0.0)
    assert result.n_clips == 4
    for parameter, first, second in zip(state.model.parameters(), *separate, strict=True):
        torch.testing.assert_close(parameter.grad, (first + second) / 2, rtol=1e-4, atol=1e-7)


def test_metrics_are_means_over_micro_batches():
    metrics = [{"loss_action_cls": 1.0, "recall@top3": 0.0}, {"loss_action_cls": 3.0, "recall@top3": 1.0}]
    result = reduce_metrics(metrics, n_clips=5, stop_signal=0, context=SINGLE_PROCESS, device=torch.device("cpu"))
    assert result.metrics == {"loss_action_cls": 2.0, "recall@top3": 0.5}
    assert (result.n_clips, result.stop_signal) == (5, 0)


@pytest.mark.parametrize(("own_signal", "expected"), [(2, 2), (0, 15)])
def test_a_signal_of_any_process_stops_all(own_signal, expected, monkeypatch):
    """The other of two processes receives signal 2."""

    def add_other_process(self, values, device):
        return [value + other for value, other in zip(values, [1.0, 4, 2], strict=True)]

    monkeypatch.setattr(DistributedContext, "all_reduce_sum", add_other_process)
    context = DistributedContext(size=2)
    result = reduce_metrics(
        [{"loss_action_cls": 3.0}], n_clips=4, stop_signal=own_signal, context=context, device=torch.device("cpu")
    )
    assert (result.metrics["loss_action_cls"], result.n_clips) == (2.0, 8)
    assert result.stop_signal == expected


@pytest.fixture
def scaled_state():
    """A state with float16's scaler, in float32 arithmetic: a CPU emulates float16."""
    state = build_untrained_state(make_config())
    state.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    return state


def test_a_scaled_gradient_that_overflows_is_skipped_and_the_scale_halved(scaled_state):
    config = make_config()
    before = [p.detach().clone() for p in scaled_state.model.parameters()]
    weight = scaled_state.model.roi_head.bbox_head.fc_cls.weight
    weight.register_hook(lambda gradient: gradient * float("inf"))
    result = train_step(scaled_state, [build_noise_batch(config, scaled_state.model, 2)], config, lr=0.01)
    assert result.metrics["loss_scale"] == 2.0**9
    assert all(map(torch.equal, before, scaled_state.model.parameters()))


def test_a_scaled_gradient_is_clipped_and_logged_as_if_it_had_not_been_scaled(scaled_state):
    config = make_config()
    before = [p.detach().clone() for p in scaled_state.model.parameters()]
    result = train_step(scaled_state, [build_noise_batch(config, scaled_state.model, 2)], config, lr=0.01)
    assert result.metrics["loss_scale"] == 2.0**10
    assert result.metrics["grad_norm"] < 1e3
    assert not all(map(torch.equal, before, scaled_state.model.parameters()))
