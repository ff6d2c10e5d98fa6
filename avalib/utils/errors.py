"""The base class of this package's own exceptions. Each is defined beside the code that it belongs to:

detection.detector_output  DetectorOutputError
detection.onnx_error       OnnxDetectorError
detection.person_detector  DetectorMemoryError
detection.run_settings     SettingsError
draw.mjpeg_server          PortError
evaluation.inference       LogitsNotFiniteError
models.checkpoint_file     CheckpointError
models.export              ExportError
training.checkpointing     WorkerDiedError
training.existing_run      RunExistsError
training.launch            LaunchError
training.logger            DamagedLogError
training.sanity_checks     OverfitError
training.saved_run         DamagedCheckpointError
training.step              LossNotFiniteError
utils.disk_space           DiskFullError
utils.download_errors      DownloadDiskFullError, DownloadError
utils.gpu_memory           GpuMemoryError
utils.locks                LockedError
utils.markdown             PageError
utils.pickled_arrays       ForbiddenNameError, PickleError
utils.run_folder           DamagedRecordError
video.live_source          StreamError, StreamRefusedError
video.video_error          VideoError

Ctrl-C and signals raise utils.interrupts.Stopped, a KeyboardInterrupt.
"""


class AvalibError(Exception):
    """An error whose message tells a user what was wrong, where, and what to do next.

    A notebook shows the message alone. The frames of this package's own functions would not help the reader;
    `%debug` and a log of the command line still have them.
    """

    def _render_traceback_(self):
        return [f"{type(self).__name__}: {self}"]
