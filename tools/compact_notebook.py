"""An executed notebook as it can be published: small, and without paths of the machine that ran it.

    python tools/compact_notebook.py EXECUTED.ipynb PUBLISHED.ipynb

Pictures become JPEG where that is smaller, then they are scaled down, until the file is small enough. A movie becomes a
link to its file, which has to lie beside the copy. Widgets and unfinished progress bars do not work in a copy and are
left out: a picture stands beside each widget.
"""

import base64
import io
import json
import os
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageSequence

from avalib.utils.files import write_text

MAX_BYTES = 1_500_000  # of a published notebook
WIDGET = "application/vnd.jupyter.widget-view+json"
MOVIE = re.compile(r'<video src="data:video/mp4;base64,[^"]*"[^>]*></video>')
MOVIE_TITLE = re.compile(r'title="([^"]+)"')
WIDGET_TEXT = re.compile(r"(\w+Box|Output|\w+Slider|Dropdown)\(|[^\n]*: +0%\|")  # what stands in a widget's place
GIF = re.compile(r"data:image/gif;base64,([A-Za-z0-9+/=]+)")
_PATH_START = r"(?<![\w.:/~+=-])"  # not inside a word, a URL or base64
_NAME_CHARACTER = r"[^\s\"'<>:,;()\[\]{}`\\/]"
_TOP_FOLDERS = {"Users", "home", "root", "tmp", "var", "mnt", "work", "data", "opt", "usr", "scratch", "private"}


@dataclass(frozen=True)
class Compression:
    """How much pictures are compressed. max_width: pixels, or None; gif_share: share of a GIF's frames that stay."""

    max_width: int | None
    jpeg_quality: int
    gif_share: float


COMPRESSIONS = (Compression(None, 88, 1.0), Compression(1200, 75, 0.33), Compression(800, 65, 0.2))


# --- paths ------------------------------------------------------------------------------------------------------------


def redact_paths(text):
    """Remove the paths of this machine: those in the current folder become relative, others keep their last part."""
    # Known folders by name: the current one, Python's, the home, that of temporary files.
    replacements = {str(Path.cwd()): "."}
    for folder, replacement in ((sys.prefix, "<python>"), (str(Path.home()), "~"), (tempfile.gettempdir(), "<tmp>")):
        if len(Path(folder).parts) > 1:
            replacements.setdefault(folder, replacement)
    for folder in sorted(replacements, key=len, reverse=True):  # folders before those that contain them
        text = re.sub(re.escape(folder) + r"(?![\w.-])", replacements[folder], text)
    # Any other absolute path that begins with a folder of the root: only its last part stays.
    top_folders = sorted(_TOP_FOLDERS | {entry.name for entry in os.scandir("/") if entry.is_dir()})
    alternatives = "|".join(map(re.escape, top_folders))
    return re.sub(rf"{_PATH_START}/(?:{alternatives})/(?:{_NAME_CHARACTER}+/)*({_NAME_CHARACTER}*)", r"…/\1", text)


def redact_paths_in(value):
    """Apply `redact_paths` to every text in a structure of dicts and lists, keys included."""
    if isinstance(value, dict):
        return {redact_paths(key): redact_paths_in(item) for key, item in value.items()}
    if isinstance(value, list):
        return [redact_paths_in(item) for item in value]
    return redact_paths(value) if isinstance(value, str) else value


# --- notebooks --------------------------------------------------------------------------------------------------------


def compact_notebook(path, max_bytes=MAX_BYTES):
    """Compact an executed notebook.

    Parameters
    ----------
    path : str or Path
        The executed notebook.
    max_bytes : int
        The published copy is smaller than this.

    Returns
    -------
    str
        The text of the published copy.

    Raises
    ------
    ValueError
        It does not get that small.
    """
    # Stronger and stronger, until it is small enough.
    for compression in COMPRESSIONS:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        content["metadata"].pop("widgets", None)
        content["metadata"] = redact_paths_in(content["metadata"])
        content["cells"] = [_compact_cell(cell, compression) for cell in content["cells"]]
        text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        size = len(text.encode())
        if size < max_bytes:
            return text
    raise ValueError(f"{path}: {size:,} bytes after compression, {max_bytes:,} are allowed; show fewer pictures in it")


