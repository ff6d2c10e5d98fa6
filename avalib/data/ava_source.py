"""Where AVA's files come from: the official servers, or mirrors."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from avalib.utils.download import download_file, get_download_size, is_url
from avalib.utils.download_errors import DownloadError
from avalib.utils.files import copy_file, link_or_copy

SERVERS = {
    "annotations": "https://research.google.com/ava/download",
    "names": "https://s3.amazonaws.com/ava-dataset/annotations",
    "videos": "https://s3.amazonaws.com/ava-dataset/trainval",
    "proposals": "https://download.openmmlab.com/mmaction/dataset/ava",
}
# of AVA-Kinetics; no server has single clips of Kinetics, or the boxes of the people in them
KINETICS_SERVERS = {"kinetics_annotations": "https://storage.googleapis.com/deepmind-media/Datasets"}
KINETICS_KINDS = ("kinetics_annotations", "kinetics", "kinetics_list", "kinetics_proposals")
SIZE_REQUESTS = 16  # at a time
MEASURED_FILES = 512  # whose sizes a server has to tell; the others are taken to be as large on average


@dataclass(frozen=True)
class AvaSource:
    """The locations of AVA's files, by kind (the keys of SERVERS): each a folder or a base URL."""

    locations: dict[str, str]
    options: dict = field(default_factory=dict)  # of download_file: progress, timeout_s, retries, backoff_s

    def fetch(self, kind: str, name: str, path: Path, link: bool = False, **options) -> Path:
        """Get a file to `path`.

        Parameters
        ----------
        kind : str
            A key of SERVERS.
        name : str
            The file's name at its location.
        path : Path
            Where it goes.
        link : bool
            Only link to a file in a mirror's folder, where the system can (for large files).
        **options
            Override those of the source.

        Raises
        ------
        DownloadError
            If it can't be downloaded, or isn't in the mirror's folder.
        """
        location = self.locations[kind]
        original = Path(location) / name
        if is_url(location):
            original = download_file(f"{location}/{name}", path=path, **(self.options | options))
            if original == path:
                return path  # else it is in the folder that AVALIB_MIRROR names
        # a folder, or a file that lies in the folder of AVALIB_MIRROR
        if not original.is_file():
            raise DownloadError(f"{original}: not in this mirror; put it there or leave the mirror out")
        return link_or_copy(original, path) if link else copy_file(original, path)

    def is_remote(self, kind: str) -> bool:
        """Whether the files of a kind are on a server."""
        return is_url(self.locations.get(kind, ""))

    def measure_bytes(self, kind: str, names: list[str]) -> float | None:
        """The total size of some files; None if the server reports the sizes of less than half of them."""
        location = self.locations[kind]
        if not is_url(location):
            paths = [Path(location) / name for name in names]
            return sum(path.stat().st_size for path in paths if path.is_file())
        sample = names[:: -(-len(names) // MEASURED_FILES) or 1]
        with ThreadPoolExecutor(SIZE_REQUESTS) as pool:
            sizes = list(pool.map(get_download_size, [f"{location}/{name}" for name in sample]))
        # some servers don't tell the size of some files
        reported = [size for size in sizes if size is not None]
        if len(reported) == len(names):
            return sum(sizes)
        if len(reported) < len(sample) / 2:
            return None
        return sum(reported) / len(reported) * len(names)  # assumes that the others are as large on average


def build_source(
    mirrors: dict[str, str] | None, servers: dict[str, str] = SERVERS, kinds: Iterable[str] = SERVERS, **options
) -> AvaSource:
    """The official servers, with mirrors in place of some. Raises ValueError for a kind of file not among `kinds`."""
    mirrors = {kind: str(location).rstrip("/") for kind, location in (mirrors or {}).items()}
    if unknown := [kind for kind in sorted(mirrors) if kind not in kinds]:
        raise ValueError(f"mirrors: {', '.join(unknown)} unknown; expected some of {', '.join(kinds)}")
    return AvaSource(servers | mirrors, options)
