"""One step: the published schedule, and options that change how it is computed but not what."""

from dataclasses import replace

import pytest
import torch
from tiny_model import ENTRY, RECIPE

from avalib import zoo
from avalib.data.layout import DatasetLayout
from avalib.training import step
from avalib.training.optimizer import build_optimizer, build_scaler, compute_lr
from avalib.training.planner import build_blank_state, build_noise_batch
from avalib.training.session import configure_training
from avalib.training.step import seed_everything, train_step, use_deterministic_algorithms
from avalib.utils import device
from avalib.utils.device import choose_precision

LAYOUT = DatasetLayout("nowhere", "mini")  # of its files none is read here


def setup_of(layout=LAYOUT, precision="float32", **options):
    recipe = replace(RECIPE, dropout=0.5, videos_per_gpu=2)
    return configure_training(ENTRY, recipe, layout, "cpu", precision, workers=0, **options)


def test_published_schedule():
    recipe = zoo.build_published_recipe(zoo.get("slowonly_r50"))
    at = [compute_lr(recipe, 0.2, i, 10) for i in (0, 25, 49, 50, 99, 100, 149, 150, 199)]
    assert at == pytest.approx([0.02, 0.2 * 0.55, 0.2 * (0.1 + 0.9 * 0.98), 0.2, 0.2, 0.02, 0.02, 0.002, 0.002])


def test_cosine_ends_near_zero_after_the_warm_up():
    recipe = zoo.build_mini_recipe(zoo.get("slowonly_r50"))
    at = [compute_lr(replace(recipe, epochs=2), 1.0, i, 10) for i in range(20)]
    assert at[0] == pytest.approx(0.1) and max(at) > 0.8 and at[-1] < 0.02


def test_the_published_optimiser():
    recipe = zoo.build_published_recipe(zoo.get("slowonly_r50"))
    model = torch.nn.Sequential(torch.nn.Conv3d(3, 4, 1), torch.nn.BatchNorm3d(4))
    (group,) = build_optimizer(model, recipe).param_groups  # batch norm and biases decay too
    assert len(group["params"]) == 4 and group["fused"] and not group["nesterov"] and group["dampening"] == 0
    assert (group["momentum"], group["weight_decay"]) == (0.9, 1e-5)


def stepped(setup, count=2):
    """Rows and the state after some steps on the same noise, from the same weights."""
    seed_everything(0)
    state = build_blank_state(setup)
    for block in state.model.backbone.modules():
        if hasattr(block, "conv3"):
            torch.nn.init.ones_(block.conv3.bn.weight)  # or the branches say nothing at the start
    seed_everything(1)
    batch = build_noise_batch(setup, state.model, 2)
    return [train_step(state, [batch], setup, 0.01, i)[0] for i in range(count)], state


def test_recomputing_and_channels_last_change_nothing_but_memory():
    plain, state = stepped(setup_of())
    for options in ({"recompute": True}, {"channels_last": True}):
        rows, other = stepped(setup_of(**options))
        for a, b in zip(plain, rows, strict=True):
            assert a == pytest.approx(b, rel=1e-4), options
        names = dict(state.model.named_buffers())
        for name, buffer in other.model.named_buffers():  # running statistics were not updated twice
            torch.testing.assert_close(buffer, names[name], rtol=1e-4, atol=1e-5)
        assert list(other.model.state_dict()) == list(state.model.state_dict())


@pytest.mark.slow
def test_fast_training_forms_change_nothing_but_the_time(monkeypatch):
    rows, state = stepped(setup_of(), 1)  # in a second step rounding may turn a ReLU, as it does between threads
    monkeypatch.setattr(step, "use_fast_training_forms", lambda model: model)
    plain, other = stepped(setup_of(), 1)
    for a, b in zip(plain, rows, strict=True):
        assert a == pytest.approx(b, rel=1e-4)
    for one, same in zip(state.model.parameters(), other.model.parameters(), strict=True):
        assert (one.grad - same.grad).abs().max() < 5e-5 * same.grad.abs().max()


def test_a_compiled_model_has_no_fast_training_forms(monkeypatch):
    swapped = []
    monkeypatch.setattr(step, "use_fast_training_forms", swapped.append)
    build_blank_state(replace(setup_of(), compile=True))
    assert not swapped


def test_accumulated_shares_have_the_mean_of_their_gradients():
    setup = replace(setup_of(), recipe=replace(RECIPE, dropout=0.0, grad_clip=1e9))
    state = build_blank_state(setup)
    batches = [build_noise_batch(setup, state.model, 2) for _ in range(2)]
    alone = []
    for batch in batches:
        train_step(state, [batch], setup, 0.0)
        alone.append([p.grad.clone() for p in state.model.parameters()])
    row, _ = train_step(state, batches, setup, 0.0)
    assert row["clips"] == 4
    for p, a, b in zip(state.model.parameters(), *alone, strict=True):
        torch.testing.assert_close(p.grad, (a + b) / 2, rtol=1e-4, atol=1e-7)


def test_a_scaled_gradient_that_overflows_is_skipped_and_the_scale_halved():
    """float16's scaler; in float32 arithmetic, since a CPU computes float16 by emulation."""
    setup = setup_of()
    state = build_blank_state(setup)
    state.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    before = [p.detach().clone() for p in state.model.parameters()]
    batch = build_noise_batch(setup, state.model, 2)
    overflow = state.model.roi_head.bbox_head.fc_cls.weight.register_hook(lambda gradient: gradient * float("inf"))
    row, _ = train_step(state, [batch], setup, 0.01)
    assert row["loss_scale"] == 2.0**9 and all(map(torch.equal, before, state.model.parameters()))
    overflow.remove()
    row, _ = train_step(state, [batch], setup, 0.01)
    assert row["loss_scale"] == 2.0**9 and row["grad_norm"] < 1e3, "clipped and logged as if it had not been scaled"
    assert not all(map(torch.equal, before, state.model.parameters()))


def test_only_float16_is_scaled():
    assert build_scaler(setup_of(precision="float16")).is_enabled()
    assert not build_scaler(setup_of()).is_enabled()


def test_without_a_compiler_compiling_is_off_and_says_why(monkeypatch, capsys):
    def no_compiler(*args, **options):
        raise RuntimeError("InvalidCxxCompiler: No working C++ compiler found in ('g++',)\nmore")

    monkeypatch.setattr(torch, "compile", no_compiler)
    assert setup_of(compile=True).compile is False
    assert "torch.compile is off: RuntimeError: InvalidCxxCompiler: No working C++" in capsys.readouterr().out
    with pytest.raises(ValueError, match="don't go together"):
        setup_of(compile=True, recompute=True)


def test_determinism_is_for_the_run_and_ends_with_it():
    with use_deterministic_algorithms(True):
        assert torch.are_deterministic_algorithms_enabled()
    assert not torch.are_deterministic_algorithms_enabled()


def test_bfloat16_that_has_to_be_emulated_is_warned_of(monkeypatch):
    monkeypatch.setattr(device, "supports_bfloat16", lambda device: False)
    with pytest.warns(UserWarning, match="400 times slower"):
        choose_precision("bfloat16", torch.device("cpu"))
    assert choose_precision("auto", torch.device("cpu")) == torch.float32
