"""Where a data set's frames come from: the packed cache, a folder of jpgs, a cut or an uncut video file.

All give the same AVA-numbered frames. What can't be had is known before training starts: `open_frames` lists the
keyframes that a missing, unreadable or short video costs, and refuses when they are too many.
"""

import contextlib
import os
import time
import zipfile
import zlib
from collections import OrderedDict

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from avalib.utils.files import (
    atomic_path,
    check_free_space,
    clear_abandoned_parts,
    free_bytes,
    is_writable,
    path_inside,
)
from avalib.utils.workers import run_parallel
from avalib.video.container import read_duration_s
from avalib.video.frame_cache import FrameCache, JpegFolder, estimate_cache_size, write_frame_cache
from avalib.video.frame_numbers import AVA_FPS, to_frame_number
from avalib.video.packet_index import PacketIndex
from avalib.video.reader import Video
from avalib.video.video_error import VideoError

LOST = ["video_id", "timestamp", "reason"]


def open_video(layout, video_id):
    """The reader of one video's frames (video.Video, or video.JpegFolder for a folder of jpgs), by AVA number.

    Raises FileNotFoundError or VideoError that names the file.
    """
    path = layout.find_video(video_id)
    if path.is_dir():
        return JpegFolder(path)
    kept = path_inside(layout.root / "cache" / "index", f"{video_id}.npz")
    if _is_newer(kept, path) and (index := _read_index(kept)):
        return Video(path, index=index, cut=layout.get_cut_range(path))
    opened = Video(path, cut=layout.get_cut_range(path))
    if len(opened.index.pts) > 5000:  # reading through minutes of video takes a while: keep what was found
        with contextlib.suppress(OSError), atomic_path(kept) as part:  # a read-only or full disk: only slower
            np.savez(part, **opened.index._asdict())
    return opened


def _read_index(path):
    """A kept video.PacketIndex; None where the file is damaged or an older version's, so that it is made anew."""
    try:
        with np.load(path) as arrays:
            return PacketIndex(**arrays)
    except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None


class FrameSource:
    """Frames of a layout's videos by AVA number, from the cache where there is one, else as `open_video` finds them.

    Readers are opened when first used and kept, at most `open_files` a process; workers open their own.
    lost: table video_id, timestamp, reason of the keyframes that can't be had (see `lost_keyframes`). uncached: ids of
    videos that are read from their files although there is a cache: it can't be written.
    """

    def __init__(self, layout, cache_short_side=None, open_files=16, lost=None, uncached=()):
        self.layout, self.cache_short_side, self.open_files = layout, cache_short_side, open_files
        self.uncached = frozenset(uncached)
        self.lost = pd.DataFrame(columns=LOST) if lost is None else lost
        self._gone = set(zip(self.lost.video_id, self.lost.timestamp, strict=True))
        self._readers = OrderedDict()

    def reader(self, video_id):
        """The open reader of one video (video.PackedFrames, video.Video or video.JpegFolder)."""
        if video_id in self._readers:
            self._readers.move_to_end(video_id)
            return self._readers[video_id]
        if self._is_cached(video_id):
            reader = FrameCache(self.path(video_id))
        else:
            reader = open_video(self.layout, video_id)
        self._readers[video_id] = reader
        if len(self._readers) > self.open_files:
            self._readers.popitem(last=False)[1].close()
        return reader

    def path(self, video_id):
        """The file or folder that a video's frames are read from."""
        if self._is_cached(video_id):
            return get_cache_path(self.layout, video_id, self.cache_short_side)
        return self.layout.find_video(video_id)

    def _is_cached(self, video_id):
        return self.cache_short_side and video_id not in self.uncached

    def check(self, video_id, timestamp):
        """Raise VideoError for a keyframe that is known to be lost."""
        if (video_id, timestamp) in self._gone:
            raise VideoError(f"{video_id},{timestamp:04.0f}: lost, see the list at the start")

    def __getstate__(self):
        return {**self.__dict__, "_readers": OrderedDict()}  # open files do not travel to workers


