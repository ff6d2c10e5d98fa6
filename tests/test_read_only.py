"""Data and caches on disks that can't be written, as clusters mount them: a read must not need a write."""

import hashlib
import os
import shutil

import fake_ava_server
import numpy as np
import permissions
import pytest

from avalib.data.ava_download import download_ava
from avalib.data.ava_source import SERVERS
from avalib.data.importers.dataset_import import import_dataset
from avalib.data.layout import DatasetLayout
from avalib.utils.files import write_bytes, write_text
from avalib.video.frame_cache_builder import build_frame_caches
from avalib.video.frame_source import open_video
from avalib.video.writer import write_mp4

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has other rights")
QUIET = {"timeout_s": 2, "backoff_s": 0.01, "retries": 1, "progress": False}


@pytest.fixture
def own_tiny(tiny, tmp_path):
    """A copy of the tiny data set that this test may make read-only."""
    root = tmp_path / "tiny"
    shutil.copytree(tiny.root, root)
    return DatasetLayout(root, "mini")


def test_permissions_are_obeyed_here(tmp_path):
    with permissions.read_only(tmp_path):
        assert permissions.is_obeyed(tmp_path)


@pytest.fixture(scope="module")
def long_video(tmp_path_factory):
    """(layout, video_id) of one video of more than 5,000 packets, without annotations."""
    layout = DatasetLayout(tmp_path_factory.mktemp("long"), "mini")
    grey = (np.full((32, 32, 3), n % 256, np.uint8) for n in range(5100))
    write_mp4(layout.videos / "long.mp4", grey, 30, preset="ultrafast")
    return layout, "long"


@pytest.mark.slow
def test_a_long_video_is_read_although_its_index_cannot_be_kept(long_video):
    layout, name = long_video
    code = (
        "import pandas as pd\nfrom avalib.data.layout import DatasetLayout\n"
        "from avalib.video.dataset_frames import find_missing_keyframes\n"
        "from avalib.video.frame_source import FrameSource, open_video\n"
        "layout = DatasetLayout(sys.argv[1], 'mini')\n"
        "with open_video(layout, sys.argv[2]) as opened:\n"
        "    print(opened.n_ava_frames, opened.read_ava_frames([5000]).shape)\n"
        "rows = pd.DataFrame({'video_id': [sys.argv[2]] * 2, 'timestamp': [902.0, 1000.0]})\n"
        "print(len(find_missing_keyframes(FrameSource(layout), rows)))\n"
    )
    with permissions.read_only(layout.root):
        assert permissions.run(code, layout.root, name) == "5100 (1, 32, 32, 3)\n0\n"
    open_video(layout, name).close()
    assert (layout.root / "cache" / "index" / f"{name}.npz").is_file(), "where it can be kept, it is"


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and no more", None], ids=["empty", "torn", "of another version"])
def test_a_damaged_index_is_made_anew(long_video, content):
    layout, name = long_video
    index = layout.root / "cache" / "index" / f"{name}.npz"
    with open_video(layout, name) as opened:
        expected = opened.ava_index
    if content is None:
        np.savez(index, pts=np.arange(3), older=np.arange(3))
    else:
        index.write_bytes(content)
    with open_video(layout, name) as opened:
        assert np.array_equal(opened.ava_index, expected)
    with np.load(index) as arrays:
        assert set(arrays) == set(opened.packet_index._fields)


@pytest.mark.slow
def test_a_cache_that_cannot_be_written_is_done_without(own_tiny):
    names = sorted(path.stem for path in own_tiny.videos.iterdir())
    build_frame_caches(own_tiny, names[:1], 48, workers=1, progress=False)
    code = (
        "import dataclasses\nfrom avalib import zoo\nfrom avalib.data.keyframe_table import load_keyframes\n"
        "from avalib.data.layout import DatasetLayout\nfrom avalib.utils.console import show_log_messages\n"
        "from avalib.video.dataset_frames import open_frames\nshow_log_messages()\n"
        "layout = DatasetLayout(sys.argv[1], 'mini')\n"
        "recipe = dataclasses.replace(zoo.get_recipe(zoo.get('slowonly_r50'), 'mini'), cache_short_side=48)\n"
        "keyframes = [load_keyframes(layout, split) for split in ('train', 'val')]\n"
        "source = open_frames(layout, recipe, keyframes, progress=False)\n"
        "print(len(source.missing_keyframes), [source.get_path(v).suffix for v in sys.argv[2:]])\n"
        "print([source.get_reader(v).read_ava_frames([1]).shape[1] for v in sys.argv[2:]])\n"
    )
    with permissions.read_only(own_tiny.root):
        out = permissions.run(code, own_tiny.root, *names)
    assert "can't be written: frames of 2 videos are read from their files" in out
    assert "0 ['.frames', '.m" in out and "[48, 240, 240]" in out


