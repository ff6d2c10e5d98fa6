"""Downloads from servers that break HTTP's rules, byte for byte as they answer, over real sockets."""

import contextlib
import gzip
import hashlib
import io
import json
import os
import re
import signal
import socketserver
import subprocess
import sys
import threading
import time
import zipfile

import numpy as np
import pytest

from avalib.utils.completeness import check_complete
from avalib.utils.disk_space import DiskFullError
from avalib.utils.download import download_file, get_download_size
from avalib.utils.download_errors import DownloadError

CONTENT = np.random.default_rng(0).bytes(30_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()
OK = b'HTTP/1.1 200 OK\r\nETag: "one"\r\n'


def make_answer(content=CONTENT, head=OK):
    return head + b"Content-Length: %d\r\n\r\n" % len(content) + content


def make_partial_answer(start, stop, content=CONTENT, etag=b'"one"', head=b"", total=None):
    """A 206 answer."""
    ranged = b"Content-Range: bytes %d-%d/%d\r\n" % (start, stop - 1, total or len(content))
    length = b"" if b"Content-Length" in head else b"Content-Length: %d\r\n" % (stop - start)
    tag = b"ETag: %s\r\n" % etag if etag else b""
    return b"HTTP/1.1 206 Partial Content\r\n" + tag + ranged + length + head + b"\r\n" + content[start:stop]


def make_cut_answer(stop=10_000):
    """A 200 answer whose connection ends early."""
    return make_answer()[: len(make_answer()) - len(CONTENT) + stop]


class Handler(socketserver.BaseRequestHandler):
    """Reads a request, sends the next of `server.answers` (bytes, or a function of the socket) and closes."""

    def handle(self):
        request = b""
        while b"\r\n\r\n" not in request and (received := self.request.recv(4096)):
            request += received
        server = self.server
        server.requests.append(request.decode())
        answer = server.answers.pop(0) if len(server.answers) > 1 else server.answers[0]
        with contextlib.suppress(OSError):
            answer(self.request, server) if callable(answer) else self.request.sendall(answer)


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("AVALIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("AVALIB_MIRROR", raising=False)
    socketserver.ThreadingTCPServer.allow_reuse_address = True
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.answers = []
        server.requests = []
        server.over = threading.Event()
        server.root = f"http://127.0.0.1:{server.server_address[1]}/"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.over.set()
        server.shutdown()
        thread.join()


def download(server, *answers, name="net.bin", **options):
    """Download a file from a server that gives these answers, the last one for ever. A busy machine may be slow."""
    server.answers = [*answers]
    options = {"timeout_s": 60, "backoff_s": 0.001, "retries": 2, "progress": False} | options
    return download_file(server.root + name, **options)


def list_ranges(server):
    """The Range header of each request."""
    found = [re.search(r"^Range: (.*)\r$", request, re.M) for request in server.requests]
    return [match[1] if match else None for match in found]


def list_files(tmp_path):
    return [path.name for path in tmp_path.rglob("*") if path.is_file() and path.parent.name != "locks"]


# --- ranges -----------------------------------------------------------------------------------------------------------


def test_a_total_in_content_range_is_read(server):
    """1.2 of 3 MB were taken as the file: the rest of the file has to be asked for."""
    path = download(server, make_cut_answer(), make_partial_answer(10_000, 20_000), make_partial_answer(20_000, 30_000))
    assert path.read_bytes() == CONTENT
    assert list_ranges(server) == [None, "bytes=10000-", "bytes=20000-"]


def test_a_total_that_is_never_reached_is_an_error(server, tmp_path):
    with pytest.raises(DownloadError, match="ended at 20,000 of 90,000"):
        download(
            server,
            make_partial_answer(0, 10_000, total=90_000),
            make_partial_answer(10_000, 20_000, total=90_000),
            retries=1,
        )
    assert not (tmp_path / "cache" / "net.bin").exists()


@pytest.mark.parametrize(
    "answer",
    [
        make_partial_answer(10_000, 30_000, content=bytes(30_000), etag=b'"two"'),
        make_partial_answer(10_000, 30_000, content=bytes(31_000), etag=b'"two"', total=31_000),
        make_partial_answer(10_000, 30_000, content=bytes(31_000), total=31_000),
        make_partial_answer(10_001, 30_000),
        make_partial_answer(9_999, 30_000),
        make_partial_answer(10_000, 30_000, head=b"Content-Length: 19000\r\n"),
        make_partial_answer(10_000, 30_000, total=20_000),
        b"HTTP/1.1 206 Partial Content\r\nContent-Length: 20000\r\n\r\n" + CONTENT[10_000:],
        b"HTTP/1.1 206 Partial Content\r\nContent-Range: lines 10000-29999/30000\r\n\r\n" + CONTENT[10_000:],
        b"HTTP/1.1 206 Partial Content\r\nContent-Type: multipart/byteranges; boundary=x\r\nContent-Length: 40\r\n\r\n"
        b"--x\r\nContent-Range: bytes 10000-29999/30000",
    ],
    ids=[
        "another etag",
        "another etag and size",
        "another size",
        "starts later",
        "starts earlier",
        "another length",
        "beyond its total",
        "no range named",
        "another unit",
        "multipart",
    ],
)
def test_a_wrong_rest_is_not_appended(server, answer):
    assert download(server, make_cut_answer(), answer, make_answer()).read_bytes() == CONTENT
    assert list_ranges(server) == [None, "bytes=10000-", None], "it starts again"


def test_another_date_is_another_file(server):
    dated = b"HTTP/1.1 200 OK\r\nLast-Modified: Mon, 02 Jan 2023 10:00:00 GMT\r\n"
    rest = make_partial_answer(
        10_000, 30_000, bytes(30_000), etag=None, head=b"Last-Modified: Tue, 03 Jan 2023 10:00:00 GMT\r\n"
    )
    answers = make_answer(head=dated)[: len(make_answer(head=dated)) - 20_000], rest, make_answer()
    assert download(server, *answers).read_bytes() == CONTENT


def test_a_partial_answer_to_a_whole_question(server):
    assert download(server, make_partial_answer(0, 30_000)).read_bytes() == CONTENT
    assert download(server, make_partial_answer(5, 30_000), make_answer(), name="b.bin").read_bytes() == CONTENT


def test_a_part_whose_note_is_anothers_is_not_resumed(server, tmp_path):
    with pytest.raises(DownloadError):
        download(server, make_cut_answer(), b"", retries=0)
    path = next((tmp_path / "cache").rglob("net.bin.part"))
    other = path.with_name("other")
    other.write_bytes(bytes(10_000))
    os.replace(other, path)  # as two processes without a lock could leave it
    server.requests.clear()
    assert download(server, make_answer()).read_bytes() == CONTENT
    assert list_ranges(server) == [None]


# --- bodies -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 202 Accepted\r\nContent-Length: 4\r\n\r\nsoon",
    ],
    ids=["length 0", "nothing", "no chunk", "204", "202"],
)
def test_an_answer_without_the_file(server, answer, tmp_path):
    with pytest.raises(DownloadError, match="empty file|without the file"):
        download(server, answer)
    assert list_files(tmp_path) == []
    assert download(server, answer, make_answer()).read_bytes() == CONTENT


