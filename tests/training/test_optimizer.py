"""Learning-rate schedules beside those of mmengine, and what each parameter's learning rate and decay are."""

from dataclasses import replace

import pytest
import tiny_model
import tiny_vit
import torch

from avalib import zoo
from avalib.models.detector import Detector
from avalib.training.optimizer import build_optimizer, build_parameter_groups, compute_lr, compute_lr_scale, set_lr
from avalib.training.profiling import build_noise_batch, build_untrained_state
from avalib.training.step import train_step

# 20 epochs of 3 steps, base 1: mmengine 0.10.7's LinearLR (0.1, 5 epochs) and CosineAnnealingLR (15 epochs), both
# converted to iterations
WARMUP_COSINE = [
    *(0.1, 0.1642857143, 0.2285714286, 0.2928571429, 0.3571428571, 0.4214285714, 0.4857142857, 0.55, 0.6142857143),
    *(0.6785714286, 0.7428571429, 0.8071428571, 0.8714285714, 0.9357142857, 1.0, 1.0, 0.9987820251, 0.9951340344),
    *(0.9890738004, 0.980630848, 0.9698463104, 0.9567727288, 0.9414737964, 0.9240240481, 0.9045084972, 0.8830222216),
    *(0.8596699002, 0.8345653032, 0.8078307377, 0.7795964517, 0.75, 0.7191855734, 0.6873032967, 0.6545084972),
    *(0.6209609478, 0.5868240888, 0.5522642316, 0.5174497484, 0.4825502516, 0.4477357684, 0.4131759112, 0.3790390522),
    *(0.3454915028, 0.3126967033, 0.2808144266, 0.25, 0.2204035483, 0.1921692623, 0.1654346968, 0.1403300998),
    *(0.1169777784, 0.0954915028, 0.0759759519, 0.0585262036, 0.0432272712, 0.0301536896, 0.019369152, 0.0109261996),
    *(0.0048659656, 0.0012179749),
]
# the same of LinearLR and MultiStepLR by epoch
WARMUP_BY_EPOCH = [0.1, 0.325, 0.55, 0.775, *[1.0] * 6, *[0.1] * 5, *[0.01] * 5]


# --- schedule ---------------------------------------------------------------------------------------------------------


def test_warm_up_and_cosine_are_mmengines():
    recipe = zoo.build_published_recipe(zoo.get("videomae_vit_b_ak"))
    assert [compute_lr(recipe, 1.0, i, 3) for i in range(60)] == pytest.approx(WARMUP_COSINE, abs=1e-9)


def test_a_warm_up_by_epoch_is_mmengines():
    recipe = replace(zoo.build_published_recipe(zoo.get("slowonly_r50")), warmup_by="epoch")
    rates = [compute_lr(recipe, 1.0, i, 3) for i in range(60)]
    assert rates == pytest.approx([rate for rate in WARMUP_BY_EPOCH for _ in range(3)])


def test_umt_begins_and_ends_at_the_same_low_rate():
    """1e-6 for 256 clips, as its cosine_scheduler has it."""
    recipe = zoo.build_published_recipe(zoo.get("umt_vit_b"))
    n_steps = 30 * 100
    rates = [compute_lr(recipe, recipe.lr, i, 100) for i in (0, 499, 500, n_steps - 1)]
    assert rates == pytest.approx([1e-6, 2.5e-4, 2.5e-4, 1e-6], rel=1e-3)


def test_a_warm_up_of_one_step_has_the_full_rate():
    recipe = replace(zoo.build_published_recipe(zoo.get("videomae_vit_b_ak")), warmup_epochs=0.01)
    assert compute_lr(recipe, 1.0, 0, 100) == 1


@pytest.mark.parametrize("changes", [{"schedule": "poly"}, {"warmup_by": "step"}])
def test_an_unknown_schedule_is_an_error(changes):
    recipe = replace(zoo.build_published_recipe(zoo.get("slowonly_r50")), **changes)
    with pytest.raises(ValueError, match="expected '"):
        compute_lr(recipe, 1.0, 0, 10)


# --- groups -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny_detector():
    return Detector(tiny_vit.ENTRY)


