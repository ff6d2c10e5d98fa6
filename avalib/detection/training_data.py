"""What a model was trained on, where that makes its scores on a video useless."""

from pathlib import Path

from avalib.data.layout import DatasetLayout

RENDERED = "mini"  # the version of the rendered data sets, as a checkpoint stores it
WARNING = (
    "the model was trained on rendered people (the mini-AVA): on real video its scores mean nothing; take the "
    "published weights (checkpoint='published', --checkpoint published)"
)


def describe_rendered_people(model: object, video: str | Path | None = None) -> str:
    """What to say about a model that knows rendered people only.

    Parameters
    ----------
    model : Detector
        Its `meta`, if it has one, says on what it was trained.
    video : str or Path, optional
        The video that it is used on; None: unknown, or a stream.

    Returns
    -------
    str
        "" for other models, and for the rendered videos of such a data set.
    """
    meta = getattr(model, "meta", None)
    if meta is None or meta.extra.get("dataset_version") != RENDERED:
        return ""
    is_rendered = video is not None and DatasetLayout(Path(video).parent.parent, RENDERED).label_map_path.is_file()
    return "" if is_rendered else WARNING
