"""manifest.json of a rendered data set: what was made from what, with hashes; rewritten after every video."""

import json

from avalib.utils.files import compute_sha256, write_json

VERSION = 7  # of the renderer: another one renders everything again
SPLITS = ("train", "val")


class RenderManifest:
    """The manifest in a data set's folder; raises ValueError for a folder of another size or seed."""

    def __init__(self, layout, size, seed):
        self.layout = layout
        self.path = layout.root / "manifest.json"
        header = {"dataset": "mini-AVA", "size": size, "seed": seed, "version": VERSION}
        self.content = header | {"videos": {}}
        if not self.path.exists():
            return
        content = json.loads(self.path.read_text(encoding="utf-8"))
        for key in ("size", "seed"):
            if content.get(key) != header[key]:
                raise ValueError(
                    f"{layout.root} holds {key} {content.get(key)!r}, expected {header[key]!r}; "
                    "choose another folder or delete this one"
                )
        # What an older renderer made counts as missing.
        if content["version"] == VERSION:
            self.content = content

    def has_video(self, spec):
        """Whether a video is in its place, as it was written."""
        entry = self.content["videos"].get(spec.video_id)
        path = self.layout.videos / spec.file_name
        return entry is not None and path.is_file() and path.stat().st_size == entry["bytes"]

    def has_tables(self):
        """Whether the annotation files are in their places, as they were written."""
        hashes = self.content.get("files", {})
        return bool(hashes) and all(
            path.is_file() and compute_sha256(path) == hashes.get(path.name) for path in self._list_tables()
        )

    def add_video(self, spec, entry):
        self.content["videos"][spec.video_id] = entry
        self._save()

    def finish(self, specs):
        """Record the annotation files, and the videos in the order of `specs`."""
        self.content["videos"] = {spec.video_id: self.content["videos"][spec.video_id] for spec in specs}
        self.content["files"] = {path.name: compute_sha256(path) for path in self._list_tables()}
        self._save()

    def _list_tables(self):
        layout = self.layout
        paths = []
        for split in SPLITS:
            paths += [layout.get_csv_path(split), layout.get_exclusions_path(split), layout.get_proposals_path(split)]
        return [*paths, layout.label_map_path, layout.evaluated_label_map_path]

    def _save(self):
        write_json(self.path, self.content)
