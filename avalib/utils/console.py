"""What is shown on the console: log messages of the package, on consoles of any encoding."""

import contextlib
import logging
import sys


def allow_any_text() -> None:
    """Have stdout and stderr escape the letters that their encoding lacks (Windows, a pipe, LC_ALL=C)."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):  # a replaced stream has no encoding to change
            stream.reconfigure(errors="backslashreplace")


class _ConsoleHandler(logging.Handler):
    """Prints messages to the current sys.stdout: a notebook's cell, a terminal, or what has replaced them."""

    def emit(self, record):
        print(self.format(record), flush=True)


def show_log_messages(level: int = logging.INFO) -> None:
    """Show the messages of the `avalib` logger on stdout, each as a line. Called by the command and by notebooks.

    A second call only changes the level. Code that uses the package as a library configures `logging` itself.
    """
    logger = logging.getLogger("avalib")
    logger.setLevel(level)
    if not any(isinstance(handler, _ConsoleHandler) for handler in logger.handlers):
        logger.addHandler(_ConsoleHandler())
    logger.propagate = False  # the root logger's handlers would show each message a second time
