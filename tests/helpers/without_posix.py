"""A process in which avalib's code meets no POSIX: `python without_posix.py LAYOUT FOLDER JOB …` does jobs.

The standard library and other packages keep what they need to run here. Only code of the package `avalib` (in this
process and in those it starts) finds the modules, calls and signals gone that Windows lacks, reads "win32" in
sys.platform, may make no symbolic link, and can't rename or remove a file that the process holds open.

Prints a line of json: {job: null, or the traceback of what it raised}.
"""

import builtins
import importlib
import json
import multiprocessing
import os
import pathlib
import pkgutil
import re
import select
import signal
import socket
import sys
import time
import traceback
import types
from pathlib import Path

import psutil

from avalib.training.train_config import configure_training

MODULES = {"resource", "fcntl", "pwd", "grp", "termios", "tty", "pty", "syslog", "posix", "curses", "readline", "crypt"}
GONE = {
    os: set(
        "pread pwrite preadv pwritev readv writev sendfile fork forkpty killpg getpgid getpgrp setpgid setpgrp setsid "
        "getsid sysconf sysconf_names confstr sched_getaffinity sched_setaffinity sched_yield getuid geteuid getgid "
        "getegid getgroups setuid setgid uname nice getloadavg getpriority setpriority chown lchown fchown fchmod "
        "mkfifo mknod statvfs fstatvfs sync fdatasync posix_fadvise posix_fallocate register_at_fork wait wait3 wait4 "
        "waitid WNOHANG WIFEXITED WEXITSTATUS WIFSIGNALED WTERMSIG O_NONBLOCK O_CLOEXEC O_DIRECTORY O_NOFOLLOW O_SYNC "
        "ttyname ctermid openpty memfd_create copy_file_range splice chroot lockf F_LOCK pipe2 eventfd".split()
    ),
    signal: set(
        "SIGKILL SIGALRM SIGHUP SIGQUIT SIGUSR1 SIGUSR2 SIGCHLD SIGCONT SIGSTOP SIGTSTP SIGPIPE SIGXFSZ SIGXCPU "
        "SIGWINCH SIG_BLOCK SIG_SETMASK SIG_UNBLOCK alarm setitimer getitimer ITIMER_REAL pthread_sigmask pthread_kill "
        "siginterrupt sigwait sigpending pause".split()
    ),
    select: {"poll", "epoll"},
    socket: {"AF_UNIX", "socketpair"},
    time: {"tzset"},
}


def _by_avalib(depth):
    """Whether the code that asks, so many calls up, is of the package."""
    return sys._getframe(depth + 1).f_globals.get("__name__", "").split(".")[0] == "avalib"


def show(module, gone=(), **others):
    """Let avalib see a module without some of its names, and with others in place of its own."""

    class Shown(types.ModuleType):
        def __getattribute__(self, name):
            if (name in gone or name in others) and _by_avalib(1):
                if name in others:
                    return others[name]
                raise AttributeError(f"module {module.__name__!r} has no attribute {name!r} here")
            return super().__getattribute__(name)

    module.__class__ = Shown


