"""What runs on the machines of a Ray cluster: one stretch of a video at a time, with a model that is loaded once."""

import contextlib
import time
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from avalib.detection.detect_video import VideoFacts, describe_video
from avalib.detection.detection_times import choose_times
from avalib.detection.detections_file import read_detections
from avalib.detection.run_settings import describe_settings
from avalib.detection.stretches import StretchResult, split_times
from avalib.detection.training_data import describe_rendered_people
from avalib.detection.video_item import (
    RunPlan,
    VideoItem,
    VideoWorker,
    describe_error,
    draw_overlay,
    open_source,
)
from avalib.video.packet_index import PacketIndex
from avalib.video.reader import Video


@dataclass(frozen=True)
class VideoStart:
    """What the first stretch of a video tells about all of it."""

    facts: VideoFacts
    times_s: np.ndarray  # (M,) all times
    packet_index: PacketIndex  # saves the other stretches reading the file through


@dataclass(frozen=True)
class StretchOutput:
    """What an actor returns."""

    work_s: float
    result: StretchResult | None = None
    start: VideoStart | None = None  # with the first stretch
    error: str = ""


@dataclass(frozen=True)
class ModelFacts:
    """What an actor says about the model that it has loaded."""

    settings: dict  # what the results depend on, see `describe_settings`
    label_map: dict  # {action_id: name}
    warning: str  # see `describe_rendered_people`


class StretchActor:
    """What runs on the machines of the cluster; see VideoWorker.

    Parameters
    ----------
    plan_refs : list of one Ray reference
        To a RunPlan. In a list, as Ray's restarts lose arguments that it resolves itself.
    cores : int
    """

    def __init__(self, plan_refs: list, cores: int):
        import ray

        torch.set_num_threads(cores)
        self.plan: RunPlan = ray.get(plan_refs[0])
        self._worker = None
        self._open = contextlib.ExitStack()  # the file of the last stretch, a download perhaps
        self._source = None
        self._path = None

    def describe(self) -> ModelFacts:
        """What the driver, which loads no model, has to know of it."""
        detector = self._load()
        return ModelFacts(
            describe_settings(self.plan.settings, detector, torch.get_num_threads()),
            dict(detector.loaded.label_map),
            describe_rendered_people(detector.loaded.action_model),
        )

    def detect_stretch(self, item: VideoItem, number: int, start: VideoStart | None) -> StretchOutput:
        """Detect in a stretch of a video. start: from the first stretch, None for that."""
        started_s = time.perf_counter()
        try:
            # Every stretch opens the file anew, as its results may not depend on the one before.
            path = self._open_file(item.source)
            detector = self._load()
            with Video(path, packet_index=start and start.packet_index) as reader:
                settings = self.plan.settings
                times_s = choose_times(reader, None, settings.step, settings.start, settings.stop)
                result = detector.run_stretch(
                    detector.open_clips(reader, split_times(times_s, detector.stretch_len), number)
                )
                first = VideoStart(describe_video(reader), times_s, reader.packet_index) if start is None else None
        except Exception as error:
            return StretchOutput(time.perf_counter() - started_s, error=describe_error(error, item))
        return StretchOutput(time.perf_counter() - started_s, result, first)

    def draw(self, item: VideoItem) -> StretchOutput:
        """Write the video with boxes of a finished table, into the run's folder."""
        started_s = time.perf_counter()
        try:
            table = read_detections(self.plan.folder / item.output)
            draw_overlay(self.plan, item, self._open_file(item.source), table)
        except Exception as error:
            return StretchOutput(time.perf_counter() - started_s, error=describe_error(error, item))
        return StretchOutput(time.perf_counter() - started_s)

    def _load(self):
        """The detector, loaded at the first call: an error belongs to a call, and Ray reports it."""
        if self._worker is None:
            self._worker = VideoWorker(self.plan)
        return self._worker.detector

    def set_recorded(self, recorded: dict) -> None:
        """What the tables' metadata says of the settings."""
        self.plan = replace(self.plan, recorded=recorded)

    def _open_file(self, source):
        """The path of a video; a URL is downloaded to this machine until another video comes."""
        if source != self._source:
            self._open.close()
            self._source = None
            folder = self._open.enter_context(TemporaryDirectory(prefix="avalib-"))
            self._path = self._open.enter_context(open_source(source, Path(folder), self.plan.settings.mirror))
            self._source = source
        return self._path
