"""The bytes of a pickle, read one after the other: counts, lines and numbers, each checked against the file's end."""

from avalib.utils.pickled_arrays import PickleError

LONGEST_INT = 32  # bytes of an integer, or twice as many digits


class PickleBytes:
    """A position in the bytes of a pickle. Every method moves it behind what it returns.

    Parameters
    ----------
    data : bytes
    position : int
        The first byte to be read.
    """

    def __init__(self, data: bytes, position: int):
        self.data = data
        self.position = position

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        start = self.position
        self.position = start + count
        if count < 0 or self.position > len(self.data):
            raise PickleError(f"it is cut short: {count:,} bytes are announced at byte {start:,} of {len(self.data):,}")
        return self.data[start : self.position]

    def take_count(self, size: int) -> int:
        """The next count, which has `size` bytes."""
        return int.from_bytes(self.take(size), "little")

    def take_line(self) -> bytes:
        """The bytes up to the next line end, which is skipped."""
        end = self.data.find(b"\n", self.position)
        if end < 0:
            raise PickleError(f"it is cut short at byte {self.position:,}")
        text = self.data[self.position : end]
        self.position = end + 1
        return text

    def take_digits(self) -> bytes:
        """The next line, a number in decimal digits."""
        # Python takes quadratic time for long numbers
        text = self.take_line()
        if len(text) > 2 * LONGEST_INT:
            raise PickleError(f"a number of {len(text):,} digits; expected at most {2 * LONGEST_INT}")
        return text.strip()
