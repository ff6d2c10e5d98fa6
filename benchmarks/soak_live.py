"""A live detection for an hour with faults on request, and how its memory grows: flat if nothing is kept.

    python benchmarks/soak_live.py [--minutes 60] [--json outputs/benchmarks/soak_live.json]

A process of its own serves a transport stream of small pictures over HTTP on loopback. Every half minute it stalls, or
cuts the connection, or changes the picture's size. A small network with random weights and a person detector watch it.
The frames are drawn, written to an mkv and served to a slow browser. The slope is that of a straight line through the
memory of the process (its anonymous pages, without the stream's server) over time; the warm-up is left out.
"""

import argparse
import contextlib
import http.server
import io
import itertools
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import psutil
from common import RESULTS, compare, record

from avalib.utils.files import write_bytes

FPS = 15
SIZES = ((160, 96), (128, 112))  # width, height
WARM_UP_SHARE = 0.25  # of the minutes, at least WARM_UP_S
WARM_UP_S = 30.0
MAX_SLOPE_MB = 8.0  # an hour
SAMPLE_S = 1.0


@dataclass(frozen=True)
class Fault:
    """What ends a stretch of the stream."""

    name: str  # "size": the picture changes, "stall", "cut"
    seconds: float = 0.0


FAULTS = (Fault("size"), Fault("stall", 3.0), Fault("cut"), Fault("size"), Fault("cut"))


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--minutes", type=float, default=60)
    arguments.add_argument("--stretch", type=float, default=30, help="seconds from one fault to the next")
    arguments.add_argument("--json", default=RESULTS / "soak_live.json", help="where the figures go")
    arguments.add_argument("--serve", action="store_true", help="(the stream's server: used by itself)")
    options = arguments.parse_args()
    options.repeats = 1
    if options.serve:
        serve_stream(options.stretch)
        return
    soak(options)


# --- the stream -------------------------------------------------------------------------------------------------------


def serve_stream(stretch_s):
    """Serve the stream until this process is ended; the first line of output is its address."""
    faults = itertools.cycle(FAULTS)
    sizes = itertools.cycle(SIZES)
    counter = itertools.count()
    state = {"size": next(sizes)}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            while True:
                send_stretch(self.wfile, state["size"], stretch_s, counter)
                fault = next(faults)
                if fault.name == "size":
                    state["size"] = next(sizes)
                elif fault.name == "stall":
                    time.sleep(fault.seconds)
                else:
                    return

        def log_message(self, *arguments):
            pass

    class Server(http.server.HTTPServer):
        def handle_error(self, request, client_address):
            pass  # the reader has closed the connection

    server = Server(("127.0.0.1", 0), Handler)
    print(f"http://127.0.0.1:{server.server_port}/live.ts", flush=True)
    server.serve_forever()


def send_stretch(file, size, seconds, counter):
    """Encode moving pictures of one size, as fast as a camera does."""
    width, height = size
    ramp = np.tile(np.linspace(30, 200, 2 * width, dtype=np.uint8)[None, :, None], (height, 1, 3))
    with av.open(file, "w", format="mpegts", options={"flush_packets": "1"}, buffer_size=1316) as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "ultrafast", "tune": "zerolatency"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.gop_size = FPS
        for _ in range(int(seconds * FPS)):
            started_s = time.monotonic()
            n = next(counter)
            offset = abs(width - 3 * n % (2 * width))
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(ramp[:, offset : offset + width]), format="rgb24")
            frame.pts = n
            frame.time_base = Fraction(1, FPS)
            container.mux(stream.encode(frame))
            time.sleep(max(0, started_s + 1 / FPS - time.monotonic()))


# --- the detection ----------------------------------------------------------------------------------------------------


class FewPeople:
    """A person detector with random weights, of which the three best boxes are taken."""

    def __init__(self):
        import torch
        from torchvision.models import get_model

        from avalib.detection.person_detector import load_person_detector
        from avalib.detection.torchvision_detectors import PERSON

        torch.manual_seed(0)
        state = get_model("ssdlite320_mobilenet_v3_large", weights=None, weights_backbone=None).state_dict()
        for name, value in state.items():
            if "classification_head" in name and name.endswith("1.bias"):
                value[PERSON::91] += 3
        with tempfile.TemporaryDirectory() as folder:
            buffer = io.BytesIO()
            torch.save(state, buffer)
            path = write_bytes(Path(folder, "ssdlite.pth"), buffer.getvalue())
            self.detector = load_person_detector("ssdlite", path, person_score=0.0)

    def __call__(self, pictures):
        return [
            replace(people, boxes_norm=people.boxes_norm[:3], scores=people.scores[:3])
            for people in self.detector(pictures)
        ]


