"""What other systems lack isn't used: calls of POSIX, UTF-8 as a default, links, files renamed while they are open."""

import functools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import without_posix

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def outcomes(tiny, tmp_path_factory):
    """A function from a list of jobs to {job: None or its traceback}; all are done by one process without POSIX."""

    @functools.cache
    def do(*jobs):
        place = tmp_path_factory.mktemp("without posix")
        shutil.copytree(tiny.root, place / "tiny")
        (place / "jobs").mkdir()
        command = [sys.executable, without_posix.__file__, str(place / "tiny"), str(place / "jobs")]
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        options = {"env": os.environ | {"PYTHONPATH": path}, "capture_output": True, "encoding": "utf-8"}
        child = subprocess.run([*command, *(job.__name__ for job in jobs)], **options)
        assert child.returncode == 0, child.stderr
        return json.loads(child.stdout.splitlines()[-1])

    return do


@pytest.mark.slow
@pytest.mark.parametrize("job", without_posix.QUICK, ids=lambda job: job.__name__)
def test_without_posix(outcomes, job):
    raised = outcomes(*without_posix.QUICK)[job.__name__]
    assert raised is None, raised


@pytest.mark.slow
@pytest.mark.parametrize("job", without_posix.SLOW, ids=lambda job: job.__name__)
def test_without_posix_in_processes(outcomes, job):
    raised = outcomes(*without_posix.SLOW)[job.__name__]
    assert raised is None, raised
