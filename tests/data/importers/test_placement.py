"""An import that is killed at any moment leaves the old data set or the new one, and the same call succeeds again."""

import itertools
import os
import threading
import traceback

import numpy as np
import pytest
from annotation_files import build_csv
from forks import fork

from avalib.data.ava_csv import read_ava_csv
from avalib.data.importers import import_dataset, open_imported_dataset, placement
from avalib.data.importers.placement import IMPORTING, OWNER
from avalib.video.writer import write_mp4

OLD = ["a,0,6,8,20,40,walk", "a,1,6,8,20,40,fall", "b,0,6,8,20,40,walk", "b,1,6,8,20,40,fall"]
NEW = ["b,0,6,8,30,40,run", "b,1,6,8,30,40,run", "c,0,6,8,30,40,run", "c,1,6,8,30,40,run"]
KILLED = 9
FOREIGN_FILE = "proposals/by hand.csv"
MAX_RENAMES = 60


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("placement_videos")
    for name in "abc":
        write_mp4(folder / f"{name}.mp4", (np.full((48, 64, 3), 9 * frame, np.uint8) for frame in range(20)), 10)
    return folder


def write_source(folder, name, rows):
    path = folder / f"{name}.csv"
    path.write_text(build_csv(*rows), encoding="utf-8")
    return path


@pytest.fixture
def old_source(tmp_path):
    return write_source(tmp_path, "old", OLD)


@pytest.fixture
def new_source(tmp_path):
    return write_source(tmp_path, "new", NEW)


def import_killed_at(n_rename, *arguments, **options):
    """Import in a process that ends without clean-up at its n-th rename; returns its exit code."""
    child = fork()
    if child == 0:
        count = itertools.count(1)

        def kill_at_rename(function):
            def rename(*arguments, **options):
                return os._exit(KILLED) if next(count) == n_rename else function(*arguments, **options)

            return rename

        os.replace = kill_at_rename(os.replace)
        os.rename = kill_at_rename(os.rename)
        try:
            import_dataset(*arguments, **options)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def read_content(layout):
    """{name: content} of everything that was written but the manifest, whose source differs; {} for None."""
    content = {}
    for path in sorted(layout.root.rglob("*")) if layout else ():
        name = path.relative_to(layout.root).as_posix()
        if not path.is_dir() and not name.startswith((".", "cache/")) and name != "dataset.json":
            content[name] = os.readlink(path) if path.is_symlink() else path.read_bytes()
    return content


def list_hidden(root):
    """The names of hidden files and folders in a data set's folder and beside it."""
    return sorted(path.name for folder in (root.parent, root) for path in folder.glob(".*"))


def name_outcome(content, expected):
    """Which of the expected contents {name: content} this is; "none" if there is nothing."""
    if not content:
        return "none"
    return next((name for name, files in expected.items() if files == content), "a mixture")


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is killed by fork and _exit")
@pytest.mark.parametrize("replaces", [False, True], ids=["a new name", "over an old data set"])
def test_a_kill_at_any_rename_leaves_the_old_or_the_new(replaces, old_source, new_source, videos, tmp_path):
    expected = {
        name: read_content(import_dataset(source, "csv", tmp_path / name / "own", videos=videos))
        for name, source in (("old", old_source), ("new", new_source))
    }
    before = "old" if replaces else "none"
    outcomes = []
    code = KILLED
    while code == KILLED and len(outcomes) < MAX_RENAMES:
        root = tmp_path / str(len(outcomes)) / "own"
        if replaces:
            import_dataset(old_source, "csv", root, videos=videos)
            (root / FOREIGN_FILE).write_text("by hand", encoding="utf-8")
        code = import_killed_at(len(outcomes) + 1, new_source, "csv", root, videos=videos)
        assert code in (0, KILLED)

        content = read_content(open_imported_dataset(root))
        assert content.pop(FOREIGN_FILE, None) == (b"by hand" if replaces else None), (
            "a file that no import wrote stays"
        )
        outcomes.append(name_outcome(content, expected))

        again = read_content(import_dataset(new_source, "csv", root, videos=videos))
        again.pop(FOREIGN_FILE, None)
        assert again == expected["new"]
        assert list_hidden(root) == []
    assert len(outcomes) > 8
    assert outcomes[-1] == "new"
    assert set(outcomes) == {before, "new"}
    assert outcomes == sorted(outcomes, key=lambda name: name == "new"), "once it is the new one, it stays"


