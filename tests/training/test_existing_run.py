"""What becomes of a run that a folder holds already: nothing is moved or overwritten unless the user says so."""

import subprocess
import sys
import zipfile

import pytest
import torch
from saved_runs import leave_run
from tiny_model import make_config

from avalib.training.engine import train_model
from avalib.training.existing_run import (
    RunExistsError,
    get_lock_path,
    load_checkpoint_to_resume,
    load_run_of_same_settings,
    resolve_existing_run,
)
from avalib.training.saved_run import DamagedCheckpointError
from avalib.utils.locks import LockedError


def test_the_same_run_resumes(tiny, tmp_path):
    folder = leave_run(tmp_path / "run", make_config(tiny))
    assert load_checkpoint_to_resume(folder, make_config(tiny))["step"] == 3


def test_a_run_with_earlier_names_resumes(tiny, tmp_path):
    folder = leave_run(tmp_path / "run", make_config(tiny))
    checkpoint = torch.load(folder / "last.pth", weights_only=True)
    recipe = checkpoint["fingerprint"]["recipe"]
    recipe["colour"] = recipe.pop("color_jitter")
    torch.save(checkpoint, folder / "last.pth")
    assert load_checkpoint_to_resume(folder, make_config(tiny))["step"] == 3


@pytest.mark.parametrize(
    ("epoch", "description"), [(1, r"unfinished run \(1 of 2 epochs and 3 steps"), (2, r"a finished run \(2 epochs")]
)
def test_another_run_is_described(epoch, description, tiny, tmp_path):
    folder = leave_run(tmp_path / "train", make_config(tiny), epoch)
    with pytest.raises(RunExistsError, match=f"{description}, best mAP 0.2500 after epoch 1"):
        train_model(make_config(tiny, epochs=3), folder, progress=False)


@pytest.mark.parametrize(
    "text",
    ["recipe.epochs 2 in that run, 3 in this one", 'existing="continue"', "train.1", "tag=", "EXISTING=continue"],
)
def test_another_run_stops_with_what_differs_and_what_to_do(text, tiny, tmp_path):
    folder = leave_run(tmp_path / "train", make_config(tiny))
    with pytest.raises(RunExistsError) as error:
        train_model(make_config(tiny, epochs=3), folder, progress=False)
    assert text in str(error.value)


def test_another_run_is_not_changed(tiny, tmp_path):
    folder = leave_run(tmp_path / "train", make_config(tiny))
    before = (folder / "last.pth").read_bytes()
    with pytest.raises(RunExistsError):
        train_model(make_config(tiny, epochs=3), folder, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["train"]
    assert (folder / "last.pth").read_bytes() == before


def test_another_run_stops_before_anything_takes_time(tiny, tmp_path):
    folder = leave_run(tmp_path / "train", make_config(tiny))
    with pytest.raises(RunExistsError, match="recipe.lr"):
        resolve_existing_run(make_config(tiny, lr=1.0), folder)


def test_new_moves_the_other_run_aside_and_names_the_folder(tiny, tmp_path, capsys):
    folder = leave_run(tmp_path / "run", make_config(tiny))
    assert load_checkpoint_to_resume(folder, make_config(tiny, epochs=3), existing="new") is None
    assert not folder.exists()
    assert (tmp_path / "run.1" / "last.pth").exists()
    assert "run.1" in capsys.readouterr().out


def test_new_resumes_the_same_run(tiny, tmp_path):
    folder = leave_run(tmp_path / "run", make_config(tiny))
    assert load_checkpoint_to_resume(folder, make_config(tiny), existing="new")["step"] == 3


def test_continue_takes_the_settings_of_the_run_in_the_folder(tiny, tmp_path, capsys):
    saved = make_config(tiny, epochs=7, lr=0.5, milestones=(2, 3), cache_short_side=None)
    folder = leave_run(tmp_path / "run", saved)
    adopted = resolve_existing_run(make_config(tiny), folder, "continue")
    assert adopted.recipe == saved.recipe
    assert adopted.compute_fingerprint() == saved.compute_fingerprint()
    assert "recipe.lr 0.5 in that run" in capsys.readouterr().out


def test_continue_in_an_empty_folder_changes_nothing(tiny, tmp_path):
    assert resolve_existing_run(make_config(tiny), tmp_path / "nothing", "continue") == make_config(tiny)


def test_continue_refuses_a_run_on_other_annotations(tiny, tmp_path):
    config = make_config(tiny)
    fingerprint = config.compute_fingerprint() | {"annotations": "0123"}
    folder = leave_run(tmp_path / "run", config, fingerprint=fingerprint)
    with pytest.raises(RunExistsError, match="annotations 0123 in that run"):
        resolve_existing_run(config, folder, "continue")


def test_weights_without_their_last_checkpoint_are_not_overwritten(tiny, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "best.pth").write_bytes(b"weights")
    with pytest.raises(RunExistsError, match="without its last.pth"):
        train_model(make_config(tiny), tmp_path / "run", progress=False)
    assert (tmp_path / "run" / "best.pth").read_bytes() == b"weights"


def test_an_unknown_choice_is_answered_with_the_valid_ones(tiny, tmp_path):
    with pytest.raises(ValueError, match="existing='overwrite'.*'stop'.*'continue'.*'new'"):
        train_model(make_config(tiny), tmp_path / "run", progress=False, existing="overwrite")


@pytest.mark.parametrize("content", [b"", b"torn", b"PK\x03\x04 torn"])
def test_a_damaged_checkpoint_is_named_with_what_to_do(content, tiny, tmp_path):
    (tmp_path / "last.pth").write_bytes(content)
    with pytest.raises(DamagedCheckpointError, match="last.pth: not a complete training checkpoint.*remove it"):
        load_checkpoint_to_resume(tmp_path, make_config(tiny))


@pytest.mark.parametrize("read", [load_checkpoint_to_resume, load_run_of_same_settings])
def test_a_truncated_checkpoint_is_named(read, tiny, tmp_path):
    path = leave_run(tmp_path / "run", make_config(tiny)) / "last.pth"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DamagedCheckpointError, match="last.pth"):
        read(path.parent, make_config(tiny))


def test_another_programs_file_is_named(tiny, tmp_path):
    torch.save({"state_dict": {}}, tmp_path / "last.pth")
    with pytest.raises(DamagedCheckpointError, match="it has no clips_per_step, epoch, fingerprint, step"):
        load_checkpoint_to_resume(tmp_path, make_config(tiny))


HOLDER = """
import sys
from avalib.utils import locks
with locks.hold_lock(sys.argv[1], "a training"):
    print("held", flush=True)
    input()
"""


def test_a_running_training_is_named_before_what_differs(tiny, tmp_path):
    folder = leave_run(tmp_path / "run", make_config(tiny, lr=0.5))
    command = [sys.executable, "-c", HOLDER, str(get_lock_path(folder))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8") as holder:
        holder.stdout.readline()
        with pytest.raises(LockedError, match=str(holder.pid)):
            resolve_existing_run(make_config(tiny), folder, "stop")
        holder.communicate("\n")
    with pytest.raises(RunExistsError):
        resolve_existing_run(make_config(tiny), folder, "stop")


@pytest.mark.slow
def test_a_checkpoint_nested_400_000_deep_is_refused(tiny, tmp_path):
    with zipfile.ZipFile(tmp_path / "last.pth", "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02)" + b"\x85" * 400_000 + b".")
        archive.writestr("archive/version", b"3\n")
    with pytest.raises(DamagedCheckpointError, match="nested more than"):
        load_checkpoint_to_resume(tmp_path, make_config(tiny))
