"""`avalib detect --live`: a camera, a stream or a file, until it ends or Ctrl-C comes."""

import contextlib

from avalib.cli.commands import find_run
from avalib.utils.files import check_not_input
from avalib.video.live_source import hide_secrets


def run_live(options):
    """Detect live; write the video and the table, show it in a browser. Returns the exit status."""
    if options.videos:
        raise ValueError(f"expected --live {hide_secrets(options.live)} or videos, not both")
    _, checkpoint = find_run(options)
    from avalib.detection.live_table import LiveTable
    from avalib.detection.watch_live import watch_live
    from avalib.draw.live_overlay import get_live_path, play_live
    from avalib.draw.mjpeg_server import MjpegServer

    # Wrong suffixes and a port in use are errors before the work begins.
    out = options.out and get_live_path(options.out)
    for path in filter(None, (out, options.csv)):
        check_not_input(path, options.live, options.boxes, checkpoint)
    live = None
    with contextlib.ExitStack() as stack:
        viewers = []
        if options.serve is not None:
            server = stack.enter_context(MjpegServer(options.serve, lambda: str(live.measure()) if live else ""))
            viewers.append(server.publish)
        live = watch_live(
            options.live,
            options.model,
            checkpoint,
            options.boxes,
            step=options.step,
            seconds=options.stop,
            detector=options.detector,
            detector_weights=options.detector_weights,
            person_score=options.person_score,
            device=options.device,
            precision=options.precision,
        )
        stack.enter_context(live)
        if options.csv:
            table = stack.enter_context(LiveTable(options.csv, live.label_map, options.score_threshold))
            viewers.append(lambda result, frame: table.add(result))
        if options.serve is not None:
            print(f"in a browser on this machine: {server.url}", flush=True)
        play_live(live, out, viewers, options.draw_threshold, options.top_k, options.width, options.quality)
    return 0
