"""A miniature of AVA's servers: the tiny set as the real files are, uncut videos included; served from a folder."""

import http.server
import shutil
import threading
import zipfile
from contextlib import contextmanager

import numpy as np

from avalib.data.label_map import write_label_map
from avalib.data.labels import get_evaluated_actions
from avalib.data.layout import DatasetLayout
from avalib.video.reader import Video
from avalib.video.writer import write_mp4

BEFORE = np.arange(0, 900, 50.0)  # of an uncut video the 15 minutes before are a frame every 50 s


def publish(tiny, folder, version="v2.1"):
    """Write what the official servers have, out of the tiny layout, into `folder`; -> {video_id: file name}."""
    folder.mkdir(parents=True, exist_ok=True)
    like = DatasetLayout(folder, version)
    year = {"v2.1": 2018, "v2.2": 2019}[version]
    with zipfile.ZipFile(folder / f"ava_{version}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for split in ("train", "val"):
            archive.write(tiny.get_csv_path(split), like.get_csv_path(split).name)
            archive.write(tiny.get_exclusions_path(split), like.get_exclusions_path(split).name)
            shutil.copy(tiny.get_proposals_path(split), folder / like.get_proposals_path(split).name)
        archive.write(tiny.label_map_path, like.label_map_path.name)
        write_label_map(get_evaluated_actions(), folder / "map")
        archive.write(folder / "map", f"ava_action_list_{version}_for_activitynet_{year}.pbtxt")
    shutil.copy(tiny.get_proposals_path("val"), folder / like.get_proposals_path("test").name)
    names = {path.stem: path.name for path in sorted(tiny.videos.iterdir())}
    for name in names.values():
        write_uncut_video(tiny.videos / name, folder / name)
    (folder / "ava_file_names_trainval_v2.1.txt").write_text("\n".join(names.values()) + "\n", encoding="utf-8")
    return names


def write_uncut_video(cut, path):
    """The video `cut` once more, from second 900 on, after 15 minutes of something else."""
    with Video(cut) as opened:
        frames, times = list(opened.iter_frames()), opened.times_s
    grey = [np.full_like(frames[0], level) for level in np.linspace(20, 200, len(BEFORE)).astype(np.uint8)]
    return write_mp4(
        path, [*grey, *frames], 30, crf=18, gop=12, bframes=0, preset="ultrafast", times_s=[*BEFORE, *(900 + times)]
    )


@contextmanager
def serve_folder(folder, broken=None):
    """The address of a server of `folder`. broken: {file name: "404", "cut N" or "503"} is what it answers, once for
    the last two, always for the first; requests: the list of requests' paths and Range headers that it yields beside.
    """
    broken = dict(broken or {})
    requests = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.do_GET(head=True)

        def do_GET(self, head=False):
            name, start = self.path.rpartition("/")[2], 0
            act = broken.get(name) if not head else None
            if not head:
                requests.append((name, self.headers.get("Range")))
            if act and act != "404":
                broken.pop(name)
            if act in ("404", "503") or not (folder / name).is_file():
                self.send_response(int(act or 404))
                self.end_headers()
                return
            body = (folder / name).read_bytes()
            if asked_for := self.headers.get("Range"):
                start = int(asked_for[6:-1])
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            self.send_header("Content-Length", str(len(body) - start))
            self.send_header("ETag", f'"{name}"')
            self.end_headers()
            if not head:
                self.wfile.write(body[start : int(act[4:])] if act else body[start:])

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", requests
        finally:
            server.shutdown()
            thread.join()
