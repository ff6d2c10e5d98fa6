"""What a stranger meets first: pyproject.toml, environment.yml, Makefile, README agree with one another."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from avalib import zoo

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_environment_yml_has_pyprojects_packages_and_bounds():
    lines = (ROOT / "environment.yml").read_text(encoding="utf-8").split("- pip:")[1].splitlines()
    found = [re.fullmatch(r"\s*- (\S.*?)  # \S.*", line) for line in lines if line.strip()]
    assert all(found), "every line says what needs it"
    assert [m[1] for m in found] == [*PROJECT["project"]["dependencies"], "-e ."]


def test_environment_yml_takes_the_pythons_that_the_readme_names():
    low, high = re.search(r"Python 3\.(\d+) to 3\.(\d+)", README).groups()
    python = f"  - python>=3.{low},<3.{int(high) + 1}  # "
    assert python in (ROOT / "environment.yml").read_text(encoding="utf-8")


def test_every_dependency_has_a_lower_bound_and_a_reason():
    block = re.search(
        r"^dependencies = \[\n(.*?)^\]", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.S | re.M
    )[1]
    assert all(re.fullmatch(r'\s*"[\w-]+>=[\d.]+",\s+# \S.*', line) for line in block.splitlines())


def test_constraints_name_every_dependency_exactly():
    pinned = dict(
        line.split("==")
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if not line.startswith("#")
    )
    names = {re.split(r"[>=]", d)[0].lower() for d in PROJECT["project"]["dependencies"]}
    assert names <= {name.lower() for name in pinned}


def test_make_help_lists_every_target():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.M)[1].split()
    command = ["make", "--no-print-directory", "help"]  # under `make test` it would say which folder it enters
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=True).stdout
    assert [line.split()[0] for line in shown.splitlines()] == phony


def test_readme_and_pyproject_count_the_models():
    n_models = f"{len(zoo.ENTRIES)} published models"
    assert n_models in README.replace("\n", " ")
    assert n_models in PROJECT["project"]["description"]


@pytest.mark.parametrize("name", ["make demo", "make test", "LICENSE", "CITATION.cff", "notebooks/03_train.ipynb"])
def test_the_readme_names(name):
    assert name in README


def test_no_file_is_large_and_no_path_of_a_machine_is_tracked():
    files = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, encoding="utf-8", check=True
    ).stdout.split("\n")
    for path in (ROOT / f for f in files if f and (ROOT / f).exists()):
        assert path.stat().st_size < 2_000_000, path
        assert str(Path.home()).encode() + b"/" not in path.read_bytes(), path
