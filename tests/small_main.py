"""`python -m avalib.train` with the small network of small.py in the place of a row of the zoo, for processes of tests.

python tests/small_main.py --dataset tiny --short-side 32 --batch-size 2 --workers 2
"""

import sys

import small
import torch

from avalib import train, zoo

WORDS = "--dataset tiny --device cpu --precision float32 --short-side 32 --batch-size 2 --cache-short-side none".split()

if __name__ == "__main__":
    torch.set_num_threads(1)
    zoo.get = lambda name: small.ENTRY
    sys.exit(train.main([*WORDS, *sys.argv[1:]]))