PAGES = {
    "script": b"<script>location='/login'</script>",
    "comment": b"<!-- proxy -->\n<!-- more --><html>",
    "open comment": b"<!-- " + b"x" * 3000,
    "doctype": b"  \r\n<!DOCTYPE HTML PUBLIC>",
    "byte order mark": b"\xef\xbb\xbf<html>",
    "UTF-16": b"\xff\xfe" + "<!DOCTYPE html><title>hé</title>".encode("utf-16-le"),
    "xml": b'<?xml version="1.0"?><!DOCTYPE html><html>',
    "meta": b"<META http-equiv=refresh>",
    "title": b"<title>Sign in</title>",
}


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_a_web_page_is_not_the_file(server, page, tmp_path):
    with pytest.raises(DownloadError, match="a web page"):
        download(server, make_answer(page))
    assert list_files(tmp_path) == []


def test_a_web_page_that_comes_letter_by_letter(server):
    def send_slowly(sock, server):
        for letter in make_answer(PAGES["comment"]):
            sock.sendall(bytes([letter]))

    with pytest.raises(DownloadError, match="a web page"):
        download(server, send_slowly)


@pytest.mark.parametrize("content", [b'<?xml version="1.0"?><annotations/>', b"<svg/>", b"a,b\n1,2\n", b"<board/>"])
def test_what_only_looks_like_a_page_is_taken(server, content):
    assert download(server, make_answer(content)).read_bytes() == content