def build_small_network():
    """A network with random weights for pictures of 32 pixels."""
    import torch

    from avalib import build_model, zoo
    from avalib.models.checkpoint_meta import CheckpointMeta
    from avalib.models.resnet3d import N_BLOCKS

    torch.manual_seed(0)
    N_BLOCKS[14] = (1, 1, 1, 1)
    network = build_model(replace(zoo.get("slowonly_r50"), depth=14))
    recipe = zoo.update_recipe(zoo.build_mini_recipe(network.entry), short_side=32)
    network.meta = CheckpointMeta(network.entry, recipe, {12: "stand", 14: "walk", 80: "watch"})
    return network


def soak(options):
    """Watch the stream and print what was measured."""
    import avalib
    from avalib import draw
    from avalib.utils.console import show_log_messages

    show_log_messages()
    command = [sys.executable, __file__, "--serve", "--stretch", str(options.stretch)]
    server = psutil.Popen(command, stdout=subprocess.PIPE, encoding="utf-8")
    sampler = MemorySampler()
    try:
        live = avalib.watch_live(
            server.stdout.readline().strip(),
            build_small_network(),
            detector=FewPeople(),
            seconds=60 * options.minutes,
            stall_s=2.0,
            device="cpu",
            precision="float32",
        )
        live.log_step_s = 30
        with tempfile.TemporaryDirectory() as folder, draw.MjpegServer(0) as pages:
            threading.Thread(target=look_at, args=(pages.url + "stream",), daemon=True).start()
            # mkv: the index of an mp4 grows with every frame
            stats = draw.play_live(live, Path(folder, "soak.mkv"), [pages.publish, sampler.sample], score_threshold=0)
    finally:
        server.kill()
        server.wait()
    report(sampler.samples, stats, options)


def look_at(url):
    """A browser that reads the pictures slowly, and comes again when it is cut off."""
    while True:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=60) as answer:
            while answer.read(4096):
                time.sleep(0.05)
        time.sleep(1)


class MemorySampler:
    """Notes (seconds, MB) of this process's own memory about once a second."""

    def __init__(self):
        self.samples = []
        self.process = psutil.Process()
        self.started_s = time.monotonic()

    def sample(self, result, frame):
        now_s = time.monotonic() - self.started_s
        if not self.samples or now_s - self.samples[-1][0] >= SAMPLE_S:
            self.samples.append((now_s, self.measure_mb()))

    def measure_mb(self):
        """Anonymous memory on Linux; elsewhere all that no other process has.

        The pages of libraries are no measure: they become this process's own when another one that has them ends.
        """
        status = Path("/proc/self/status")
        if status.exists():
            (line,) = [line for line in status.read_text(encoding="ascii").splitlines() if line.startswith("RssAnon:")]
            return int(line.split()[1]) / 2**10
        return self.process.memory_full_info().uss / 2**20


def report(samples, stats, options):
    """Print the slope of the memory, and write it with the counts."""
    seconds, megabytes = np.array(samples).T
    warm_up_s = min(max(WARM_UP_S, WARM_UP_SHARE * seconds[-1]), seconds[-1] / 2)
    is_warm = seconds >= warm_up_s
    slope_mb = 3600 * np.polyfit(seconds[is_warm], megabytes[is_warm], 1)[0]
    note = (
        f"{seconds[-1] / 60:.1f} minutes, {warm_up_s:.0f} s of them warm-up; {megabytes[is_warm][0]:.0f} MB at first, "
        f"{megabytes[-1]:.0f} MB at the end"
    )
    rows = [
        compare("growth of memory in an hour", slope_mb, None, "MB", aim=MAX_SLOPE_MB, note=note),
        compare("frames detected", stats.processed, None, "frames"),
        compare("frames dropped", stats.dropped, None, "frames"),
        compare("new connections", stats.reconnects, None, "reconnects"),
        compare("changes of size", stats.size_changes, None, "changes"),
        compare("delay from end to end, median of the last seconds", stats.delay_s, None, "s"),
    ]
    record("soak_live", rows, options, samples=samples[:: max(1, len(samples) // 100)])


if __name__ == "__main__":
    main()
