"""What becomes of a run that a folder holds already: nothing is moved or written over unasked."""

import subprocess
import sys
import zipfile
from dataclasses import replace

import pytest
import torch
from tiny_model import ENTRY, RECIPE

from avalib.training.engine import train_model
from avalib.training.existing_run import (
    DamagedCheckpointError,
    RunExistsError,
    get_lock_path,
    has_begun,
    read_run_state,
    resolve_existing_run,
)
from avalib.training.planner import limit_epochs
from avalib.training.session import configure_training
from avalib.utils.locks import LockedError


def setup_of(layout, **changes):
    return configure_training(ENTRY, replace(RECIPE, **changes), layout, "cpu", "float32", workers=0)


def left(folder, setup, epoch=1, step=3, **more):
    """What a run of this setup leaves when it is stopped."""
    folder.mkdir(parents=True)
    found = {"fingerprint": setup.fingerprint(), "clips_per_step": setup.clips_per_step(), "minutes": setup.minutes}
    torch.save(found | {"epoch": epoch, "step": step, "best_mAP": 0.25, "best_epoch": 1} | more, folder / "last.pth")
    return folder


def test_the_same_run_goes_on(tiny, tmp_path):
    folder = left(tmp_path / "run", setup_of(tiny))
    assert read_run_state(folder, setup_of(tiny))["step"] == 3


@pytest.mark.parametrize(("epoch", "what"), [(1, r"unfinished run \(1 of 2 epochs and 3 steps"), (2, "a finished run")])
def test_another_run_stops_with_what_is_there_what_differs_and_the_ways_on(epoch, what, tiny, tmp_path):
    folder = left(tmp_path / "train", setup_of(tiny), epoch)
    with pytest.raises(RunExistsError, match=what) as error:
        train_model(setup_of(tiny, epochs=3), folder, progress=False)
    said = str(error.value)
    assert "best mAP 0.2500 after epoch 1" in said and "recipe.epochs 2 there, 3 here" in said
    assert 'existing="continue"' in said and "train.1" in said and "tag=" in said and "EXISTING=continue" in said
    assert [path.name for path in tmp_path.iterdir()] == ["train"]


def test_another_run_stops_before_anything_takes_time(tiny, tmp_path):
    folder = left(tmp_path / "train", setup_of(tiny))
    with pytest.raises(RunExistsError, match="recipe.lr"):
        resolve_existing_run(setup_of(tiny, lr=1.0), folder)


def test_new_keeps_the_other_run_under_a_name_that_is_said(tiny, tmp_path, capsys):
    folder = left(tmp_path / "run", setup_of(tiny))
    assert read_run_state(folder, setup_of(tiny, epochs=3), existing="new") is None
    assert not folder.exists() and (tmp_path / "run.1" / "last.pth").exists()
    assert "run.1" in capsys.readouterr().out


def test_new_goes_on_with_the_same_run(tiny, tmp_path):
    folder = left(tmp_path / "run", setup_of(tiny))
    assert read_run_state(folder, setup_of(tiny), existing="new")["step"] == 3


def test_continue_takes_the_settings_of_the_run_that_is_there(tiny, tmp_path, capsys):
    there = setup_of(tiny, epochs=7, lr=0.5, milestones=(2, 3), cache_short_side=None)
    folder = left(tmp_path / "run", there)
    adopted = resolve_existing_run(setup_of(tiny), folder, "continue")
    assert adopted.fingerprint() == there.fingerprint() and adopted.recipe == there.recipe
    assert "recipe.lr 0.5 there" in capsys.readouterr().out
    assert resolve_existing_run(setup_of(tiny), tmp_path / "nothing", "continue") == setup_of(tiny)


def test_continue_refuses_a_run_on_other_annotations(tiny, tmp_path):
    setup = setup_of(tiny)
    fingerprint = setup.fingerprint() | {"annotations": "0123"}
    folder = left(tmp_path / "run", setup, fingerprint=fingerprint)
    with pytest.raises(RunExistsError, match="annotations 0123 there"):
        resolve_existing_run(setup, folder, "continue")


def test_weights_without_their_last_checkpoint_are_not_written_over(tiny, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "best.pth").write_bytes(b"weights")
    with pytest.raises(RunExistsError, match="without its last.pth"):
        train_model(setup_of(tiny), tmp_path / "run", progress=False)
    assert (tmp_path / "run" / "best.pth").read_bytes() == b"weights"


def test_an_unknown_choice_is_answered_with_those_that_there_are(tiny, tmp_path):
    with pytest.raises(ValueError, match="existing='overwrite'.*'stop'.*'continue'.*'new'"):
        train_model(setup_of(tiny), tmp_path / "run", progress=False, existing="overwrite")