@pytest.mark.parametrize("encoding", [b"gzip", b"br", b"deflate", b"gzip, br"])
def test_a_packed_answer_is_refused(server, encoding):
    answer = make_answer(gzip.compress(CONTENT), OK + b"Content-Encoding: %s\r\n" % encoding)
    with pytest.raises(DownloadError, match=f"packed as {encoding.decode()}, although it was asked not to"):
        download(server, answer)


def test_a_gz_file_may_be_called_packed(server):
    content = gzip.compress(CONTENT)
    assert (
        download(server, make_answer(content, OK + b"Content-Encoding: gzip\r\n"), name="a.csv.gz").read_bytes()
        == content
    )


# --- lengths ----------------------------------------------------------------------------------------------------------


def make_chunked_answer(content, end=b"0\r\n\r\n"):
    return OK + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(content) + content + b"\r\n" + end


@pytest.mark.parametrize("end", [b"", b"5\r\nab", b"zz\r\n"], ids=["no last chunk", "half a chunk", "no number"])
def test_a_chunked_answer_that_is_cut(server, end):
    with pytest.raises(DownloadError, match="IncompleteRead"):
        download(server, make_chunked_answer(CONTENT[:9000], end), retries=0)
    assert download(server, make_chunked_answer(CONTENT)).read_bytes() == CONTENT


@pytest.mark.parametrize("length", [b"-5", b"abc", b"9" * 5000, b""], ids=["negative", "letters", "huge", "empty"])
def test_a_length_that_is_nonsense_is_not_believed(server, length, capsys):
    answer = OK + b"Content-Length: %s\r\n\r\n" % length + CONTENT
    assert download(server, answer, sha256=DIGEST).read_bytes() == CONTENT
    assert download(server, answer, name="b.bin").read_bytes() == CONTENT
    assert "b.bin: 30,000 bytes; neither length nor hash is known" in capsys.readouterr().out


def test_two_lengths(server):
    with pytest.raises(DownloadError, match="two lengths: 30000, 40000"):
        download(server, make_answer(head=OK + b"Content-Length: 40000\r\n"))


def test_a_length_beyond_any_disk(server):
    with pytest.raises(DiskFullError, match="100,000,000,000.0 MB are needed"):
        download(server, OK + b"Content-Length: 100000000000000000\r\n\r\nabc")


def build_checkpoint():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("archive/data/0", CONTENT)
    return buffer.getvalue()


def build_safetensors():
    head = json.dumps({"a": {"dtype": "U8", "shape": [30_000], "data_offsets": [0, 30_000]}}).encode()
    return len(head).to_bytes(8, "little") + head + CONTENT


def build_mp4():
    return b"\0\0\0\x10ftypisom\0\0\0\0\0\0\0\x08moov" + (30_008).to_bytes(4, "big") + b"mdat" + CONTENT


KINDS = {
    "net.pth": build_checkpoint(),
    "net.safetensors": build_safetensors(),
    "a.mp4": build_mp4(),
    "a.csv.gz": gzip.compress(CONTENT),
}


@pytest.mark.parametrize("name", KINDS)
def test_without_a_length_the_content_shows_a_cut(server, name, capsys):
    content = KINDS[name]
    closed = OK + b"\r\n" + content
    with pytest.raises(DownloadError, match="ended early"):
        download(server, closed[:-1000], name=name, retries=0)
    assert download(server, closed[:-1000], closed, name=name).read_bytes() == content
    assert "neither" not in capsys.readouterr().out


@pytest.mark.parametrize("name", KINDS)
def test_a_file_that_is_cut_on_the_server_is_said(server, name):
    with pytest.raises(DownloadError, match="as long as the server says, but .*server's own file is damaged"):
        download(server, make_answer(KINDS[name][:-1000]), name=name)


def test_completeness_of_every_cut(tmp_path):
    for name, content in KINDS.items():
        path = tmp_path / name
        path.write_bytes(content)
        assert check_complete(path)
        for stop in np.linspace(16, len(content) - 1, 20).astype(int):
            path.write_bytes(content[:stop])
            with pytest.raises(ValueError, match="cut short|promises|not whole|read"):
                check_complete(path)


# --- heads ------------------------------------------------------------------------------------------------------------


