"""The error for videos that cannot be read."""


class VideoError(OSError):
    """A video that is missing, unreadable, truncated or damaged; the message names the file and what happened."""
