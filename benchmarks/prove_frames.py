"""Our AVA numbers against the ffmpeg program's own cut and extraction, on 102 made files of every kind.

    python benchmarks/prove_frames.py [--only mkv_25]        needs ffmpeg on the PATH; about three minutes

Each file's frames carry their number as black and white blocks. ffmpeg makes it, cuts it (-ss 3 -t 6 -r 30 to mp4) and
extracts the cut's jpgs; then the same numbers are read straight from the uncut file. tests/video/test_frame_numbers.py
holds a small table of such results, so that the suite needs no ffmpeg. The published table's FFmpeg was one before
6.1; from then on ffmpeg numbers differently (video.Video's since_ffmpeg_6_1).
"""

import argparse
import re
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "helpers"))
from numbered_videos import draw_number, read_number

from avalib.video.reader import Video

START, LENGTH, SECONDS = 3, 6, 11
RATES = ("12", "24000/1001", "24", "25", "30000/1001", "30", "50", "60")
SOUND = ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=44100", "-shortest"]
KINDS = {  # name: (sound, ffmpeg's options)
    "gop250": (False, "-g 250 -bf 3"),
    "opengop": (True, "-g 20 -bf 3 -x264-params open-gop=1"),
    "nob": (True, "-g 250 -bf 0"),
    "vfr": (True, r"-g 50 -bf 2 -vf select='not(eq(mod(n\,7)\,3))*not(between(n\,100\,120))' -vsync vfr"),
    "vfrn": (False, r"-g 50 -bf 2 -vf select='not(eq(mod(n\,5)\,3))*not(between(n\,40\,60))' -vsync vfr"),
    "offset": (True, "-g 50 -bf 2 -output_ts_offset 1.37"),
}


def ffmpeg(*words):
    done = subprocess.run(["ffmpeg", "-y", "-v", "error", *map(str, words)], capture_output=True, encoding="utf-8")
    if done.returncode:
        raise SystemExit(f"ffmpeg {' '.join(map(str, words))}: {done.stderr[-500:]}")


def make(folder, name, suffix, rate, sound, options):
    """A file of SECONDS seconds whose n-th frame shows n."""
    raw, path = folder / "raw.rgb", folder / f"{name}.{suffix}"
    raw.write_bytes(b"".join(draw_number(n).tobytes() for n in range(int(Fraction(rate) * SECONDS))))
    codec = ["-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p"]
    if suffix == "webm":
        codec = ["-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8"]
    elif sound:
        codec += ["-c:a", "aac"]
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "128x64", "-r", rate, "-i", raw]
    ffmpeg(*source, *(SOUND if sound else []), *codec, *options, path)
    return path


def files(folder):
    """Make the files, one after the other."""
    for suffix in ("mp4", "mkv", "webm"):
        for rate in RATES:
            for sound in (False, True):
                options = [] if suffix == "webm" else ["-g", "50", "-bf", "2"]
                yield make(folder, f"{suffix}_{rate}_{sound}".replace("/", "-"), suffix, rate, sound, options)
    for suffix in ("mp4", "mkv"):
        for rate in ("24000/1001", "25", "30"):
            made = {}
            for kind, (sound, options) in KINDS.items():
                name = f"{kind}_{rate}".replace("/", "-")
                made[kind] = make(folder, name, suffix, rate, sound, options.replace("'", "").split())
                yield made[kind]
            tone, copy = ["-f", "lavfi", "-t", "9", "-i", "sine=frequency=300"], ["-c:v", "copy", "-c:a", "aac"]
            late, early, edit = (folder / f"{what}_{name}.{suffix}" for what in ("late", "early", "edit"))
            ffmpeg("-itsoffset", "0.731", "-i", made["gop250"], *tone, *copy, late)
            ffmpeg("-i", made["gop250"], "-itsoffset", "0.731", *tone, *copy, early)
            ffmpeg("-ss", "0.9", "-i", made["opengop"], "-c", "copy", edit)
            yield from (late, early, edit)


def extracted(folder, path):
    """The numbers painted in the jpgs that ffmpeg gets out of its cut of the file."""
    cut, jpgs = folder / "cut.mp4", folder / "jpgs"
    jpgs.mkdir(exist_ok=True)
    for old in jpgs.iterdir():
        old.unlink()
    ffmpeg("-ss", START, "-t", LENGTH, "-i", path, "-r", 30, cut)
    ffmpeg("-i", cut, "-r", 30, "-q:v", 1, jpgs / "img_%05d.jpg")
    return [read_number(np.asarray(Image.open(jpg))) for jpg in sorted(jpgs.iterdir())]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="part of the names of the files to look at")
    args = parser.parse_args()
    shown = subprocess.run(["ffmpeg", "-version"], capture_output=True, encoding="utf-8", check=True).stdout.split()[2]
    major, minor = map(int, re.search(r"(\d+)\.(\d+)", shown).groups())
    print(f"ffmpeg {shown}")
    with tempfile.TemporaryDirectory() as folder:
        different, count = 0, 0
        for path in files(Path(folder)):
            if args.only not in path.name:
                continue
            expected = extracted(Path(folder), path)
            with Video(path, cut=(START, LENGTH), since_ffmpeg_6_1=(major, minor) >= (6, 1)) as opened:
                found = [read_number(frame) for frame in opened.iter_ava_frames()]
            same = sum(a == b for a, b in zip(found, expected, strict=False))
            count, different = count + 1, different + (found != expected)
            print(f"{path.name}: {len(expected)} jpgs, {same} the same frame, {len(found)} of ours")
    print(f"{count} files, {different} different")
    raise SystemExit(bool(different))


if __name__ == "__main__":
    main()
