"""An executed notebook as it can be published: small, and without a path of the machine that ran it.

Pictures are kept, as JPEG where that is smaller, then scaled down, until the file is small enough; movies are left out
(the notebook writes them to a file); widgets, which are dead in an executed copy, keep their words.
"""

import base64
import io
import json
import os
import re
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageSequence

LIMIT = 1_500_000  # bytes of a published notebook
STEPS = ((None, 88, 1.0), (1200, 75, 0.33), (800, 65, 0.2))  # widest, JPEG quality, GIF frames kept
WIDGET = "application/vnd.jupyter.widget-view+json"
MOVIE = re.compile(r'<video src="data:video/mp4;base64,[^"]*"[^>]*></video>')
GIF = re.compile(r"data:image/gif;base64,([A-Za-z0-9+/=]+)")
_WHERE = r"(?<![\w.:/~+=-])"  # a path begins here: not inside a word, a URL or base64
_NAME = r"[^\s\"'<>:,;()\[\]{}`\\/]"  # a letter of a file's name
_TOPS = {"Users", "home", "root", "tmp", "var", "mnt", "work", "data", "opt", "usr", "scratch", "private"}


def redact_paths(text):
    """Text without a path of this machine: the current folder's become relative, of others the last part is left."""
    here = {str(Path.cwd()): "."}
    for folder, word in ((sys.prefix, "<python>"), (str(Path.home()), "~"), (tempfile.gettempdir(), "<tmp>")):
        if len(Path(folder).parts) > 1:
            here.setdefault(folder, word)
    for folder in sorted(here, key=len, reverse=True):
        text = re.sub(re.escape(folder) + r"(?![\w.-])", here[folder], text)
    tops = "|".join(map(re.escape, sorted(_TOPS | {e.name for e in os.scandir("/") if e.is_dir()})))
    return re.sub(rf"{_WHERE}/(?:{tops})/(?:{_NAME}+/)*({_NAME}*)", r"…/\1", text)


def redact_paths_in(value):
    """`scrub` for every text in a structure of dicts and lists, keys too."""
    if isinstance(value, dict):
        return {redact_paths(k): redact_paths_in(v) for k, v in value.items()}
    if isinstance(value, list):
        return [redact_paths_in(v) for v in value]
    return redact_paths(value) if isinstance(value, str) else value


def compact_notebook(path, limit=LIMIT):
    """An executed notebook (a file) as the text of its published copy, below `limit` bytes.

    Raises ValueError where it does not get that small.
    """
    for widest, quality, share in STEPS:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        content["metadata"].pop("widgets", None)
        content["metadata"] = redact_paths_in(content["metadata"])
        for cell in content["cells"]:
            cell["metadata"], cell["source"] = redact_paths_in(cell["metadata"]), redact_paths_in(cell["source"])
            cell["outputs"] = [_output(o, widest, quality, share) for o in cell.get("outputs", [])]
            if cell["cell_type"] != "code":
                del cell["outputs"]
        text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        if len(text.encode()) < limit:
            return text
    raise ValueError(f"{path}: {len(text.encode()):,} bytes at the least, {limit:,} are allowed: fewer pictures in it")


def _output(output, widest, quality, share):
    """One output, its pictures made smaller and its words scrubbed."""
    if "data" not in output:
        return redact_paths_in(output)
    data = {kind: value for kind, value in output["data"].items() if kind != WIDGET}
    pictures = [base64.b64decode("".join(data.pop(k))) for k in ("image/png", "image/jpeg") if k in data]
    data = redact_paths_in(data)
    if pictures:
        kind, picture = _picture(min(pictures, key=len), widest, quality)
        data[kind] = base64.b64encode(picture).decode()
    if "text/html" in data:
        page = "".join(output["data"]["text/html"])
        page = MOVIE.sub("<p>(The movie is in a file; it is left out of this copy.)</p>", page)
        parts = GIF.split(page)  # words, base64, words, …
        parts[0::2] = map(redact_paths, parts[0::2])
        parts[1::2] = (f"data:image/gif;base64,{_gif(part, widest, share)}" for part in parts[1::2])
        data["text/html"] = "".join(parts)
    return output | {"data": data, "metadata": {}}


def _picture(content, widest, quality):
    """(mime type, bytes): as it is or scaled down, as a JPEG where that is smaller."""
    image = Image.open(io.BytesIO(content))
    kind, out = f"image/{image.format.lower()}", io.BytesIO()
    too_wide = widest and image.width > widest
    if too_wide:
        image = image.resize((widest, round(image.height * widest / image.width)), Image.LANCZOS)
    image.convert("RGB").save(out, "JPEG", quality=quality)
    return ("image/jpeg", out.getvalue()) if too_wide or len(out.getvalue()) < len(content) else (kind, content)


def _gif(text, widest, share):
    """A GIF (base64) with a share of its frames, at most `widest` / 2 wide; share 1 leaves it."""
    if share == 1:
        return text
    image = Image.open(io.BytesIO(base64.b64decode(text)))
    every, size = round(1 / share), min(1, widest / 2 / image.width)
    size = (round(image.width * size), round(image.height * size))
    duration = image.info.get("duration", 100) * every
    frames = [f.convert("RGB").resize(size) for i, f in enumerate(ImageSequence.Iterator(image)) if i % every == 0]
    frames = [f.quantize(64) for f in frames]
    out = io.BytesIO()
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:], duration=duration, loop=0, optimize=True)
    return base64.b64encode(out.getvalue()).decode()
