"""What makes every byte of an archive accounted for: a checksum of each row group's bytes, and one of the footer.

Parquet protects its pages only, and not what tells where they are and what they hold. So the bytes of each row group
are summed as they are written (CRC-32, which finds every change of up to 32 bits in a row), the sums are kept in the
footer's own key-value metadata, and the footer ends with a sum of itself, written into a place that was kept free for
it. Any other reader of Parquet sees one key more.
"""

from __future__ import annotations

import io
import os
import zlib
from typing import IO, Any

KEY = "streamgauge.checksum"
# the quotation mark cannot stand in the JSON of another key without a backslash before it
_LABEL = b'crc32 of the footer with zeros here "'
_DIGITS = 8
PLACEHOLDER = (_LABEL + b"0" * _DIGITS).decode()
"""The value of the key until ``seal`` puts the checksum in the place of the zeros."""

_MAGIC = b"PAR1"
_TAIL_BYTES = 8


class Flaw(Exception):
    """These bytes are not what was written. Says what is wrong with them, and not in which file."""


class Sink(io.RawIOBase):
    """What pyarrow writes into: passes everything on to a file and sums it up."""

    def __init__(self, file: IO[bytes]) -> None:
        self.offset = 0
        """How many bytes were written so far."""
        self._file = file
        self._sum = 0
        self._muted = False

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._sum = zlib.crc32(data, self._sum)
        size = memoryview(data).nbytes
        if not self._muted:
            self._file.write(data)
        self.offset += size
        return size

    def mute(self) -> None:
        """Pass nothing on any more."""
        self._muted = True

    def checksum(self) -> int:
        """The checksum of what was written since the last call."""
        found, self._sum = self._sum, 0
        return found


def seal(file: IO[bytes]) -> None:
    """Write the checksum of the footer into the place kept for it. The file is whole, and open to read and write."""
    footer, offset = _footer(file)
    at = footer.rindex(_LABEL) + len(_LABEL)
    file.seek(offset + at)
    file.write(b"%08x" % zlib.crc32(footer))
    file.flush()


def check_seal(file: IO[bytes]) -> None:
    """Raise Flaw unless magic numbers and footer are as they were written."""
    file.seek(0)
    if file.read(len(_MAGIC)) != _MAGIC:
        raise Flaw("it does not begin as a Parquet file")
    footer, _ = _footer(file)
    at = footer.rfind(_LABEL) + len(_LABEL)
    if at < len(_LABEL):
        raise Flaw("its footer has no checksum: it is not an archive")
    expected = footer[at : at + _DIGITS]
    got = b"%08x" % zlib.crc32(footer[:at] + b"0" * _DIGITS + footer[at + _DIGITS :])
    if got != expected:
        raise Flaw(f"the checksum of its footer is {got.decode()}, {expected.decode(errors='replace')} was written")


def check_range(file: IO[bytes], start: int, end: int, expected: int) -> None:
    """Raise Flaw unless the bytes from ``start`` up to ``end`` have the checksum that they were written with."""
    file.seek(start)
    got, left = 0, end - start
    while left and (piece := file.read(min(left, 1 << 20))):
        got = zlib.crc32(piece, got)
        left -= len(piece)
    if left:
        raise Flaw(f"it ends {left} bytes before byte {end}")
    if got != expected:
        raise Flaw(f"the checksum of bytes {start} to {end} is {got:08x}, {expected:08x} was written")


def _footer(file: IO[bytes]) -> tuple[bytes, int]:
    """The footer's bytes with the length and the magic number behind it, and where it begins."""
    size = file.seek(0, os.SEEK_END)
    if size < len(_MAGIC) + _TAIL_BYTES:
        raise Flaw(f"it has {size} bytes: it was not written to its end")
    file.seek(size - _TAIL_BYTES)
    tail = file.read(_TAIL_BYTES)
    offset = size - _TAIL_BYTES - int.from_bytes(tail[:4], "little")
    if tail[4:] != _MAGIC or offset < len(_MAGIC):
        raise Flaw("it does not end as a Parquet file: it was not written to its end, or was cut off")
    file.seek(offset)
    return file.read(size - offset), offset
