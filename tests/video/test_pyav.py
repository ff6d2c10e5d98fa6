"""PyAV is imported at its first use: what reads no video works without it."""

import subprocess
import sys

import pytest

from avalib.video.pyav import av


def test_without_pyav_its_first_use_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ModuleNotFoundError, match="PyAV.* is missing: pip install av"):
        av.open("film.mp4")


@pytest.mark.slow
def test_training_evaluation_and_detection_are_imported_without_pyav():
    modules = ("training.session", "evaluation.inference", "detection.detect_video", "data.synthetic")
    imports = "; ".join(f"import avalib.{name}" for name in modules)
    code = f"import sys; sys.modules['av'] = None; {imports}"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
