"""Addresses in messages and files have no passwords and tokens; a server gets them all the same."""

import base64
import http.server
import threading

import pytest

from avalib.utils.credentials import hide_credentials
from avalib.utils.download import download_file
from avalib.utils.download_errors import DownloadError


@pytest.mark.parametrize(
    ("address", "hidden"),
    [
        ("https://ann:s3cret@host/a.mp4", "https://...@host/a.mp4"),
        ("rtsp://ann:s3cret@10.0.0.1:554/live: no answer", "rtsp://...@10.0.0.1:554/live: no answer"),
        ("https://host/a.mp4?X-Amz-Signature=ab12&part=1", "https://host/a.mp4?X-Amz-Signature=...&part=1"),
        ("https://host/a?v=7&access_token=xyz#t", "https://host/a?v=7&access_token=...#t"),
        ("https://host/a?monkey=7&v=b@c", "https://host/a?monkey=7&v=b@c"),
        ("a@b.mp4", "a@b.mp4"),
    ],
)
def test_secrets_are_hidden(address, hidden):
    assert hide_credentials(address) == hidden


@pytest.fixture
def guarded_server():
    """The host of a server whose only file needs the password "p:w"."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            expected = "Basic " + base64.b64encode(b"ann:p:w").decode()
            is_allowed = self.headers.get("Authorization") == expected
            self.send_response(200 if is_allowed else 401)
            body = b"film" if is_allowed else b""
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_server_gets_the_password(guarded_server, tmp_path):
    path = download_file(f"http://ann:p%3Aw@{guarded_server}/a.mp4", path=tmp_path / "a.mp4", progress=False)
    assert path.read_bytes() == b"film"


def test_a_wrong_password_is_not_in_the_message(guarded_server, tmp_path):
    with pytest.raises(DownloadError, match="401") as error:
        download_file(f"http://ann:wrong@{guarded_server}/a.mp4", path=tmp_path / "a.mp4", progress=False)
    assert "wrong" not in str(error.value)
