"""Files that are no checkpoints: the message names the file and what it is instead, and no code in it runs."""

import os
import pickle
import zipfile

import pytest
import safetensors.torch
import torch

from avalib.models.build import build_model
from avalib.models.checkpoint_file import CheckpointError

MODEL = "slowonly_r50"
CODE = r"asks to load (posix|nt)\.mkdir.*Nothing was run"
WRONG_FILES = {  # name: what its message says
    "half.pth": "cut short or damaged",
    "flipped.pth": "wrong CRC",
    "legacy_end_missing.pth": "cut short or damaged",
    "legacy_start.pth": "cut short or damaged",
    "page.pth": "web page",
    "empty.pth": "empty",
    "text.pth": "cut short or damaged",
    "pointer.pth": "git-lfs",
    "end_missing.safetensors": "cut short or damaged",
    "page.safetensors": "web page",
    "code.pth": CODE,
    "code_legacy.pth": CODE,
    "code_pickle.pth": CODE,
    "archive.pth": "a zip archive, but not",
    "number.pth": "'a' of 1 keys",
    "list.pth": "got list",
    "script.pth": "TorchScript program",
}


class CodeToRun:
    """Unpickled by Python's own pickle, it creates a folder."""

    def __reduce__(self):
        return os.mkdir, ("code-was-run",)


@pytest.fixture(scope="module")
def folder(golden_files, tmp_path_factory):
    """A folder with the WRONG_FILES."""
    folder = tmp_path_factory.mktemp("wrong")
    whole = (golden_files / f"{MODEL}.pth").read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 255
    torch.save({"state_dict": {"a": torch.zeros(9999)}}, folder / "legacy.pth", _use_new_zipfile_serialization=False)
    legacy = (folder / "legacy.pth").read_bytes()
    tensors = safetensors.torch.save({"a": torch.zeros(9999)})
    contents = {
        "half.pth": whole[: len(whole) // 2],
        "flipped.pth": flipped,
        "legacy_end_missing.pth": legacy[:-100],
        "legacy_start.pth": legacy[:100],
        "page.pth": b"\n<!doctype HTML>\n<html><body>404</body></html>",
        "empty.pth": b"",
        "text.pth": b"hello world, this is text",
        "pointer.pth": b"version https://git-lfs.github.com/spec/v1\n",
        "end_missing.safetensors": tensors[:-100],
        "page.safetensors": b"<html></html>",
        "code_pickle.pth": pickle.dumps({"state_dict": CodeToRun()}, protocol=4),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    torch.save({"state_dict": {"a": torch.zeros(3)}, "code": CodeToRun()}, folder / "code.pth")
    torch.save({"a": CodeToRun()}, folder / "code_legacy.pth", _use_new_zipfile_serialization=False)
    with zipfile.ZipFile(folder / "archive.pth", "w") as archive:
        archive.writestr("a.txt", "hello")
    torch.save({"state_dict": {"a": 1}}, folder / "number.pth")
    torch.save([torch.zeros(3)], folder / "list.pth")
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), folder / "script.pth")
    return folder


@pytest.mark.parametrize("name", WRONG_FILES)
def test_the_message_names_a_wrong_file_and_its_kind(folder, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=WRONG_FILES[name]) as error:
        build_model(MODEL, folder / name)
    assert name in str(error.value)
    assert not (tmp_path / "code-was-run").exists()


def test_no_file(tmp_path):
    (tmp_path / "best.pth").touch()
    with pytest.raises(FileNotFoundError, match="last.pth: does not exist. Its folder has best.pth"):
        build_model(MODEL, tmp_path / "last.pth")


def test_a_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="is a folder"):
        build_model(MODEL, tmp_path)
