"""An import that is killed at any moment leaves the old data set or the new one, and the same call succeeds again."""

import itertools
import os
import threading
import traceback

import numpy as np
import pytest
from forks import fork

from avalib.data.ava_csv import read_ava_csv
from avalib.data.importers import placement
from avalib.data.importers.dataset_import import import_dataset, open_imported_dataset
from avalib.data.importers.placement import IMPORTING, OWNER
from avalib.video.writer import write_mp4

OLD = ["a,0,6,8,20,40,walk", "a,1,6,8,20,40,fall", "b,0,6,8,20,40,walk", "b,1,6,8,20,40,fall"]
NEW = ["b,0,6,8,30,40,run", "b,1,6,8,30,40,run", "c,0,6,8,30,40,run", "c,1,6,8,30,40,run"]


def killed_import(n, *arguments, **options):
    """Import in a process that ends without clean-up at its n-th rename; its exit code, 9 if it came so far."""
    child = fork()
    if child == 0:
        count = itertools.count(1)

        def dying(function):
            return lambda *args, **kwargs: os._exit(9) if next(count) == n else function(*args, **kwargs)

        os.replace, os.rename = dying(os.replace), dying(os.rename)
        try:
            import_dataset(*arguments, **options)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vids")
    for name in "abc":
        write_mp4(folder / f"{name}.mp4", (np.full((48, 64, 3), 9 * k, np.uint8) for k in range(20)), 10)
    return folder


def source(folder, name, rows):
    path = folder / f"{name}.csv"
    path.write_text("video,time_s,x1,y1,x2,y2,action\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return path


def content(layout):
    """Everything that was written, by name."""
    found = {}
    for path in sorted(layout.root.rglob("*")):
        inside = path.relative_to(layout.root).as_posix()
        if not path.is_dir() and not inside.startswith((".", "cache/")):
            found[inside] = os.readlink(path) if path.is_symlink() else path.read_bytes()
    return found


def left_beside(root):
    return sorted(p.name for folder in (root.parent, root) for p in folder.glob(".*"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is killed by fork and _exit")
@pytest.mark.parametrize(
    "again", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["a new name", "over an old data set"]
)
def test_a_kill_at_any_rename_leaves_the_old_or_the_new(again, videos, tmp_path):
    old, new = source(tmp_path, "old", OLD), source(tmp_path, "new", NEW)
    expected = {}
    for name, path in (("old", old), ("new", new)):
        expected[name] = content(import_dataset(path, "csv", tmp_path / name / "own", videos=videos))
        expected[name].pop("dataset.json")
    outcomes = []
    for n in range(1, 60):
        root = tmp_path / str(n) / "own"
        if again:
            import_dataset(old, "csv", root, videos=videos)
            (root / "proposals" / "by hand.csv").write_text("kept", encoding="utf-8")
        code = killed_import(n, new, "csv", root, videos=videos)
        assert code in (0, 9)
        opened = open_imported_dataset(root)
        found = content(opened) if opened else {}
        found.pop("dataset.json", None)
        kept = found.pop("proposals/by hand.csv", b"" if not opened or not again else None)
        outcomes.append(next((name for name, files in {**expected, None: {}}.items() if files == found), "a mixture"))
        assert kept in (b"", b"kept"), "a file that somebody put there"
        assert code == 9 or outcomes[-1] == "new"
        last = content(import_dataset(new, "csv", root, videos=videos))
        last.pop("proposals/by hand.csv", None)
        assert last.pop("dataset.json") and last == expected["new"]
        assert left_beside(root) == []
        if code == 0:
            break
    else:
        raise AssertionError("the import never ended")
    assert len(outcomes) > 8
    assert set(outcomes) == ({"old", "new"} if again else {None, "new"})
    assert outcomes == sorted(outcomes, key=lambda name: name == "new"), "once it is the new one, it stays"


def test_what_no_import_made_is_never_replaced(videos, tmp_path):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "thesis.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(ValueError, match="own: holds something else; choose another name"):
        import_dataset(source(tmp_path, "a", OLD), "csv", tmp_path / "own", videos=videos)
    assert (tmp_path / "own" / "thesis.txt").read_text(encoding="utf-8") == "mine"


def test_videos_in_the_data_sets_own_folder_are_refused(videos, tmp_path):
    path = source(tmp_path, "a", OLD)
    layout = import_dataset(path, "csv", tmp_path / "own", videos=videos)
    (layout.videos / "a.mp4").unlink()
    (layout.videos / "a.mp4").write_bytes((videos / "a.mp4").read_bytes())
    with pytest.raises(ValueError, match=r"a\.mp4: is in the data set's own folder"):
        import_dataset(path, "csv", tmp_path / "own", videos=layout.videos)
    assert (layout.videos / "a.mp4").stat().st_size


def test_a_cache_of_another_video_goes_and_that_of_the_same_stays(videos, tmp_path):
    layout = import_dataset(source(tmp_path, "old", OLD), "csv", tmp_path / "own", videos=videos)
    cached = [layout.root / "cache" / "short_32" / f"{name}.frames" for name in "ab"]
    for path in cached:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"frames")
    import_dataset(source(tmp_path, "new", NEW), "csv", tmp_path / "own", videos=videos)
    assert [path.exists() for path in cached] == [False, True]


def test_two_imports_at_once_end_in_one_of_them(videos, tmp_path):
    paths, faults = [source(tmp_path, name, rows) for name, rows in (("old", OLD), ("new", NEW))], []

    def run(path):
        try:
            for _ in range(5):
                import_dataset(path, "csv", tmp_path / "own", videos=videos)
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=run, args=(path,)) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    layout = open_imported_dataset(tmp_path / "own")
    names = {p.stem for p in layout.videos.iterdir()}
    tables = [read_ava_csv(layout.get_csv_path(split), "ground_truth") for split in ("train", "val")]
    assert names == {v for table in tables for v in table.video_id} and left_beside(layout.root) == []


def test_an_import_that_is_going_on_is_waited_for(videos, tmp_path, monkeypatch):
    layout = import_dataset(source(tmp_path, "old", OLD), "csv", tmp_path / "own", videos=videos)
    pending = layout.root / IMPORTING
    pending.mkdir()
    (pending / OWNER).write_text('{"host": "another", "pid": 7, "started": null}', encoding="utf-8")
    monkeypatch.setattr(placement, "MOVE_TIMEOUT_S", 0.1)
    with pytest.raises(
        TimeoutError, match=r"process 7 on another is importing it and does not finish.*remove .*owner\.json"
    ):
        open_imported_dataset(layout.root)
    (pending / OWNER).unlink()
    assert open_imported_dataset(layout.root) == layout and not pending.exists()


@pytest.fixture
def imported_twice(videos, tmp_path):
    """(the folder of a data set, a function that imports it again)."""
    root, path = tmp_path / "own", source(tmp_path, "old", OLD)
    import_dataset(path, "csv", root, videos=videos)
    return root, lambda: import_dataset(path, "csv", root, videos=videos)


def test_what_the_first_version_left_when_it_was_killed_is_replaced(imported_twice):
    root, again = imported_twice
    (root / "dataset.json").unlink()
    again()
    assert open_imported_dataset(root).get_csv_path("val").exists()


def test_a_folder_with_somebodys_videos_is_not_replaced(imported_twice):
    root, again = imported_twice
    (root / "dataset.json").unlink()
    (root / "videos" / "holiday.mp4").write_bytes(b"mine")
    with pytest.raises(ValueError, match="holds something else"):
        again()
    assert (root / "videos" / "holiday.mp4").exists()
