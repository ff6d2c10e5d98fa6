"""A GPU that runs out of memory: fewer clips at once, and in the end an error that says what to do."""

import pandas as pd
import pytest
import torch
from detection_inputs import build_network, detect, two_people, write_calm_video

from avalib.detection import action_scorer, video_detector
from avalib.evaluation.inference import score_batch
from avalib.utils.gpu_memory import GpuMemoryError, build_gpu_memory_error


def limit_memory(monkeypatch, module, max_clips):
    """Let scoring run out of memory with more clips at once, as CUDA does. Returns the list of batch sizes tried."""
    sizes = []

    def score_with_limit(network, entry, clips, rois, device):
        sizes.append(len(clips))
        if len(clips) > max_clips:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return score_batch(network, entry, clips, rois, device)

    monkeypatch.setattr(module, "score_batch", score_with_limit)
    return sizes


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """Eight seconds."""
    return write_calm_video(tmp_path_factory.mktemp("calm") / "v.mp4", n=200)


@pytest.mark.slow
def test_smaller_batches_give_the_same_table(video, monkeypatch, capsys):
    network = build_network()
    boxes = two_people(*range(8))
    expected = detect(video, network, boxes, batch_size=4)
    sizes = limit_memory(monkeypatch, video_detector, max_clips=1)
    table = detect(video, network, boxes, batch_size=4)
    pd.testing.assert_frame_equal(table, expected, atol=1e-5)
    assert sizes[:5] == [4, 2, 1, 1, 2]
    assert set(sizes[7:]) == {1}  # once it is known, no larger batch is tried
    assert "the GPU is out of memory with 4 clips at once; now 2" in capsys.readouterr().out


@pytest.mark.slow
def test_one_clip_that_does_not_fit_is_an_error(video, monkeypatch):
    limit_memory(monkeypatch, video_detector, max_clips=0)
    with pytest.raises(GpuMemoryError, match="cpu: out of memory with one clip. End other programs on it, choose a sm"):
        detect(video, build_network(), two_people(1))


@pytest.mark.slow
def test_live_it_is_the_same_error(video, monkeypatch):
    import avalib

    limit_memory(monkeypatch, action_scorer, max_clips=0)
    with pytest.raises(GpuMemoryError, match="out of memory with one clip"):
        with avalib.watch_live(video, build_network(), boxes=two_people(0, 1, 2, 3), device="cpu") as live:
            list(live)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_gpus_error_says_how_much_is_free():
    device = torch.device("cuda")
    assert "GB free: out of memory with one clip" in str(build_gpu_memory_error("one clip", device))
