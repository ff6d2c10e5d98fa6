"""The launcher of several processes."""

import sys

import pytest

from avalib import zoo
from avalib.training.launch import LaunchError, stream_log
from avalib.training.session import configure_training


def test_the_checkpoint_is_the_recipes_unless_one_is_named():
    entry = zoo.get("slowonly_r50")
    published, mini = zoo.build_published_recipe(entry), zoo.build_mini_recipe(entry)
    assert configure_training(entry, published, None, "cpu").checkpoint == "pretrained"
    assert configure_training(entry, published, None, "cpu", checkpoint="random").checkpoint is None
    assert configure_training(entry, mini, None, "cpu").checkpoint is None


WRITER = """
import sys, time
for i in range(3):
    print("said", i, flush=True)
    with open(sys.argv[1], "a") as file:
        file.write('{"mode": "train", "epoch": 1, "iteration": %d}\\n' % i)
    time.sleep(0.2)
sys.exit(int(sys.argv[2]))
"""


def test_the_launcher_follows_a_log_and_says_what_went_wrong(tmp_path, capsys):
    path, seen = tmp_path / "run" / "log.jsonl", []
    log = stream_log([sys.executable, "-c", WRITER, str(path), "0"], path, lambda rows: seen.append(len(rows)), 0.05)
    assert list(log.iteration) == [0, 1, 2] and seen == sorted(seen) and {1, 2} & set(seen)
    assert "said 0\nsaid 1\nsaid 2\n" in capsys.readouterr().out
    with pytest.raises(LaunchError, match=r"(?s)ended with 7.*torchrun\.log.*said 2"):
        stream_log([sys.executable, "-c", WRITER, str(path), "7"], path, seconds=0.05)
