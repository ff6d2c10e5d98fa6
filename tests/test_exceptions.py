"""Every exception class of the package derives from AvalibError, so that one `except` catches them all."""

import ast
import importlib
from pathlib import Path

import pytest

from avalib.utils import errors
from avalib.utils.errors import AvalibError

ROOT = Path(__file__).parents[1]
NOT_FOR_USERS = {
    "Stopped": "a KeyboardInterrupt: `except Exception` must not swallow Ctrl-C",
    "RetryableError": "caught inside utils by the loop that tries a download again",
    "_DamagedPacketError": "caught inside video by the decoder, which starts again from another packet",
}


def list_exceptions():
    """{class name: module} of all exception classes at the top of a module."""
    exceptions = {}
    for path in sorted((ROOT / "avalib").rglob("*.py")):
        module_name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            bases = [ast.unparse(base) for base in getattr(node, "bases", [])]
            if any(base.endswith(("Error", "Exception", "Interrupt", "Stopped")) for base in bases):
                exceptions[node.name] = module_name
    return exceptions


EXCEPTIONS = list_exceptions()


@pytest.mark.parametrize("name", sorted(set(EXCEPTIONS) - set(NOT_FOR_USERS)))
def test_exception_derives_from_avalib_error(name):
    exception = getattr(importlib.import_module(EXCEPTIONS[name]), name)
    assert issubclass(exception, AvalibError)


def test_the_exceptions_to_the_rule_exist():
    assert set(NOT_FOR_USERS) <= set(EXCEPTIONS)


def test_the_base_class_lists_all_exceptions_with_their_modules():
    listed = {}  # {class name: module}
    for line in (errors.__doc__ or "").splitlines():
        module_name, _, names = line.strip().partition("  ")
        listed |= dict.fromkeys(names.replace(",", " ").split(), f"avalib.{module_name}")
    expected = {name: EXCEPTIONS[name] for name in set(EXCEPTIONS) - set(NOT_FOR_USERS) - {"AvalibError"}}
    assert listed == expected