def trickle_head(sock, server):
    sock.sendall(b"HTTP/1.1 200 OK\r\nX: ")
    while not server.over.wait(0.05):
        sock.sendall(b"x")


@pytest.mark.slow
def test_a_head_that_never_ends_is_given_up(server):
    with pytest.raises(DownloadError, match="no complete answer after 0.4 s"):
        download(server, trickle_head, timeout_s=0.2, retries=0)
    server.answers = [trickle_head]
    assert get_download_size(server.root + "net.bin", timeout_s=0.2) is None
    assert len(server.requests) == 2


def test_a_head_that_never_ends_and_then_an_answer(server):
    # many retries: on a busy machine the right answer may be late, too
    assert download(server, trickle_head, make_answer(), timeout_s=0.2, retries=100).read_bytes() == CONTENT
    assert len(server.requests) >= 2


def test_interim_answers_are_skipped(server):
    early = b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n"
    assert download(server, b"HTTP/1.1 100 Continue\r\n\r\n" + early * 3 + make_answer()).read_bytes() == CONTENT


def test_interim_answers_for_ever(server):
    def send_interim_answers(sock, server):
        while not server.over.is_set():
            sock.sendall(b"HTTP/1.1 103 Early Hints\r\n\r\n")

    with pytest.raises(DownloadError, match="no complete answer"):
        download(server, send_interim_answers, timeout_s=0.2, retries=0)


@pytest.mark.parametrize(
    "head",
    [b"X: " + b"x" * 100_000 + b"\r\n", b"X: 1\r\n" * 500, b"not a header at all \xff\r\n"],
    ids=["a long line", "many lines", "no header"],
)
def test_odd_heads_end(server, head):
    try:
        assert download(server, make_answer(head=OK + head), sha256=DIGEST).read_bytes() == CONTENT
    except DownloadError as error:
        assert "given up" in str(error)


def test_no_http_at_all(server):
    with pytest.raises(DownloadError, match="given up.*BadStatusLine"):
        download(server, b"SSH-2.0-OpenSSH_9.6\r\n")


