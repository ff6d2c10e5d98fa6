"""The error for videos that cannot be read."""

from avalib.utils.errors import AvalibError


class VideoError(AvalibError, OSError):
    """A video that is missing, unreadable, truncated or damaged; the message names the file and what happened."""