@pytest.mark.slow
def test_a_rendered_data_set_and_its_checkup(own_tiny):
    code = (
        "from avalib.data.synthetic.generate import render_dataset\nfrom avalib.data.validation import check\n"
        "layout = render_dataset(sys.argv[1], 'tiny', 0, progress=False)\n"
        "print(check(layout, progress=False).verdict)\n"
    )
    with permissions.read_only(own_tiny.root):
        assert permissions.run(code, own_tiny.root).startswith("All right: 3 videos")


@pytest.mark.slow
def test_a_rendering_that_cannot_be_written_is_not_begun(own_tiny):
    next(own_tiny.videos.iterdir()).unlink()
    code = (
        "from avalib.data.synthetic.generate import render_dataset\n"
        "try:\n    render_dataset(sys.argv[1], 'tiny', 0, progress=False)\n"
        "except PermissionError as error:\n    print(error)\n"
    )
    with permissions.read_only(own_tiny.root):
        assert "can't be written, and 1 of 3 videos are missing" in permissions.run(code, own_tiny.root)


@pytest.mark.slow
def test_a_data_set_of_ones_own(tiny, tmp_path):
    name = next(tiny.videos.glob("*.mp4")).stem
    rows = "".join(f"{name},{second},0.1,0.1,0.5,0.5,1,0\n" for second in range(1, 5))
    source = write_text(tmp_path / "own.csv", rows)
    root = tmp_path / "stumbles"
    import_dataset(source, "ava", root, videos=tiny.videos, label_map={1: "fall"})
    code = (
        "from avalib.data.ava_csv import read_ava_csv\nfrom avalib.data.catalog import prepare\n"
        "from avalib.video.dataset_frames import find_missing_keyframes\n"
        "from avalib.video.frame_source import FrameSource\n"
        "layout = prepare('stumbles', root=sys.argv[1])\n"
        "table = read_ava_csv(layout.get_csv_path('train'), 'ground_truth')\n"
        "print(len(find_missing_keyframes(FrameSource(layout), table[['video_id', 'timestamp']])))\n"
    )
    with permissions.read_only(root):
        assert permissions.run(code, root).endswith("0\n")


@pytest.mark.slow
def test_the_real_ava_that_is_complete(tiny, tmp_path):
    fake_ava_server.publish(tiny, tmp_path / "servers")
    layout = DatasetLayout(tmp_path / "ava", "v2.1")
    download_ava(layout, dict.fromkeys(SERVERS, tmp_path / "servers"), **QUIET)
    code = (
        "from avalib.data.ava_download import download_ava\nfrom avalib.data.catalog import prepare\n"
        "from avalib.data.layout import DatasetLayout\nfrom avalib.utils.console import show_log_messages\n"
        "show_log_messages()\nprepare('ava2.1', root=sys.argv[1], progress=False)\n"
        "record = download_ava(DatasetLayout(sys.argv[1], 'v2.1'), progress=False)\n"
        "print(record['videos'])\n"
    )
    with permissions.read_only(tmp_path / "ava"):
        out = permissions.run(code, tmp_path / "ava", AVALIB_CACHE=tmp_path / "cache")
    assert "the record is not written" in out and out.endswith("3\n")


@pytest.mark.parametrize("locks", [True, False], ids=["with old locks", "without locks"])
def test_a_cached_checkpoint_is_used(tmp_path, locks):
    cache = tmp_path / "cache"
    path = write_bytes(cache / "server" / "models" / "net.pth", b"weights")
    if locks:
        name = hashlib.sha256(str(path.absolute()).encode()).hexdigest()[:16]
        write_bytes(cache / "locks" / name, b"")
    code = (
        "from avalib.utils.download import download_file\n"
        "for digest in (None, sys.argv[1]):\n    print(download_file('http://server/models/net.pth', digest))\n"
    )
    with permissions.read_only(cache):
        out = permissions.run(code, hashlib.sha256(b"weights").hexdigest()[:8], AVALIB_CACHE=cache)
    assert out == f"{path}\n" * 2


def test_what_is_not_in_a_read_only_cache_is_an_error_that_says_what_to_do(tmp_path):
    code = (
        "from avalib.utils.download import DownloadError, download_file\n"
        "try:\n    download_file('http://server/models/net.pth', progress=False)\n"
        "except DownloadError as error:\n    print(error)\n"
    )
    with permissions.read_only(tmp_path):
        out = permissions.run(code, AVALIB_CACHE=tmp_path / "cache")
    assert "can't be written" in out and "AVALIB_CACHE" in out


@pytest.mark.slow
def test_a_home_that_cannot_be_written(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    code, settings = "import avalib.draw, avalib.detection.detect_video\nprint('imported')\n", home / "matplotlib"
    with permissions.read_only(home):
        assert permissions.run(code, HOME=home, XDG_CACHE_HOME=home, MPLCONFIGDIR=settings) == "imported\n"
