"""The inference form: the plain model's logits, folded, and how far reduced precision is from them."""

import dataclasses

import golden_outputs
import pytest
import tiny_model
import torch
from slow_marks import slow_but
from torch import nn

import avalib
from avalib import zoo
from avalib.models.checkpoint import save_checkpoint
from avalib.models.cpu.shared_frames import StreamingDetector
from avalib.models.detector import Detector
from avalib.models.fused import FoldedConv, FusedDetector, for_inference, fuse_model
from avalib.models.resnet3d import ConvBN


@pytest.fixture(scope="module")
def model():
    return golden_outputs.detector("slowfast_context_r50")  # every kind of convolution, laterals and context


def sample(name="slowfast_context_r50"):
    return golden_outputs.clips(name), golden_outputs.rois()


def logits(model, given):
    with torch.inference_mode():
        return model(*given)


def test_it_is_at_the_front_door():
    assert avalib.for_inference is for_inference


BOXES = [
    (90, 5, 130, 40),
    (0, 100, 9, 127),
    (170, 0, 191, 127),
    (-40, -9, 300, 200),
    (80, 60, 80, 60),
    (-90, 4, -50, 30),
    (230, 140, 260, 160),
]
NETWORKS = ["slowonly_r50", "slowonly_r101", "slowfast_r50", "slowfast_r50_8x8"]


@pytest.mark.parametrize("name", slow_but(NETWORKS, "slowonly_r50"))
def test_float32_gives_the_goldens(name):
    form = for_inference(golden_outputs.detector(name), verbose=False)
    found = logits(form, sample(name)).numpy()
    assert abs(found - golden_outputs.ARRAYS[f"{name}/logits64"]).max() < 1e-4
    assert form.deviation.dtype == "float32" and 0 < form.deviation.logits < 1e-4


@pytest.mark.slow
def test_float64_is_exact(model):
    form = for_inference(golden_outputs.detector("slowfast_context_r50").double(), verbose=False)
    given = tuple(t.double() for t in sample())
    assert abs(logits(form, given).numpy() - golden_outputs.ARRAYS["slowfast_context_r50/logits64"]).max() < 1e-8


def test_bfloat16_is_measured_and_said(model, capsys):
    clips, rois = sample()
    tiny = clips[:1, :, :, :32, :40], torch.tensor([[0, 0, 0, 39, 31], [0, 5, 4, 20, 30.0]])  # slow without AMX
    form = for_inference(model, torch.bfloat16, sample=tiny)
    found, expected = logits(form, tiny), logits(model, tiny)
    far = (found - expected).abs().max().item()
    assert 1e-3 < far < 0.2 and form.deviation.logits == pytest.approx(far, rel=1e-3)
    assert form.deviation.largest_logit == pytest.approx(expected.abs().max().item()) and form.deviation.scores < 0.05
    assert found.dtype == torch.float32
    assert capsys.readouterr().out.startswith("inference form in bfloat16: logits (up to ")


def test_no_batch_norm_is_left_and_the_model_is_as_it_was(model):
    before = {key: value.clone() for key, value in model.state_dict().items()}
    model.train()
    folded = fuse_model(model)
    assert model.training and not folded.training
    model.eval()
    assert not any(isinstance(m, ConvBN | nn.BatchNorm3d) for m in folded.modules())
    units = sum(isinstance(m, ConvBN) for m in model.modules())
    assert sum(isinstance(m, FoldedConv) for m in folded.modules()) == units == 106
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_measuring_in_training_changes_no_statistics(model):
    model.train()
    before = model.backbone.fast_path.conv1.bn.running_mean.clone()
    form = for_inference(model, verbose=False)
    assert torch.equal(model.backbone.fast_path.conv1.bn.running_mean, before) and model.training
    assert form.deviation.logits < 1e-4
    model.eval()


@pytest.mark.slow
def test_it_follows_the_weights_at_the_time(model):
    form = for_inference(model, verbose=False)
    other = golden_outputs.detector("slowfast_context_r50")
    with torch.no_grad():
        other.backbone.slow_path.layer4[2].conv3.bn.running_var *= 4
    far = (logits(for_inference(other, verbose=False), sample()) - logits(form, sample())).abs().max()
    assert far > 0.01


