"""A small person detector's weights, as a file and on a web server."""

import functools
import http.server
import threading

import pytest
import torch

from avalib.detection.torchvision_detectors import PERSON, build_torchvision_detector


@pytest.fixture(scope="package")
def weights(tmp_path_factory):
    """The state_dict file of a small detector with random weights that takes much for a person."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "ssdlite.pth"
    state = build_torchvision_detector("ssdlite", weights=None).state_dict()
    for name, value in state.items():
        if "classification_head" in name and name.endswith("1.bias"):
            value[PERSON::91] += 3
    torch.save(state, path)
    return path


@pytest.fixture(scope="package")
def server(weights):
    """The address of a web server with that file."""

    class QuietHandler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    handler = functools.partial(QuietHandler, directory=weights.parent)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
