"""The report of loading a checkpoint into a model: what happened to each tensor."""

from dataclasses import dataclass

MAX_NAMED_KEYS = 4  # in one line of a message
_SUFFIX_WITHIN_PART = r"(\.\d+\..*|\.(conv|bn)\..*|\.\w+)$"  # what a key has behind the name of its stage


def format_shape(shape):
    """(81, 2048) -> "81x2048"."""
    return "x".join(map(str, shape)) or "scalar"


def format_keys(keys):
    """The first keys, and how many follow."""
    omitted = len(keys) - MAX_NAMED_KEYS
    return ", ".join(keys[:MAX_NAMED_KEYS]) + (f", … {omitted} more" if omitted > 0 else "")


@dataclass(frozen=True)
class LoadReport:
    """How a file's tensors match a model's. Each key is in one field."""

    source: str  # the file's name
    model: str  # the entry's alias
    matched: tuple = ()
    missing: tuple = ()  # in the model, not in the file
    unexpected: tuple = ()  # in the file, not in the model
    wrong_shape: tuple = ()  # (key, the file's shape, the model's shape)
    initialized: tuple = ()  # the model's new head, where only the backbone is loaded; a ViT's table from its formula
    left_out: tuple = ()  # the file's head then
    notes: tuple = ()

    @property
    def ok(self):
        """Whether everything that has to fit fits."""
        return not (self.missing or self.unexpected or self.wrong_shape)

    def to_frame(self):
        """A DataFrame with a row per key: key, status, file_shape, model_shape (shapes only where they differ)."""
        import pandas as pd

        rows = []
        for status in ("matched", "missing", "unexpected", "initialized", "left_out"):
            rows += [(key, status.replace("_", " "), "", "") for key in getattr(self, status)]
        for key, file_shape, model_shape in self.wrong_shape:
            rows.append((key, "wrong shape", format_shape(file_shape), format_shape(model_shape)))
        return pd.DataFrame(rows, columns=["key", "status", "file_shape", "model_shape"])

    def count_by_part(self):
        """Counts: a row for each part of the network ("backbone.layer1", …), a column for each status."""
        import pandas as pd

        table = self.to_frame()
        part = table["key"].str.replace(_SUFFIX_WITHIN_PART, "", regex=True)
        counts = pd.crosstab(part, table["status"]).reindex(part.unique())
        return counts.rename_axis(index="part", columns=None)

    def __str__(self):
        n_tensors = len(self.matched) + len(self.missing) + len(self.wrong_shape) + len(self.initialized)
        lines = [f"{self.source} -> {self.model}: {len(self.matched)} of {n_tensors} tensors matched"]
        shapes = [
            f"{key} ({format_shape(file_shape)} in the file, {format_shape(model_shape)} in the model)"
            for key, file_shape, model_shape in self.wrong_shape
        ]
        keys_by_label = {
            "missing in the file": self.missing,
            "not in the model": self.unexpected,
            "of another shape": shapes,
            "newly initialized": self.initialized,
            "left out": self.left_out,
        }
        lines += [f"  {len(keys)} {label}: {format_keys(keys)}" for label, keys in keys_by_label.items() if keys]
        lines += [f"  {note}" for note in self.notes]
        return "\n".join(lines)
