"""Print what the planner estimates for a training step of a model of the zoo, and what two steps take: GB, two lines.

python tests/helpers/measure_training_peak.py videomae_vit_b_ak 96 4
"""

import sys
from dataclasses import replace

import psutil
import torch

from avalib import zoo
from avalib.data.layout import DatasetLayout
from avalib.training.planner import estimate_memory
from avalib.training.profiling import build_noise_batch, build_untrained_state
from avalib.training.step import train_step
from avalib.training.train_config import configure_training
from avalib.utils.process import get_own_peak_memory_bytes

if __name__ == "__main__":
    torch.set_num_threads(1)
    alias, crop, n_clips = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    recipe = replace(zoo.build_mini_recipe(zoo.get(alias)), crop=crop, videos_per_gpu=n_clips)
    config = configure_training(zoo.get(alias), recipe, DatasetLayout("nowhere", "mini"), "cpu", "float32", workers=0)
    without_model = psutil.Process().memory_info().rss
    state = build_untrained_state(config)
    print(estimate_memory(config, state).gb_per_process)
    batch = build_noise_batch(config, state.model, n_clips)
    for i in range(2):
        train_step(state, [batch], config, 1e-4, i)
    print((get_own_peak_memory_bytes() - without_model) / 1e9)