@pytest.mark.parametrize("content", [b"", b"torn", b"PK\x03\x04 torn"])
def test_a_torn_checkpoint_is_named_with_what_to_do(content, tiny, tmp_path):
    (tmp_path / "last.pth").write_bytes(content)
    with pytest.raises(DamagedCheckpointError, match="last.pth: not a whole checkpoint.*remove it"):
        read_run_state(tmp_path, setup_of(tiny))


def test_a_checkpoint_cut_short_is_named(tiny, tmp_path):
    path = left(tmp_path / "run", setup_of(tiny)) / "last.pth"
    path.write_bytes(path.read_bytes()[:-200])
    for read in (
        lambda: read_run_state(path.parent, setup_of(tiny)),
        lambda: has_begun(path.parent, setup_of(tiny)),
    ):
        with pytest.raises(DamagedCheckpointError, match="last.pth"):
            read()


def test_another_programs_file_is_named(tiny, tmp_path):
    torch.save({"state_dict": {}}, tmp_path / "last.pth")
    with pytest.raises(DamagedCheckpointError, match="it has no clips_per_step, epoch, fingerprint, step"):
        read_run_state(tmp_path, setup_of(tiny))


# --- minutes ----------------------------------------------------------------------------------------------------------

PLAN = {"minutes of training, about": 18.0}  # of nine epochs: two minutes each


def test_minutes_that_a_longer_unfinished_run_does_not_fit_stop(tiny, tmp_path):
    setup = setup_of(tiny, epochs=9)
    folder = left(tmp_path / "train", setup, epoch=1)
    with pytest.raises(RunExistsError, match="minutes of training about 16 more there, 8, that is 4 epochs"):
        limit_epochs(setup, PLAN, 8, folder)


def test_minutes_bound_what_is_still_to_do(tiny, tmp_path):
    setup = setup_of(tiny, epochs=9)
    folder = left(tmp_path / "train", setup, epoch=6)
    assert limit_epochs(setup, PLAN, 8, folder).recipe.epochs == 9


@pytest.mark.parametrize(("choice", "epochs"), [("continue", 9), ("new", 4)])
def test_what_a_longer_unfinished_run_becomes_is_chosen(choice, epochs, tiny, tmp_path):
    setup = setup_of(tiny, epochs=9)
    folder = left(tmp_path / "train", setup, epoch=1)
    assert limit_epochs(setup, PLAN, 8, folder, choice).recipe.epochs == epochs


def test_a_finished_run_of_another_length_is_used_as_it_is(tiny, tmp_path, capsys):
    folder = left(tmp_path / "train", setup_of(tiny, epochs=9), epoch=9, step=0)
    assert limit_epochs(setup_of(tiny, epochs=9), PLAN, 8, folder).recipe.epochs == 9
    assert "a finished run (9 epochs" in capsys.readouterr().out


def test_a_run_begun_for_as_many_minutes_goes_on_on_a_slower_machine(tiny, tmp_path):
    setup = setup_of(tiny, epochs=9)
    fitted = limit_epochs(setup, PLAN, 8, tmp_path / "train")
    folder = left(tmp_path / "train", fitted)
    slower = {"minutes of training, about": 90.0}
    assert limit_epochs(setup, slower, 8, folder).recipe.epochs == fitted.recipe.epochs == 4


@pytest.mark.parametrize("minutes", [0, -1, float("nan")])
def test_minutes_are_above_zero(minutes, tiny, tmp_path):
    with pytest.raises(ValueError, match="minutes=.*above 0"):
        limit_epochs(setup_of(tiny), PLAN, minutes, tmp_path)


HOLDER = """
import sys
import zipfile
from avalib.utils import locks
with locks.hold(sys.argv[1], "a training"):
    print("held", flush=True)
    input()
"""


def test_a_training_that_is_going_on_is_named_before_what_differs(tiny, tmp_path):
    folder = left(tmp_path / "run", setup_of(tiny, lr=0.5))
    command = [sys.executable, "-c", HOLDER, str(get_lock_path(folder))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8") as holder:
        holder.stdout.readline()
        with pytest.raises(LockedError, match=str(holder.pid)):
            resolve_existing_run(setup_of(tiny), folder, "stop")
        holder.communicate("\n")
    with pytest.raises(RunExistsError):
        resolve_existing_run(setup_of(tiny), folder, "stop")


def test_a_checkpoint_nested_400_000_deep_is_refused(tiny, tmp_path):
    with zipfile.ZipFile(tmp_path / "last.pth", "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02)" + b"\x85" * 400_000 + b".")
        archive.writestr("archive/version", b"3\n")
    with pytest.raises(DamagedCheckpointError, match="nested more than"):
        read_run_state(tmp_path, setup_of(tiny))
