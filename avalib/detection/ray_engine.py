"""Run many videos on a Ray cluster: actors with a GPU or some cores each, long videos cut into stretches.

The driver hands every actor one stretch at a time, so nothing piles up. Ray starts a lost actor again as soon as there
is a machine for it; its stretch goes to another actor at once. Tracks and cuts are joined in the driver, which writes
the tables.
"""

import logging
import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

from avalib.detection.detect_video import build_detections
from avalib.detection.detections_file import write_detections_file
from avalib.detection.manifest import DONE, FAILED, ManifestRow
from avalib.detection.stretch_actor import StretchActor
from avalib.detection.stretches import split_times
from avalib.detection.video_detector import join_stretches
from avalib.detection.video_item import RunPlan, VideoItem, get_file_size

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 4  # a stretch whose actor died so often is at fault itself
CPU_CORES = 4  # of an actor without a GPU
GPU_CORES = 8  # at most, of an actor with a GPU: they decode


@dataclass(frozen=True)
class Task:
    """A stretch of a video, or (number None) the video with boxes."""

    item: VideoItem
    number: int | None
    attempts: int = 0


class _VideoInWork:
    """The stretches of one video that are done."""

    def __init__(self, start, start_ref):
        self.start = start
        self.start_ref = start_ref  # in Ray's object store: sent to each machine once
        self.results = {}  # number of the stretch: StretchResult
        self.work_s = 0.0
        self.table = None


