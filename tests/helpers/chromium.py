"""The browser of the tests marked `browser`: where it is, how it is started, and the contrast of its colors."""

import os
import re
import shutil

import numpy as np

FLAGS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]


def find_chromium():
    """The browser's path. Without one the test fails instead of being skipped, as it runs on demand only."""
    names = [os.environ.get("AVALIB_CHROMIUM"), "chromium", "chromium-browser", "google-chrome", "chrome"]
    path = next((path for name in names if name and (path := shutil.which(name))), None)
    assert path, "no Chromium or Chrome on PATH: `apt install chromium`, or AVALIB_CHROMIUM=/path/to/it"
    return path


def compute_contrast(a, b):
    """WCAG 2's contrast of two css colors, 1..21."""
    brightness = []
    for color in (a, b):
        channels = np.array([float(v) for v in re.findall(r"[\d.]+", color)[:3]]) / 255
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        brightness.append(linear @ [0.2126, 0.7152, 0.0722])
    return (max(brightness) + 0.05) / (min(brightness) + 0.05)
