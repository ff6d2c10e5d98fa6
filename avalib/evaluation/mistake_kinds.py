"""The kinds of mistakes that the error analysis tells apart."""

from enum import IntEnum


class Kind(IntEnum):
    """What a detection in a ranking is, or a ground-truth box without a detection (MISSED)."""

    TRUE_POSITIVE = 0
    BACKGROUND = 1
    LOCALIZATION = 2
    CLASSIFICATION = 3
    RANKING = 4
    MISSED = 5


FALSE_POSITIVES = (Kind.BACKGROUND, Kind.LOCALIZATION, Kind.CLASSIFICATION, Kind.RANKING)
MISTAKES = tuple(kind.name.lower() for kind in (*FALSE_POSITIVES, Kind.MISSED))