def refuse_open_files(*paths):
    """Raise what Windows raises where a file is renamed, replaced or removed while it is open."""
    held = {os.path.realpath(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")}
    for path in paths:
        if os.path.realpath(path) in held:
            raise PermissionError(13, "used by another process (it is open here)", str(path))


def require_closed(function, n_paths):
    """A call of os or a method of Path that takes paths (the first n_paths arguments), for closed files alone."""

    def call(*args, **options):
        if _by_avalib(1):
            refuse_open_files(*args[:n_paths])
        return function(*args, **options)

    return call


def no_link(*_args, **_options):
    raise OSError(1314, "A required privilege is not held by the client")


def leave_posix():
    """From here on avalib meets no POSIX. Call before avalib is imported."""
    real_import = builtins.__import__

    def imported(name, globals=None, *args, **options):
        package = (globals or {}).get("__name__", "").split(".")[0]
        if package == "avalib" and name.split(".")[0] in MODULES:
            raise ModuleNotFoundError(f"No module named {name!r} here", name=name)
        return real_import(name, globals, *args, **options)

    def get_context(method=None):
        if method in ("fork", "forkserver") and _by_avalib(1):
            raise ValueError(f"cannot find context for {method!r}")
        return real_context(method or "spawn")

    real_context = multiprocessing.get_context
    builtins.__import__ = imported
    # how many of the first arguments are paths
    n_paths = {"remove": 1, "unlink": 1, "rename": 2, "replace": 2}
    changed = {name: require_closed(getattr(os, name), count) for name, count in n_paths.items()}
    show(os, GONE.pop(os), symlink=no_link, O_BINARY=0, **changed)
    for module, names in GONE.items():
        show(module, names)
    show(sys, (), platform="win32")
    show(multiprocessing, (), get_context=get_context)
    for name, count in (("unlink", 1), ("rename", 2), ("replace", 2)):
        setattr(pathlib.Path, name, require_closed(getattr(pathlib.Path, name), count))
    pathlib.Path.symlink_to = no_link


if __name__ in ("__main__", "__mp_main__"):  # also in the processes that a job starts
    leave_posix()


# --- the jobs ---------------------------------------------------------------------------------------------------------


def hidden(layout, folder):
    """What is hidden is hidden from avalib, and from nobody else."""
    asker = types.ModuleType("avalib.asker")
    code = "import os, signal, sys\nfound = hasattr(os, 'pread'), hasattr(signal, 'SIGKILL'), sys.platform == 'linux'"
    exec(code, vars(asker))
    assert asker.found == (False, False, False) and hasattr(os, "pread") and sys.platform != "win32"
    for module in ("resource", "fcntl"):
        try:
            exec(f"import {module}", vars(asker))
        except ImportError:
            continue
        raise AssertionError(f"avalib could import {module}")


def imports(layout, folder):
    """Every module of the package."""
    import avalib

    failed = {}
    for info in pkgutil.walk_packages(avalib.__path__, "avalib."):
        if not info.name.endswith(".__main__"):
            try:
                importlib.import_module(info.name)
            except Exception as error:
                failed[info.name] = repr(error)
    assert not failed, failed


def evaluate(layout, folder):
    """Two csv files scored."""
    import avalib

    (folder / "gt.csv").write_text("v,902,0.1,0.1,0.5,0.9,12,0\nv,903,0.1,0.1,0.5,0.9,12,0\n", encoding="utf-8")
    (folder / "det.csv").write_text("v,902,0.1,0.1,0.5,0.9,12,0.9\nv,903,0.6,0.1,0.9,0.9,12,0.8\n", encoding="utf-8")
    report = avalib.evaluate(str(folder / "gt.csv"), str(folder / "det.csv"), label_map={12: "stand"})
    assert report.mAP == 0.5, report.mAP


def frame_cache(layout, folder, workers=1):
    """A frame cache is written and read: each frame is the video's own, but for its JPEG."""
    import numpy as np

    from avalib.video.frame_cache import FrameCache
    from avalib.video.frame_cache_builder import build_frame_caches
    from avalib.video.frame_source import get_cache_path, open_video

    names = sorted(path.stem for path in layout.videos.iterdir())[:2]
    with open_video(layout, names[0]) as video:
        side = min(video.height, video.width)
    build_frame_caches(layout, names, side, workers, progress=False)
    for name in names:
        with (
            FrameCache(get_cache_path(layout, name, side)) as cached,
            open_video(layout, name) as video,
        ):
            numbers = [1, cached.n_ava_frames // 2, cached.n_ava_frames]
            far = np.abs(cached.read_ava_frames(numbers).astype(int) - video.read_ava_frames(numbers)).mean()
            assert far < 5, far


def frame_cache_by_processes(layout, folder):
    """The same, written by two processes, which find no POSIX either."""
    frame_cache(layout, folder, workers=2)


def train(layout, folder):
    """An epoch with worker processes, a second call that finds it done, and its detections scored."""
    import tiny_model

    from avalib.evaluation import evaluator
    from avalib.evaluation.inference import detect_dataset, load_trained_model
    from avalib.training.engine import train_model

    recipe = tiny_model.replace(tiny_model.RECIPE, epochs=1)
    config = configure_training(tiny_model.ENTRY, recipe, layout, "cpu", "float32", workers=1)
    log = train_model(config, folder / "run", progress=False)
    again = train_model(config, folder / "run", progress=False)
    assert len(again) == len(log) and (folder / "run" / "best.pth").exists()
    model, recipe = load_trained_model(None, folder / "run" / "best.pth", "tiny")
    table, _ = detect_dataset(model, layout, "val", recipe, "cpu", "float32", progress=False)
    report = evaluator.evaluate(layout.get_csv_path("val"), table, label_map=layout.evaluated_label_map_path)
    assert 0 <= report.mAP <= 1


def own_data(layout, folder):
    """Own annotations imported, their videos copied as no links can be made, and checked."""
    import avalib

    name = sorted(path.stem for path in layout.videos.iterdir())[0]
    rows = "".join(f"{name},{t},0.1,0.1,0.6,0.9,walk,1\n" for t in (1, 2))
    (folder / "own.csv").write_text("video,time_s,x1,y1,x2,y2,action,person\n" + rows, encoding="utf-8")
    layout = avalib.import_data(folder / "own.csv", "csv", "own", videos=layout.videos, root=folder / "own")
    assert layout.find_video(name).stat().st_size > 0 and not layout.find_video(name).is_symlink()


def download(layout, folder):
    """A file from a server on this machine, and once more from the place where it was kept."""
    import functools
    import http.server
    import threading

    from avalib.utils.download import download_file

    (folder / "net.pth").write_bytes(bytes(range(256)) * 1000)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/net.pth"
        paths = {download_file(url, progress=False) for _ in range(2)}
        server.shutdown()
    assert [path.read_bytes() for path in paths] == [(folder / "net.pth").read_bytes()]


def record(layout, folder):
    """A run's record: git, processor, memory, where the system tells them."""
    from avalib.utils.experiment import describe_machine

    hardware = describe_machine()
    assert hardware["memory_GB"] == round(psutil.virtual_memory().total / 1e9)
    assert hardware["cores"] >= 1


def names(layout, folder):
    """Every file that the jobs before this one made has a name that Windows allows, and not in another case too."""
    reserved = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.I)
    for place, folders, files in os.walk(folder.parent):
        assert len({name.casefold() for name in (*folders, *files)}) == len(folders) + len(files), place
        for name in (*folders, *files):
            assert not set(name) & set('<>:"/\\|?*') and name[-1] not in " ." and not reserved.fullmatch(name), name


QUICK = [hidden, imports, evaluate, frame_cache, own_data, download, record, names]
SLOW = [frame_cache_by_processes, train, names]


def main(root, folder, *jobs):
    os.environ["AVALIB_CACHE"] = os.path.join(folder, "downloads")
    from avalib.data.layout import DatasetLayout

    layout, results = DatasetLayout(Path(root), "mini"), {}
    for job in jobs:
        place = Path(folder) / job
        place.mkdir()
        try:
            results[job] = globals()[job](layout, place)
        except Exception:
            results[job] = traceback.format_exc()
    print(json.dumps(results))


if __name__ == "__main__":
    main(*sys.argv[1:])