def get_cache_path(layout, video_id, short_side):
    """Where a video's packed frames at this short side are kept. Raises ValueError for an id that leads elsewhere."""
    return path_inside(layout.root / "cache" / f"short_{short_side}", f"{video_id}.frames")


def open_frames(layout, recipe, keyframes, progress=True, max_lost=0.01):
    """A FrameSource for these lists of keyframes; packed first if the recipe says so.

    Keyframes that a missing, broken or short video costs are printed and left out, up to the share `max_lost` of them.
    Raises VideoError beyond, that names and counts the videos and the keyframes they cost.
    """
    every = pd.DataFrame({c: np.concatenate([getattr(k, f"{c}s") for k in keyframes]) for c in LOST[:2]})
    broken, uncached = {}, ()
    if short_side := recipe.cache_short_side:
        present, broken = _present(layout, every.video_id.unique())
        if missing := _unpacked(layout, present, short_side):
            folder = next(iter(missing.values())).parent
            if is_writable(folder):
                broken |= _build(layout, missing, short_side, progress=progress)
            else:
                print(f"{folder} can't be written: frames of {len(missing)} videos are read from their files, slower")
                uncached = missing
    frames = FrameSource(layout, short_side, uncached=uncached)
    lost = find_lost_keyframes(frames, every, broken)
    if len(lost) > max_lost * len(every):
        raise VideoError(
            f"{layout.root}: {_in_words(lost, every, f', more than the {max_lost:.0%} that may be')}. "
            "Run notebook 01 (avalib.check), or take their rows out of the csv."
        )
    if len(lost):
        print(f"left out: {_in_words(lost, every)}")
    return FrameSource(layout, short_side, lost=lost, uncached=uncached)


def find_lost_keyframes(frames, every, broken=None):
    """The keyframes that have no frame of their own: a table video_id, timestamp, reason.

    every: table video_id, timestamp. broken: {video_id: reason} of what is known already. A video is lost when it can't
    be opened, a keyframe when it lies after the video's last frame.
    """
    broken, tables = broken or {}, [pd.DataFrame(columns=LOST)]
    for video_id, rows in every.groupby("video_id", sort=False):
        reason, gone = broken.get(video_id), np.ones(len(rows), bool)
        if not reason:
            try:
                last = frames.reader(video_id).n_ava_frames
                gone = to_frame_number(rows.timestamp.to_numpy(), frames.layout.start_s) > last
                reason = f"{video_id}: ends at frame {last} ({last / AVA_FPS:.1f} s)"
            except OSError as error:
                reason = str(error)
        if gone.any():
            tables.append(rows[gone].assign(reason=reason))
    return pd.concat([t for t in tables if len(t)] or tables, ignore_index=True)[LOST]


def _in_words(lost, every, more=""):
    reasons = [f"{len(rows)} of {reason}" for reason, rows in lost.groupby("reason", sort=False)]
    listed = "; ".join(reasons[:10]) + ("" if len(reasons) <= 10 else f"; and {len(reasons) - 10} more")
    n = lost.video_id.nunique()
    return (
        f"{n} of {every.video_id.nunique()} videos are missing or damaged, with {len(lost)} of {len(every)} keyframes "
        f"({len(lost) / len(every):.1%}{more}): {listed}"
    )


def _present(layout, video_ids):
    """(ids of the videos that are there, {id: reason} of the others)."""
    present, missing = [], {}
    for video_id in video_ids:
        try:
            layout.find_video(video_id)
            present.append(video_id)
        except FileNotFoundError as error:
            missing[video_id] = str(error)
    return present, missing


# --- the packed cache -------------------------------------------------------------------------------------------------