class RayEngine:
    """Runs items on a Ray cluster: that of RAY_ADDRESS, a running one on this machine, or a new one here.

    Parameters
    ----------
    plan : RunPlan
        Without `recorded`.
    workers, cores : int, optional
        See `detect_many`.
    """

    def __init__(self, plan: RunPlan, workers: int | None = None, cores: int | None = None):
        try:
            import ray
        except ImportError as error:
            raise ImportError("Ray is not installed: pip install 'avalib[ray]', or use engine='local'") from error
        self._ray = ray
        self._owns_ray = not ray.is_initialized()
        if self._owns_ray:
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            ray.init(log_to_driver=False, include_dashboard=False, logging_level=logging.WARNING)
        self.plan = plan
        cores, has_gpu = self._choose_cores(cores)
        # The plan can hold a whole network: once in Ray's object store, which this process keeps.
        self._plan_ref = ray.put(plan)
        actor_class = ray.remote(num_cpus=cores, num_gpus=int(has_gpu), max_restarts=-1)(StretchActor)
        n_workers = self._choose_workers(workers, cores, has_gpu)
        self._actors = [actor_class.remote([self._plan_ref], cores) for _ in range(n_workers)]
        self._in_work = {}  # VideoItem: _VideoInWork
        self._closed = set()  # VideoItems that have a row
        self._label_map = None

    def _choose_cores(self, cores):
        """The cores of an actor, and whether it has a GPU."""
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        with_gpu = [node for node in nodes if node.get("GPU")]
        device = str(self.plan.settings.device)
        has_gpu = device.startswith("cuda") or (device == "auto" and bool(with_gpu))
        if has_gpu and not with_gpu:
            raise ValueError(f"device={device!r}: no machine of the Ray cluster has a GPU")
        if cores is None and has_gpu:
            cores = min(GPU_CORES, *(int(node.get("CPU", 1) // node["GPU"]) for node in with_gpu))
        elif cores is None:
            cores = min(CPU_CORES, *(int(node.get("CPU", 0)) for node in nodes if node.get("CPU")))
        return max(cores, 1), has_gpu

    def _choose_workers(self, workers, cores, has_gpu):
        """How many actors: as many as the machines have resources for."""
        needed = {"CPU": cores, "GPU": 1} if has_gpu else {"CPU": cores}
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        n_fitting = sum(min(int(node.get(name, 0) // count) for name, count in needed.items()) for node in nodes)
        if n_fitting == 0:
            raise ValueError(f"cores={cores}: no machine of the Ray cluster has {needed}")
        return min(workers or n_fitting, n_fitting)

    def describe(self) -> dict:
        """What the results depend on, by the actor that is ready first."""
        ray = self._ray
        try:
            ready, _ = ray.wait([actor.describe.remote() for actor in self._actors], num_returns=1)
            model = ray.get(ready[0])
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None  # as without Ray: the model could not be loaded
        if model.warning:
            logger.warning("%s", model.warning)
        self._label_map = model.label_map
        return model.settings

    def run(self, items: list[VideoItem], recorded: dict) -> Iterator[ManifestRow]:
        """Yield each video's row as soon as it is done. recorded: what the tables' metadata says of the settings."""
        ray = self._ray
        self.plan = replace(self.plan, recorded=recorded)
        waiting = deque(Task(item, 0) for item in items)
        # {reference of a call: (actor, its Task or None)}; an actor takes work when it has answered a first call.
        calls = {self._prepare_actor(actor): (actor, None) for actor in self._actors}
        idle = []
        n_open = len(waiting)  # videos without a row
        while n_open:
            while waiting and idle:
                actor = idle.pop()
                task = waiting.popleft()
                calls[self._start(actor, task)] = actor, task
            # The next call that ends: a stretch, or the first call of an actor.
            if not calls:
                raise RuntimeError("no actor of the Ray cluster is left; `ray status` shows its machines")
            finished, _ = ray.wait(list(calls), num_returns=1)
            actor, task = calls.pop(finished[0])
            row = None
            try:
                output = ray.get(finished[0])
                idle.append(actor)
                if task is not None and self._is_open(task):
                    row = self._finish(task, output, waiting)
            except ray.exceptions.RayActorError as error:
                if task is None:
                    logger.warning("an actor cannot be started: %s", error)
                    continue
                calls[self._prepare_actor(actor)] = actor, None
                if self._is_open(task):
                    row = self._move(task, waiting)
            if row is not None:
                n_open -= 1
                self._in_work.pop(task.item, None)
                self._closed.add(task.item)
                yield row

    def _prepare_actor(self, actor):
        """A first call of an actor, also after Ray has started it again, which it answers when it is ready."""
        return actor.set_recorded.options(max_task_retries=-1).remote(self.plan.recorded)

    def _is_open(self, task):
        """Whether a task's video has no row yet; the others in work go on when one stretch has failed."""
        return task.item not in self._closed

    def _start(self, actor, task):
        """Call an actor. Returns the reference of its output."""
        if task.number is None:
            return actor.draw.remote(task.item)
        in_work = self._in_work.get(task.item)
        return actor.detect_stretch.remote(task.item, task.number, in_work and in_work.start_ref)

    def _move(self, task, waiting):
        """Put the task of a lost actor first; the row of its video if it was lost too often."""
        if task.attempts + 1 < MAX_ATTEMPTS:
            logger.warning("%s: a machine was lost; another one goes on", task.item.video)
            waiting.appendleft(replace(task, attempts=task.attempts + 1))
            return None
        return self._fail(
            task.item,
            waiting,
            f"{task.item.video}: its process died {MAX_ATTEMPTS} times: out of memory, or a library's fault",
        )

    def _fail(self, item, waiting, error):
        """The row of a video that failed; its other stretches are not needed."""
        for task in [task for task in waiting if task.item == item]:
            waiting.remove(task)
        return ManifestRow(item.video, FAILED, item.output, get_file_size(item.source), error=error)

    def _finish(self, task, output, waiting):
        """Take an actor's output; the row of the video if that was the last one."""
        item = task.item
        # An error of the video, not of its machine, is not tried again.
        if output.error:
            return self._fail(item, waiting, output.error)
        if task.number == 0:
            self._in_work[item] = _VideoInWork(output.start, self._ray.put(output.start))
        # With its last stretch the video's table is written.
        in_work = self._in_work[item]
        in_work.work_s += output.work_s
        if task.number is not None:
            in_work.results[task.number] = output.result
            n_stretches = len(split_times(in_work.start.times_s, self.plan.settings.stretch_len))
            # The rest of a long video before other videos.
            if task.number == 0:
                waiting.extendleft(Task(item, number) for number in range(n_stretches - 1, 0, -1))
            if len(in_work.results) < n_stretches:
                return None
            in_work.table = self._write_table(item, in_work)
            if self.plan.write_overlay is not None:
                waiting.appendleft(Task(item, None))
                return None
        return ManifestRow(
            item.video,
            DONE,
            item.output,
            get_file_size(item.source),
            video_s=round(in_work.start.facts.duration_s, 3),
            work_s=round(in_work.work_s, 3),
            rows=len(in_work.table),
        )

    def _write_table(self, item, in_work):
        """Join the stretches of a video and write its table."""
        results = [in_work.results[number] for number in sorted(in_work.results)]
        start = in_work.start
        result = join_stretches(results, start.times_s, start.facts.missing_frames, (), in_work.work_s)
        table = build_detections(result, start.facts, self._label_map, self.plan.settings)
        write_detections_file(table, self.plan.folder / item.output, self.plan.recorded)
        return table

    def close(self) -> None:
        """Give the actors' machines back."""
        for actor in self._actors:
            self._ray.kill(actor)
        if self._owns_ray:
            self._ray.shutdown()