@pytest.mark.parametrize(
    ("name", "exponent"),
    [
        ("backbone.patch_embed.projection.weight", 13),
        ("backbone.blocks.0.attn.q_bias", 12),
        ("backbone.blocks.11.mlp.layers.1.weight", 1),
        ("backbone.norm.weight", 0),
        ("roi_head.bbox_head.fc_cls.weight", 0),
    ],
)
def test_earlier_layers_learn_more_slowly(name, exponent):
    with torch.device("meta"):
        model = Detector(zoo.get("videomae_vit_b_ak"))
    assert name in dict(model.named_parameters())
    assert compute_lr_scale(model, name, 0.75) == pytest.approx(0.75**exponent)


def test_biases_and_norms_do_not_decay(tiny_detector):
    recipe = replace(tiny_vit.RECIPE, decay_1d=False, layer_decay=0.5, weight_decay=0.05)
    names = {parameter: name for name, parameter in tiny_detector.named_parameters()}
    groups = build_parameter_groups(tiny_detector, recipe)
    for group in groups:
        for parameter in group["params"]:
            expected = 0.05 if parameter.dim() > 1 else 0
            assert group["weight_decay"] == expected, names[parameter]
            assert group["lr_scale"] == compute_lr_scale(tiny_detector, names[parameter], 0.5)
    assert sum(len(group["params"]) for group in groups) == len(names), "each parameter is in one group"
    assert len(groups) == 2 * 4, "patch embedding, two blocks, and norm with head"


def test_a_steps_rate_reaches_each_group_times_its_own_factor(tiny_detector):
    recipe = replace(tiny_vit.RECIPE, decay_1d=False, layer_decay=0.5)
    optimizer = build_optimizer(tiny_detector, recipe)
    set_lr(optimizer, 0.8)
    assert [group["lr"] for group in optimizer.param_groups][::2] == pytest.approx([0.1, 0.2, 0.4, 0.8])


def test_layer_decay_needs_blocks():
    recipe = replace(tiny_model.RECIPE, layer_decay=0.75)
    with pytest.raises(ValueError, match="layer_decay=0.75: only a ViT"):
        build_optimizer(Detector(tiny_model.ENTRY), recipe)


def test_nesterovs_momentum_is_the_recipes(tiny_detector):
    recipe = replace(tiny_vit.RECIPE, optimizer="sgd", nesterov=True)
    assert build_optimizer(tiny_detector, recipe).param_groups[0]["nesterov"]


def test_undecayed_parameters_stay_without_gradient():
    """AdamW takes a share of the decayed ones in each step; a zero gradient moves no other."""
    config = tiny_vit.make_config(decay_1d=False, layer_decay=1.0, weight_decay=0.5)
    state = build_untrained_state(config)
    before = {name: parameter.clone() for name, parameter in state.model.named_parameters()}
    for parameter in state.model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    set_lr(state.optimizer, 0.1)
    state.optimizer.step()
    for name, parameter in state.model.named_parameters():
        factor = 1 - 0.1 * 0.5 if parameter.dim() > 1 else 1
        torch.testing.assert_close(parameter, before[name] * factor, msg=name)


# --- resume -----------------------------------------------------------------------------------------------------------


def test_a_resumed_optimizer_gives_the_same_bits():
    config = tiny_vit.make_config(decay_1d=False, layer_decay=0.5, drop_path=0.3)
    states = [build_untrained_state(config) for _ in range(2)]
    batch = build_noise_batch(config, states[0].model, 2)
    train_step(states[0], [batch], config, 1e-3, iteration=0)
    checkpoint = states[0].build_checkpoint({}, 2, None)
    states[1].load_checkpoint(torch.load(_save(checkpoint), weights_only=False), 2)
    for state in states:
        train_step(state, [batch], config, 1e-3, iteration=1)
    for first, second in zip(states[0].model.parameters(), states[1].model.parameters(), strict=True):
        assert torch.equal(first, second)


def _save(checkpoint):
    """A file in memory with a checkpoint."""
    import io

    file = io.BytesIO()
    torch.save(checkpoint, file)
    file.seek(0)
    return file