def build_frame_caches(layout, video_ids, short_side, workers=None, progress=True):
    """Pack the frames of these videos at `short_side` as JPEGs, in parallel; what is there already stays. -> bytes.

    Random access to training clips is ten times faster than from H.264. How big it will be and how long it takes is
    measured on the first video and printed before. Interrupted, it goes on at the next call.
    Raises OSError that names and counts the videos that can't be read, when the others are done, and before starting
    where the disk has no room.
    """
    video_ids = list(dict.fromkeys(video_ids))
    failed = _build(layout, _unpacked(layout, video_ids, short_side), short_side, workers, progress)
    if failed:
        raise OSError(f"{len(failed)} of {len(video_ids)} videos can't be read: " + "; ".join(failed.values()))
    return sum(get_cache_path(layout, v, short_side).stat().st_size for v in video_ids)


def _is_newer(made, source):
    """Whether a file is there and was made after the video it stands for: a new video is packed anew."""
    return made.exists() and made.stat().st_mtime_ns >= source.stat().st_mtime_ns


def _unpacked(layout, video_ids, short_side):
    """{video_id: path to be} of the videos whose packed frames aren't there, or are older than the video."""
    paths = {v: get_cache_path(layout, v, short_side) for v in dict.fromkeys(video_ids)}
    return {v: path for v, path in paths.items() if not _is_newer(path, layout.find_video(v))}


def _build(layout, missing, short_side, workers=None, progress=True):
    """Pack the videos {video_id: path}. -> {video_id: reason} of those that can't be packed."""
    if not missing:
        return {}
    folders = {path.parent for path in missing.values()}
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    clear_abandoned_parts(*folders, layout.root / "cache" / "index")
    workers = workers or min(os.cpu_count(), len(missing))
    plan = plan_frame_caches(layout, missing, short_side, workers)
    if plan:
        print(
            f"packing {plan['videos']} videos at short side {short_side}: about {plan['GB']:.2f} GB "
            f"({free_bytes(layout.root) / 1e9:,.0f} GB free) and {plan['minutes']:.1f} minutes in {workers} "
            f"processes ({plan['frames_per_s']:.0f} frames a second each)"
        )
        check_free_space(layout.root, plan["GB"] * 1e9, "for the packed frames")
    return _pack(layout, missing, short_side, workers, progress)


def plan_frame_caches(layout, video_ids, short_side, workers=1, sample=30):
    """What packing will take, from `sample` frames of the first video that can be read, packed for a trial.

    -> {"videos", "frames", "GB", "frames_per_s" of one process, "minutes"}; empty where none can be read.
    """
    seconds = 0.0
    for video_id in video_ids:
        try:
            seconds += _seconds(layout, video_id)
        except OSError:
            continue  # said when it is packed
    for video_id in video_ids:
        try:
            started = time.perf_counter()
            with open_video(layout, video_id) as opened:
                started = time.perf_counter()
                size, count = estimate_cache_size(opened, short_side, sample)
        except OSError:
            continue
        rate = count / (time.perf_counter() - started)
        frames = round(seconds * AVA_FPS)
        size = size / count * frames / 1e9
        minutes = frames / rate / workers / 60
        return {"videos": len(video_ids), "frames": frames, "GB": size, "frames_per_s": rate, "minutes": minutes}
    return {}


def _seconds(layout, video_id):
    path = layout.find_video(video_id)
    if path.is_dir():
        return len(os.listdir(path)) / AVA_FPS
    cut = layout.get_cut_range(path)
    whole = read_duration_s(path)
    return whole if cut is None else min(max(whole - cut[0], 0), cut[1])


def _pack_one(layout, video_id, path, short_side):
    with open_video(layout, video_id) as opened:
        write_frame_cache(opened, path, short_side)


def _pack(layout, paths, short_side, workers, progress):
    """{video_id: reason} of those that failed."""
    failed = {}
    given = {video_id: (layout, video_id, path, short_side) for video_id, path in paths.items()}
    bar = tqdm(total=len(paths), desc=f"packing frames at short side {short_side}", unit="video", disable=not progress)
    with bar:
        for video_id, outcome in run_parallel(_pack_one, workers, given):
            try:
                outcome()
            except VideoError as error:
                failed[video_id] = str(error)
            bar.update()
    return failed
