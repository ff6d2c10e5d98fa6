"""The base class of this package's own exceptions. Each exception lives in the module that raises it."""


class AvalibError(Exception):
    """An error whose message tells a user what was wrong, where, and what to do next.

    A notebook shows the message alone. The frames of this package's own functions would not help the reader;
    `%debug` and a log of the command line still have them.
    """

    def _render_traceback_(self):
        return [f"{type(self).__name__}: {self}"]
