"""`avalib train` with the small network of tiny_model.py in the place of a model of the zoo, for processes of tests.

python tests/helpers/train_tiny_model.py --dataset tiny --short-side 32 --batch-size 2 --workers 2
"""

import sys

import tiny_model
import torch

from avalib import zoo
from avalib.cli import main

OPTIONS = "--dataset tiny --device cpu --precision float32 --short-side 32 --batch-size 2".split()
OPTIONS += ["--cache-short-side", "None"]

if __name__ == "__main__":
    torch.set_num_threads(1)
    zoo.get = lambda name: tiny_model.ENTRY
    sys.exit(main(["train", *OPTIONS, *sys.argv[1:]]))
