"""Downloads, against a real server on this machine that stalls, cuts, corrupts, forgets ranges and answers nonsense."""

import errno
import hashlib
import http.server
import os
import shutil
import sys
import threading

import numpy as np
import pytest

from avalib.utils.disk_space import DiskFullError
from avalib.utils.download import download_file, get_download_size
from avalib.utils.download_errors import DownloadError

CONTENT = np.random.default_rng(0).bytes(3 << 20)
DIGEST = hashlib.sha256(CONTENT).hexdigest()
HTML = b"<!DOCTYPE html><html><head><title>Please log in</title></head></html>"


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers with what `server.behaviours` says next ("ok" when it is empty); notes every request."""

    def do_GET(self):
        server = self.server
        server.requests.append((self.path, self.headers.get("Range")))
        behaviour = server.behaviours.pop(0) if server.behaviours else "ok"
        if behaviour in ("404", "403", "503", "429"):
            self.send_response(int(behaviour))
            if behaviour == "429":
                self.send_header("Retry-After", "0")
            self.end_headers()
            return
        body = {"html": HTML, "corrupt": CONTENT[:-1] + b"?"}.get(behaviour, server.content)
        start = self.send_head(body, behaviour)
        if start is None:
            return
        try:
            self.send(body[start:], behaviour)
        except ConnectionError:
            pass

    def send_head(self, body, behaviour):
        """Send the head. Returns where the body starts, None if the head is all."""
        requested = self.headers.get("Range")
        is_same_version = self.headers.get("If-Range") in (None, self.server.etag)
        start = 0
        if requested and is_same_version and behaviour not in ("no range", "html"):
            start = int(requested.removeprefix("bytes=").removesuffix("-"))
        if requested and start >= len(body):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(body)}")
            self.end_headers()
            return None
        self.send_response(206 if start else 200)
        if start:
            shown = start + 1 if behaviour == "wrong range" else start
            self.send_header("Content-Range", f"bytes {shown}-{len(body) - 1}/{len(body)}")
        if behaviour != "no length":
            self.send_header("Content-Length", str(len(body) - start))
        if self.server.etag:
            self.send_header("ETag", '"page"' if behaviour == "html" else self.server.etag)
        self.send_header("Content-Type", "text/html" if behaviour == "html" else "application/octet-stream")
        self.end_headers()
        return start

    def send(self, body, behaviour):
        if behaviour.startswith("cut"):
            body = body[: int(behaviour[4:])]
        if behaviour not in ("stall", "trickle"):
            self.wfile.write(body)
            return
        # no more than a byte now and then until the test ends
        self.wfile.write(body[:100_000])
        while not self.server.over.wait(0.05):
            if behaviour == "trickle":
                self.wfile.write(b"x")

    def log_message(self, *args):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("AVALIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("AVALIB_MIRROR", raising=False)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.behaviours = []
        server.requests = []
        server.etag = '"one"'
        server.content = CONTENT
        server.over = threading.Event()
        server.url = f"http://127.0.0.1:{server.server_port}/models/net-{DIGEST[:8]}.pth"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.over.set()
        server.shutdown()
        thread.join()


def download(server, **options):
    options = {"timeout_s": 60, "backoff_s": 0.01, "progress": False} | options
    return download_file(options.pop("url", server.url), **options)


def get_part_path(path):
    return path.with_name(path.name + ".part")


def test_a_file_arrives_whole_and_is_kept(server, tmp_path):
    path = download(server, sha256=DIGEST[:8])
    assert path.read_bytes() == CONTENT
    assert path.is_relative_to(tmp_path / "cache") and path.name == f"net-{DIGEST[:8]}.pth"
    assert download(server, sha256=DIGEST[:8]) == path and len(server.requests) == 1
    assert [p.name for p in path.parent.iterdir()] == [path.name]  # no part, no notes left


def test_equal_names_of_two_servers_or_queries_are_two_files(server):
    paths = {
        download(server),
        download(server, url=server.url + "?v=2"),
        download(server, url=server.url.replace("models", "other")),
    }
    assert len(paths) == 3


def test_a_cut_connection_is_resumed_where_it_ended(server):
    server.behaviours = ["cut 1000000", "cut 500000"]
    assert download(server, sha256=DIGEST).read_bytes() == CONTENT
    assert [r for _, r in server.requests] == [None, "bytes=1000000-", "bytes=1500000-"]


def test_the_next_call_goes_on_with_an_interrupted_download(server):
    server.behaviours = ["cut 1000000"] + ["503"] * 3
    with pytest.raises(DownloadError, match=r"given up after 2 attempts.*1,000,000 bytes are kept"):
        download(server, retries=1)
    server.behaviours, server.requests = [], []
    assert download(server).read_bytes() == CONTENT
    assert [r for _, r in server.requests] == ["bytes=1000000-"]


def test_a_changed_file_is_not_spliced(server):
    server.behaviours = ["cut 1000000"] + ["503"]
    with pytest.raises(DownloadError):
        download(server, retries=0)
    server.behaviours, server.etag, server.content = [], '"two"', bytes(len(CONTENT))
    assert download(server).read_bytes() == server.content


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_without_a_version_or_a_hash_it_starts_again(server, etag):
    server.etag, server.behaviours = etag, ["cut 1000000"]
    assert download(server).read_bytes() == CONTENT
    assert [r for _, r in server.requests] == [None, None]


@pytest.mark.parametrize("behaviour", ["no range", "wrong range"])
def test_a_server_that_gets_ranges_wrong(server, behaviour):
    server.behaviours = ["cut 1000000", behaviour]
    assert download(server, sha256=DIGEST).read_bytes() == CONTENT


@pytest.mark.slow
@pytest.mark.parametrize("behaviour", ["stall", "trickle"])
def test_a_stalled_server_is_noticed(server, behaviour):
    server.behaviours = [behaviour]
    # the server never ends its first answer; many retries, as on a busy machine the next one may be late, too
    assert download(server, sha256=DIGEST, timeout_s=0.5, retries=100).read_bytes() == CONTENT
    assert len(server.requests) >= 2


def test_a_part_that_is_already_whole(server):
    path = download(server)
    path.rename(get_part_path(path))
    assert download(server, sha256=DIGEST).read_bytes() == CONTENT
    get_part_path(path).write_bytes(CONTENT + b"more")
    path.unlink()
    assert download(server, sha256=DIGEST).read_bytes() == CONTENT


def test_a_part_of_something_else_is_found_out_by_the_hash(server):
    path = download(server)
    get_part_path(path).write_bytes(b"something else altogether")
    path.unlink()
    assert download(server, sha256=DIGEST).read_bytes() == CONTENT
    assert [r for _, r in server.requests] == [None, "bytes=25-", None]


def test_a_wrong_hash_is_an_error_and_leaves_nothing(server, tmp_path):
    server.behaviours = ["corrupt"]
    with pytest.raises(DownloadError, match=f"does not begin with {DIGEST[:8]}"):
        download(server, sha256=DIGEST[:8])
    assert not [p for p in (tmp_path / "cache").rglob("net*") if p.is_file()]


def test_a_file_damaged_in_the_cache_is_fetched_again_and_said(server, capsys):
    path = download(server)
    path.write_bytes(CONTENT[:1000])
    assert download(server, sha256=DIGEST[:8]).read_bytes() == CONTENT
    assert "downloaded again" in capsys.readouterr().out


def test_a_web_page_instead_of_the_file(server):
    server.behaviours = ["html"]
    with pytest.raises(DownloadError, match=r"web page \('Please log in'\) instead of the file"):
        download(server, sha256=DIGEST)
    assert len(server.requests) == 1


def test_a_web_page_does_not_cost_the_part(server):
    server.behaviours = ["cut 1000000", "html"]  # the page comes with an ETag of its own
    with pytest.raises(DownloadError, match="web page"):
        download(server, sha256=DIGEST)
    assert download(server, sha256=DIGEST).read_bytes() == CONTENT
    assert server.requests[-1][1] == "bytes=1000000-"


@pytest.mark.parametrize("status", ["404", "403"])
def test_a_refusal_is_not_tried_again(server, status):
    server.behaviours = [status]
    with pytest.raises(DownloadError, match=f"HTTP {status}.*(moved|refused)"):
        download(server)
    assert len(server.requests) == 1


def test_a_busy_server_is_asked_again(server):
    server.behaviours = ["503", "429"]
    assert download(server).read_bytes() == CONTENT


def test_attempts_that_bring_much_do_not_use_up_the_retries(server):
    server.behaviours = ["cut 1048576"] * 2
    assert download(server, retries=1).read_bytes() == CONTENT


def test_no_server_at_all(server):
    with pytest.raises(DownloadError, match="given up after 2 attempts.*AVALIB_MIRROR"):
        download(server, url="http://127.0.0.1:1/net.pth", retries=1)


@pytest.mark.parametrize("url", ["net.pth", "ftp://server/net.pth", "http://server/"])
def test_what_is_no_address_of_a_file(server, url):
    with pytest.raises(DownloadError, match="not the http"):
        download(server, url=url)


def test_an_address_cannot_leave_the_cache(server, tmp_path):
    path = download(server, url=server.url.replace("models", "../../%2e%2e/x"))
    assert path.resolve().is_relative_to(tmp_path / "cache")


def test_a_mirror_folder_by_path_or_by_name(server, tmp_path):
    for place in ("models", "."):
        mirror = tmp_path / f"mirror {place}"
        (mirror / place).mkdir(parents=True)
        (mirror / place / f"net-{DIGEST[:8]}.pth").write_bytes(CONTENT)
        assert download(server, mirror=mirror, sha256=DIGEST).read_bytes() == CONTENT
    with pytest.raises(DownloadError, match="sha256"):
        download(server, mirror=mirror, sha256="00000000")
    assert not server.requests


def test_a_mirror_folder_without_the_file_does_not_go_elsewhere(server, tmp_path, monkeypatch):
    monkeypatch.setenv("AVALIB_MIRROR", str(tmp_path))
    with pytest.raises(DownloadError, match="the mirror has neither"):
        download(server)
    assert not server.requests


def test_a_mirror_server_by_path_then_by_name(server):
    server.behaviours = ["404"]
    base = server.url.split("/models")[0] + "/copy/"
    path = download(server, url="http://download.invalid/models/a.pth", mirror=base)
    assert path.read_bytes() == CONTENT
    assert [p for p, _ in server.requests] == ["/copy/models/a.pth", "/copy/a.pth"]


def test_two_at_once_download_once(server):
    paths = []
    threads = [threading.Thread(target=lambda: paths.append(download(server, sha256=DIGEST))) for _ in range(3)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert len(set(paths)) == 1 and len(server.requests) == 1


def test_a_full_disk_is_said_before(server, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1_000_000})())
    with pytest.raises(DiskFullError, match=r"3\.1 MB are needed, 1\.0 MB are free.*AVALIB_CACHE"):
        download(server)


def test_a_disk_that_fills_up_on_the_way(server, monkeypatch):
    def full(number):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DownloadError, match="the disk is full"):
        download(server)


def test_without_a_length_the_hash_decides(server):
    server.behaviours = ["no length"]
    assert download(server, sha256=DIGEST).read_bytes() == CONTENT


def test_a_place_of_ones_own_and_the_bar(server, tmp_path, capsys):
    path = download(server, path=tmp_path / "here" / "a.bin", progress=True)
    assert path == tmp_path / "here" / "a.bin" and path.read_bytes() == CONTENT
    assert "3.00M/3.00M" in capsys.readouterr().err


def test_a_download_can_be_stopped_and_goes_on(server):
    stop = threading.Event()
    stop.set()
    with pytest.raises(DownloadError, match="stopped; [0-9,]+ bytes are kept"):
        download(server, stop=stop)
    assert download(server).read_bytes() == CONTENT
    assert server.requests[-1][1].startswith("bytes=")


def test_sizes_are_asked_for_without_raising(server):
    assert get_download_size(server.url) is None  # this server knows no HEAD
    assert get_download_size("http://127.0.0.1:1/net.pth", timeout_s=1) is None


def test_without_locks_a_file_arrives_too(server, monkeypatch):
    monkeypatch.setitem(sys.modules, "fcntl", None)  # its import fails, as on Windows
    assert download(server, sha256=DIGEST).read_bytes() == CONTENT


def test_an_empty_file_in_the_cache_is_fetched_again(server):
    path = download(server)
    path.write_bytes(b"")
    assert download(server).read_bytes() == CONTENT
