"""utils.files: files are whole or not there, whatever happens while they are written."""

import errno
import gzip
import os
import signal
import subprocess
import sys

import pytest

from avalib.utils.files import (
    atomic_path,
    atomic_write,
    check_not_input,
    join_inside,
    link_or_copy,
    write_bytes,
    write_text,
)
from avalib.utils.temporary_files import remove_abandoned_parts


def parts_in(folder):
    return [path for path in folder.iterdir() if ".part" in path.name]


def test_an_exception_keeps_the_old_content(tmp_path):
    path = write_text(tmp_path / "a.txt", "old")
    with pytest.raises(ValueError, match="in the middle"), atomic_write(path, "w") as file:
        file.write("new")
        raise ValueError("in the middle")
    assert path.read_text(encoding="utf-8") == "old"
    assert parts_in(tmp_path) == []


def test_a_kill_keeps_the_old_content(tmp_path):
    path = write_text(tmp_path / "a.txt", "old")
    code = (
        "import sys, time\nfrom avalib.utils import files\n"
        "with files.atomic_write(sys.argv[1], 'w') as file:\n"
        "    file.write('new')\n    file.flush()\n    print('writing', flush=True)\n    time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, encoding="utf-8")
    assert process.stdout.readline() == "writing\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert path.read_text(encoding="utf-8") == "old"
    [part] = parts_in(tmp_path)
    assert remove_abandoned_parts(tmp_path) == [part]
    assert parts_in(tmp_path) == []


def test_a_device_is_written_to_and_stays_one(tmp_path):
    pipe = tmp_path / "pipe"
    if not hasattr(os, "mkfifo"):
        pytest.skip("no named pipes here")
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_text(pipe, "text")
    assert os.read(reader, 100) == b"text"
    os.close(reader)
    assert pipe.is_fifo() and parts_in(tmp_path) == []


def test_a_link_stays_a_link(tmp_path):
    target = write_text(tmp_path / "elsewhere" / "a.txt", "old")
    link = tmp_path / "a.txt"
    link.symlink_to(target)
    write_text(link, "new")
    assert link.is_symlink() and target.read_text(encoding="utf-8") == "new"


@pytest.mark.parametrize("missing", [(), ("symlink",), ("symlink", "link")], ids=["linked", "hard link", "copied"])
def test_a_big_file_is_shown_without_links_too(tmp_path, monkeypatch, missing):
    """Windows allows symbolic links to administrators only."""

    def refused(*_):
        raise OSError(1314, "A required privilege is not held by the client")

    for name in missing:
        monkeypatch.setattr(os, name, refused)
    source = write_bytes(tmp_path / "mirror" / "a.mp4", b"video")
    path = link_or_copy(source, tmp_path / "videos" / "a.mp4")
    assert path.read_bytes() == b"video" and path.is_symlink() == (not missing)
    other = write_bytes(tmp_path / "mirror" / "b.mp4", b"other")
    assert link_or_copy(other, path).read_bytes() == b"other"
    assert source.read_bytes() == b"video" and parts_in(path.parent) == []


def test_a_gz_holds_text_or_bytes_once_packed(tmp_path):
    with atomic_write(tmp_path / "a.csv.gz", "w") as file:
        file.write("é,1\n")
    packed = gzip.compress(b"ready")
    assert gzip.decompress((tmp_path / "a.csv.gz").read_bytes()).decode() == "é,1\n"
    assert write_bytes(tmp_path / "b.gz", packed).read_bytes() == packed


@pytest.mark.parametrize("name", ["../a", "/etc/a", "a/../../b", "..", ".", "", "a\0b"])
def test_a_name_from_data_does_not_lead_outside(tmp_path, name):
    with pytest.raises(ValueError, match="plain name"):
        join_inside(tmp_path / "cache", name)


@pytest.mark.parametrize("name", ["a.npz", "a/b.npz", "...", "a..b", "é", "a/../b"])
def test_a_name_from_data_may_lead_inside(tmp_path, name):
    assert tmp_path / "cache" in join_inside(tmp_path / "cache", name).parents


def test_an_error_of_the_system_names_the_file_that_was_asked_for(tmp_path):
    with pytest.raises(OSError, match=r"'.*/a\.csv'"), atomic_path(tmp_path / "a.csv") as part:
        raise PermissionError(errno.EACCES, "Permission denied", str(part))


def test_an_output_must_not_be_an_input_whatever_its_spelling(tmp_path):
    video = write_text(tmp_path / "a.mp4", "film")
    link = tmp_path / "link.mp4"
    link.symlink_to(video)
    for path in (video, str(video), tmp_path / "folder" / ".." / "a.mp4", link):
        (tmp_path / "folder").mkdir(exist_ok=True)
        with pytest.raises(ValueError, match="this call reads that file, and writing would replace it"):
            check_not_input(path, None, "http://host/a.mp4", video)


def test_an_output_may_replace_another_file(tmp_path):
    old = write_text(tmp_path / "old.mp4", "earlier result")
    video = write_text(tmp_path / "a.mp4", "film")
    check_not_input(old, video, None, "best")
    check_not_input(tmp_path / "new.mp4", video, tmp_path / "new.mp4")