def _compact_cell(cell, compression):
    compacted = cell | {"metadata": redact_paths_in(cell["metadata"]), "source": redact_paths_in(cell["source"])}
    if cell["cell_type"] == "code":
        outputs = [output for output in cell.get("outputs", []) if not _is_widget(output)]
        compacted["outputs"] = [_compact_output(output, compression) for output in outputs]
    return compacted


def _is_widget(output):
    """Whether an output is a widget, or the text that stands for one."""
    data = output.get("data", {})
    if set(data) - {WIDGET, "text/plain"}:
        return False
    return WIDGET in data or bool(WIDGET_TEXT.match("".join(data.get("text/plain", ""))))


def _compact_output(output, compression):
    """One output of a cell, with smaller pictures and without paths."""
    if "data" not in output:
        return redact_paths_in(output)
    data = {kind: value for kind, value in output["data"].items() if kind != WIDGET}
    encoded_pictures = [data.pop(kind) for kind in ("image/png", "image/jpeg") if kind in data]
    data = redact_paths_in(data)
    if encoded_pictures:  # the same picture in different formats
        pictures = [base64.b64decode("".join(encoded)) for encoded in encoded_pictures]
        kind, picture = _compress_picture(min(pictures, key=len), compression)
        data[kind] = base64.b64encode(picture).decode()
    if "text/html" in data:
        data["text/html"] = _compact_html("".join(output["data"]["text/html"]), compression)
    return output | {"data": data, "metadata": {}}


def _compact_html(html, compression):
    """HTML with links to movies, smaller GIFs and no paths."""
    html = MOVIE.sub(_link_movie, html)
    parts = GIF.split(html)  # text, base64 of a GIF, text, …
    for i, part in enumerate(parts):
        is_gif = i % 2 == 1
        parts[i] = f"data:image/gif;base64,{_compress_gif(part, compression)}" if is_gif else redact_paths(part)
    return "".join(parts)


def _compress_picture(content, compression):
    """(mime type, bytes) of a picture: scaled down if it is too wide, as JPEG if that is smaller."""
    image = Image.open(io.BytesIO(content))
    kind = f"image/{image.format.lower()}"
    max_width = compression.max_width
    is_too_wide = max_width is not None and image.width > max_width
    if is_too_wide:
        image = image.resize((max_width, round(image.height * max_width / image.width)), Image.LANCZOS)
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=compression.jpeg_quality)
    jpeg = buffer.getvalue()
    return ("image/jpeg", jpeg) if is_too_wide or len(jpeg) < len(content) else (kind, content)


def _link_movie(match):
    """A link to the file of a movie, in place of the movie; without its title it is only mentioned."""
    title = MOVIE_TITLE.search(match[0])
    if not title:
        return "<p>(The movie is in a file; it is left out of this copy.)</p>"
    return f'<p>The movie: <a href="{title[1]}">{title[1]}</a></p>'


def _compress_gif(encoded, compression):
    """A GIF (base64) with a share of its frames, at most half as wide as pictures may be; unchanged for share 1."""
    if compression.gif_share == 1:
        return encoded
    # Every step-th frame stays, for as long as the frames that it stands for.
    image = Image.open(io.BytesIO(base64.b64decode(encoded)))
    step = round(1 / compression.gif_share)
    scale = min(1, compression.max_width / 2 / image.width)
    size = (round(image.width * scale), round(image.height * scale))
    duration = image.info.get("duration", 100) * step
    frames = []
    for i, frame in enumerate(ImageSequence.Iterator(image)):
        if i % step == 0:
            frames.append(frame.convert("RGB").resize(size).quantize(64))
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], duration=duration, loop=0, optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


if __name__ == "__main__":
    write_text(Path(sys.argv[2]), compact_notebook(sys.argv[1]))