def test_a_folder_that_no_import_made_is_never_replaced(old_source, videos, tmp_path):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "thesis.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(ValueError, match="own: holds files that no import has written; choose another name"):
        import_dataset(old_source, "csv", tmp_path / "own", videos=videos)
    assert (tmp_path / "own" / "thesis.txt").read_text(encoding="utf-8") == "mine"


def test_videos_in_the_data_sets_own_folder_are_refused(old_source, videos, tmp_path):
    layout = import_dataset(old_source, "csv", tmp_path / "own", videos=videos)
    video = layout.videos / "a.mp4"
    video.unlink()
    video.write_bytes((videos / "a.mp4").read_bytes())
    with pytest.raises(ValueError, match=r"a\.mp4: is in the data set's own folder"):
        import_dataset(old_source, "csv", tmp_path / "own", videos=layout.videos)
    assert video.stat().st_size


def test_only_the_cache_of_the_same_videos_stays(old_source, new_source, videos, tmp_path):
    layout = import_dataset(old_source, "csv", tmp_path / "own", videos=videos)
    caches = {name: layout.root / "cache" / "short_32" / f"{name}.frames" for name in "ab"}
    for path in caches.values():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"frames")
    import_dataset(new_source, "csv", tmp_path / "own", videos=videos)
    assert {name: path.exists() for name, path in caches.items()} == {"a": False, "b": True}


@pytest.mark.slow
def test_two_imports_at_once_end_in_one_of_them(old_source, new_source, videos, tmp_path):
    errors = []

    def import_five_times(source):
        try:
            for _ in range(5):
                import_dataset(source, "csv", tmp_path / "own", videos=videos)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=import_five_times, args=(source,)) for source in (old_source, new_source)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    layout = open_imported_dataset(tmp_path / "own")
    tables = [read_ava_csv(layout.get_csv_path(split), "ground_truth") for split in ("train", "val")]
    assert {path.stem for path in layout.videos.iterdir()} == {name for table in tables for name in table.video_id}
    assert list_hidden(layout.root) == []


@pytest.fixture
def pending_import(old_source, videos, tmp_path):
    """(layout, the folder of an import into it that another host is moving)."""
    layout = import_dataset(old_source, "csv", tmp_path / "own", videos=videos)
    pending = layout.root / IMPORTING
    pending.mkdir()
    (pending / OWNER).write_text('{"host": "another", "pid": 7, "started": null}', encoding="utf-8")
    return layout, pending


def test_an_import_that_does_not_finish_is_named(pending_import, monkeypatch):
    layout, _ = pending_import
    monkeypatch.setattr(placement, "MOVE_TIMEOUT_S", 0.1)
    message = r"process 7 on another is importing it and does not finish.*remove .*owner\.json"
    with pytest.raises(TimeoutError, match=message):
        open_imported_dataset(layout.root)


def test_an_import_without_an_owner_is_finished(pending_import):
    layout, pending = pending_import
    (pending / OWNER).unlink()
    assert open_imported_dataset(layout.root) == layout
    assert not pending.exists()


@pytest.fixture
def without_manifest(old_source, videos, tmp_path):
    """The folder of a data set whose import was killed by version 0.1, before it wrote the manifest."""
    layout = import_dataset(old_source, "csv", tmp_path / "own", videos=videos)
    (layout.root / "dataset.json").unlink()
    return layout.root


def test_what_the_first_version_left_when_it_was_killed_is_replaced(without_manifest, old_source, videos):
    import_dataset(old_source, "csv", without_manifest, videos=videos)
    assert open_imported_dataset(without_manifest).get_csv_path("val").exists()


def test_a_folder_with_somebodys_videos_is_not_replaced(without_manifest, old_source, videos):
    video = without_manifest / "videos" / "holiday.mp4"
    video.write_bytes(b"mine")
    with pytest.raises(ValueError, match="holds files that no import has written"):
        import_dataset(old_source, "csv", without_manifest, videos=videos)
    assert video.exists()
