"""The public names have complete type hints and numpy-style docstrings."""

import inspect

import pytest

import avalib
import avalib.draw
import avalib.zoo


def list_public_names():
    """{name as a user writes it: function or class}; constants are left out."""
    packages = [(avalib, avalib._PUBLIC), (avalib.zoo, avalib.zoo.__all__), (avalib.draw, avalib.draw.__all__)]
    public = {}
    for package, names in packages:
        for name in names:
            value = getattr(package, name)
            if inspect.isfunction(value) or inspect.isclass(value):
                public[f"{package.__name__}.{name}"] = value
    return public


PUBLIC = list_public_names()
each_public_name = pytest.mark.parametrize("name", PUBLIC)


def returns_something(value):
    """Whether it is a function that returns, or yields, a value."""
    return inspect.isfunction(value) and inspect.signature(value).return_annotation is not None


@each_public_name
def test_annotations_are_complete(name):
    signature = inspect.signature(PUBLIC[name])
    missing = [parameter.name for parameter in signature.parameters.values() if parameter.annotation is parameter.empty]
    if inspect.isfunction(PUBLIC[name]) and signature.return_annotation is signature.empty:
        missing.append("return")
    assert missing == []


@each_public_name
def test_docstring_has_parameters(name):
    parameters = inspect.signature(PUBLIC[name]).parameters
    docstring = inspect.getdoc(PUBLIC[name]) or ""
    assert not parameters or "Parameters\n----------\n" in docstring


@each_public_name
def test_docstring_names_every_parameter(name):
    docstring = inspect.getdoc(PUBLIC[name]) or ""
    # The lines of the section "Parameters" that aren't indented: "a, b : int", "**options"
    section = docstring.partition("Parameters\n----------\n")[2].partition("\n\n")[0]
    heads = [line.partition(" : ")[0] for line in section.splitlines() if not line.startswith(" ")]
    documented = {word.strip(" *") for head in heads for word in head.split(",")}
    assert set(inspect.signature(PUBLIC[name]).parameters) - documented == set()


@each_public_name
def test_docstring_has_returns(name):
    docstring = inspect.getdoc(PUBLIC[name]) or ""
    has_section = "Returns\n-------\n" in docstring or "Yields\n------\n" in docstring
    assert has_section or not returns_something(PUBLIC[name])