def test_frames_that_clips_share_are_computed_once():
    torch.manual_seed(0)
    model = Detector(tiny_model.ENTRY, zero_init_residual=False).eval()
    form = FusedDetector(model, torch.float32)
    frames, rois = torch.randn(1, 3, 8, 32, 48), torch.tensor([[0, 0, 0, 40, 30], [0, 8, 4, 20, 30.0]])
    shared, at = StreamingDetector(model, torch.float32), [0, 1, 1, 3, 4]
    for first in at:  # one clip at a time
        clip, numbers = frames[:, :, first : first + 4], 10 + torch.arange(first, first + 4)[None].numpy()
        found, expected = (logits(network, given) for network, given in (
            (lambda *g, n=numbers: shared(*g, n), (clip, rois)), (form, (clip, rois))
        ))  # fmt: skip
        assert (found - expected).abs().max() < 1e-5
    assert shared.computed == 8 and len(shared._of_frame) == 4
    clips = torch.cat([frames[:, :, first : first + 4] for first in (0, 2)])
    numbers = torch.stack([torch.arange(first, first + 4) for first in (0, 2)]).numpy()
    two = torch.cat([rois, rois + torch.tensor([1, 0, 0, 0, 0])])
    together = StreamingDetector(model, torch.float32)
    far = (logits(lambda *g: together(*g, numbers), (clips, two)) - logits(form, (clips, two))).abs().max()
    assert far < 1e-5 and together.computed == 6


@pytest.mark.parametrize("name", slow_but(["slowonly_r50", "slowfast_r50"], "slowfast_r50"))
@pytest.mark.parametrize("box", slow_but(BOXES, BOXES[0]))
def test_stage_4_is_computed_where_boxes_look(name, box):
    torch.manual_seed(0)
    entry = dataclasses.replace(zoo.get(name), clip_len=4, resample_rate=2, speed_ratio=2)
    model = Detector(entry, zero_init_residual=False).eval().double()
    given = torch.randn(1, 3, 4, 128, 192).double(), torch.tensor([[0, *box]]).double()
    assert (logits(FusedDetector(model, torch.float64), given) - logits(model, given)).abs().max() < 1e-10


def test_boxes_that_are_no_numbers_are_taken_as_the_detector_takes_them():
    model = Detector(tiny_model.ENTRY, zero_init_residual=False).eval()
    rois = torch.tensor([[0, 0, 0, 40, 30], [0, float("nan"), 4, 20, 30]])
    given = torch.randn(1, 3, 4, 32, 48), rois
    found, expected = logits(FusedDetector(model, torch.float32), given), logits(model, given)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5, equal_nan=True)


@pytest.mark.slow
def test_stage_4_sees_less_where_boxes_see_less(model):
    def seen(entry_model, rois):
        form, sides = FusedDetector(entry_model, torch.float32), []
        first = [m for name, m in form.named_modules() if name.endswith("layer4.0")]
        for block in first:
            block.register_forward_pre_hook(lambda _, given: sides.append(tuple(given[0].shape[3:])))
        clips = torch.randn(1, 3, entry_model.entry.clip_len, 128, 320)
        logits(form, (clips, torch.tensor(rois)))
        return set(sides)

    alone = Detector(tiny_model.ENTRY).eval()
    assert seen(alone, [[0, 100, 0, 150, 127.0]]) == {(8, 8)}  # columns 5 to 10 and, for the 3x3, one on each side
    assert seen(alone, [[0, 0, 100, 20, 120.0]]) == {(4, 4)}  # rows 5 to 7 and columns 0 to 2, at the corner
    assert seen(alone, [[0, 0, 0, 20, 127], [0, 300, 0, 319, 127.0]]) == {(8, 20)}  # two people far apart: all of it
    assert seen(model, [[0, 100, 0, 150, 127.0]]) == {(8, 20)}  # the whole picture is context


def test_slowfast_has_nothing_to_share(model):
    form = FusedDetector(model, torch.float32)
    clips, rois = (part[:1] for part in sample())
    numbers = torch.arange(clips.shape[2])[None].numpy()
    shared = StreamingDetector(model, torch.float32)
    assert torch.equal(logits(lambda *g: shared(*g, numbers), (clips, rois)), logits(form, (clips, rois)))


def test_no_boxes_no_logits(model):
    clips, rois = sample()
    form = for_inference(model, verbose=False)
    assert logits(form, (clips, rois[:0])).shape == (0, 81)
    with pytest.raises(ValueError, match="no boxes"):
        for_inference(model, sample=(clips, rois[:0]))


def test_it_cannot_be_saved_as_a_checkpoint(model, tmp_path):
    with pytest.raises(ValueError, match="an inference form can't be saved"):
        save_checkpoint(for_inference(model, verbose=False), tmp_path / "a.pth")


def test_other_types_are_refused(model):
    with pytest.raises(ValueError, match="expected torch.float32"):
        for_inference(model, torch.int8)