@pytest.mark.parametrize("target", ["file:///etc/hostname", "ftp://127.0.0.1/a", "data:,abc", "gopher://a/"])
def test_a_redirect_leads_to_http_only(server, target):
    with pytest.raises(DownloadError, match="HTTP 302"):
        download(server, b"HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % target.encode())
    assert len(server.requests) == 1


def test_a_redirect_is_followed_and_a_loop_is_not(server):
    there = b"HTTP/1.1 302 Found\r\nLocation: /there.bin\r\nContent-Length: 0\r\n\r\n"
    assert download(server, there, make_answer()).read_bytes() == CONTENT
    with pytest.raises(DownloadError, match="HTTP 302.*infinite loop"):
        download(server, there, name="b.bin")


@pytest.mark.parametrize("after", [b"-5", b"abc", b"9" * 400, "²".encode(), b"Fri, 31 Dec 1999 23:59:59 GMT", b"0.5"])
def test_an_odd_retry_after(server, after, monkeypatch):
    waits = []
    monkeypatch.setattr(time, "sleep", waits.append)
    busy = b"HTTP/1.1 503 Busy\r\nRetry-After: %s\r\nContent-Length: 0\r\n\r\n" % after
    assert download(server, busy, make_answer()).read_bytes() == CONTENT
    assert len(waits) == 1 and 0 <= waits[0] <= 60


@pytest.mark.parametrize("length", [b"-5", b"abc", b"9" * 5000])
def test_sizes_that_are_nonsense(server, length):
    server.answers = [b"HTTP/1.1 200 OK\r\nContent-Length: %s\r\n\r\n" % length]
    assert get_download_size(server.root + "net.bin") is None


# --- no network, no server --------------------------------------------------------------------------------------------


def test_a_name_that_cannot_be_resolved_is_asked_twice_and_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("AVALIB_CACHE", str(tmp_path))
    waits = []
    monkeypatch.setattr(time, "sleep", waits.append)
    with pytest.raises(DownloadError, match="after 2 .*nowhere.invalid can't be resolved.*AVALIB_MIRROR.*local path"):
        download_file("https://nowhere.invalid/net.pth", progress=False)
    assert sum(waits) <= 1


@pytest.mark.parametrize(
    "url",
    [
        "http://[::1/a.pth",
        "http://a b/c.pth",
        "http://" + "x" * 300 + ".org/a.pth",
        "http://..org/a.pth",
        "http://127.0.0.1:99999/a.pth",
    ],
)
def test_an_address_that_is_none(url, tmp_path, monkeypatch):
    monkeypatch.setenv("AVALIB_CACHE", str(tmp_path))
    with pytest.raises(DownloadError):
        download_file(url, progress=False, retries=0, timeout_s=0.2)


def test_names_with_spaces_and_letters_beyond_ascii(server):
    path = download(server, make_answer(), name="é b/ü ñ.pth?v=1 é", sha256=DIGEST)
    assert path.read_bytes() == CONTENT
    assert server.requests[0].startswith("GET /%C3%A9%20b/%C3%BC%20%C3%B1.pth?v=1%20%C3%A9 ")


def test_a_name_of_300_letters(server):
    path = download(
        server, make_cut_answer(), make_partial_answer(10_000, 30_000), name="x" * 300 + ".pth", sha256=DIGEST
    )
    assert path.read_bytes() == CONTENT and path.suffix == ".pth"
    other = download(server, make_answer(), name="y" + "x" * 299 + ".pth", sha256=DIGEST)
    assert other != path


# --- processes --------------------------------------------------------------------------------------------------------

DOWNLOAD = (
    "import sys\nfrom avalib.utils.download import download_file\n"
    "download_file(sys.argv[1], path=sys.argv[2], sha256=sys.argv[3], timeout_s=20, progress=False)\n"
)


def start_download(server, path):
    return subprocess.Popen([sys.executable, "-c", DOWNLOAD, server.root + "net.bin", str(path), DIGEST])


def send_half_then_wait(sock, server):
    sock.sendall(make_cut_answer(20_000))
    server.over.wait(30)


def wait_for(condition):
    for _ in range(1500):
        if condition():
            return
        time.sleep(0.02)
    pytest.fail("it did not happen")


def test_a_killed_download_is_resumed(server, tmp_path):
    path = tmp_path / "net.bin"
    server.answers = [send_half_then_wait]
    process = start_download(server, path)
    wait_for(lambda: any(p.stat().st_size == 20_000 for p in tmp_path.glob(".net.*.download.bin")))
    process.send_signal(signal.SIGKILL)
    process.wait()
    download(server, make_partial_answer(20_000, 30_000), path=path, sha256=DIGEST)
    assert path.read_bytes() == CONTENT
    assert list_ranges(server) == [None, "bytes=20000-"]
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["net.bin"]


def test_two_processes_do_not_spoil_a_download_where_locks_do_nothing(server, tmp_path, monkeypatch):
    """flock succeeds on some network disks without locking anything out."""
    monkeypatch.setenv("AVALIB_CACHE", str(tmp_path / "cache"))
    path, code = tmp_path / "net.bin", "import fcntl\nfcntl.flock = lambda *arguments: None\n" + DOWNLOAD
    barrier = threading.Barrier(2)

    def answer_both_at_once(sock, server):
        sock.sendall(make_cut_answer(10_000))
        barrier.wait(30)
        sock.sendall(CONTENT[10_000:])

    server.answers = [answer_both_at_once]
    command = [sys.executable, "-c", code, server.root + "net.bin", str(path), DIGEST]
    processes = [subprocess.Popen(command) for _ in range(2)]
    assert [process.wait(60) for process in processes] == [0, 0]
    assert path.read_bytes() == CONTENT
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["net.bin"]


def test_a_disk_that_fills_up_leaves_no_part(server, tmp_path):
    pytest.importorskip("resource")
    limit = (
        "import resource, signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
    )
    server.answers = [make_answer()]
    command = [sys.executable, "-c", limit + DOWNLOAD, server.root + "net.bin", str(tmp_path / "net.bin"), DIGEST]
    ended = subprocess.run(command, capture_output=True, encoding="utf-8")
    assert "DownloadDiskFullError" in ended.stderr and "MB are needed" in ended.stderr
    assert [p for p in tmp_path.iterdir() if p.is_file()] == []


def test_a_password_in_an_address_is_not_shown(tmp_path):
    with pytest.raises(DownloadError) as caught:
        download_file("http://user:secret@127.0.0.1:1/a.pth", path=tmp_path / "a.pth", retries=0, progress=False)
    assert "secret" not in str(caught.value)
    assert "//...@127.0.0.1" in str(caught.value)
