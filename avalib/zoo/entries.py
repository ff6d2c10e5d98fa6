"""All entries of the zoo, and how one is looked up."""

from collections.abc import Iterable
from fnmatch import fnmatchcase

from avalib.utils.suggest import suggest
from avalib.zoo.entry import ZooEntry
from avalib.zoo.mmaction_1x import MMACTION_1X
from avalib.zoo.mmaction_ava_kinetics import SLOWONLY_AVA_KINETICS
from avalib.zoo.mmaction_v0 import MMACTION_V0
from avalib.zoo.pyslowfast import PYSLOWFAST
from avalib.zoo.umt import UMT
from avalib.zoo.videomae import VIDEOMAE

ENTRIES = (*MMACTION_V0, *MMACTION_1X, *SLOWONLY_AVA_KINETICS, *PYSLOWFAST, *VIDEOMAE, *UMT)


def list_models(pattern: str = "*") -> list[str]:
    """List the aliases of the zoo's models.

    Parameters
    ----------
    pattern : str
        A shell pattern: "slowfast*", "*_r101". "*" lists all.

    Returns
    -------
    list of str
        In the published table's order.
    """
    return [entry.alias for entry in ENTRIES if fnmatchcase(entry.alias, pattern)]


def select_models(names: Iterable[str]) -> list[str]:
    """Select models by names and patterns.

    Parameters
    ----------
    names : iterable of str
        Aliases, full published names, and shell patterns of aliases ("slowfast*"; "*" selects all).

    Returns
    -------
    list of str
        Aliases, each once, in the order of the names; those of a pattern in the table's order.

    Raises
    ------
    KeyError
        There is no such model, or a pattern matches none.
    """
    aliases = []
    for name in names:
        if not any(character in name for character in "*?["):
            aliases.append(get(name).alias)
        elif matches := list_models(name):
            aliases += matches
        else:
            raise KeyError(f"no model matches {name!r}. There are: {', '.join(list_models())}")
    return list(dict.fromkeys(aliases))


def get(name: str) -> ZooEntry:
    """Get the entry of a model.

    Parameters
    ----------
    name : str
        An alias ("slowonly_r50") or a full published name.

    Returns
    -------
    ZooEntry

    Raises
    ------
    KeyError
        There is no such model. The message lists the aliases and suggests the nearest name.
    """
    for entry in ENTRIES:
        if name in (entry.alias, entry.name):
            return entry
    hint = suggest(name, list_models() + [entry.name for entry in ENTRIES], cutoff=0.4)
    raise KeyError(f"no model {name!r} in the zoo.{hint} There are: {', '.join(list_models())}")
