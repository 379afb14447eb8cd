"""Decompressed bytes of an input, in order: plain, .gz or .zst, told by its first bytes and never by its name."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from typing import IO, Protocol, cast

_CHUNK = 1 << 18
_SKIP = 1 << 20
GZIP_MAGIC = b"\x1f\x8b"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


class DamagedError(Exception):
    """The compressed bytes end early or make no sense from here on."""


class Stream(Protocol):
    """Bytes in order."""

    @property
    def consumed(self) -> int:
        """Bytes taken from the input itself (compressed, if it is)."""
        ...

    def readinto(self, view: memoryview) -> int:
        """Put at least one byte into ``view``; 0 at the end. Raises OSError or DamagedError."""
        ...


class RawFile:
    """A regular file, read no further than it reached when it was opened."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.size = os.fstat(descriptor).st_size
        self.consumed = 0

    def readinto(self, view: memoryview) -> int:
        room = min(len(view), self.size - self.consumed)
        if room <= 0:
            return 0
        count = os.preadv(self._descriptor, [view[:room]], self.consumed)
        self.consumed += count
        return count

    def close(self) -> None:
        os.close(self._descriptor)


class RawPipe:
    """Standard input, a named pipe, or any binary file object."""

    size: int | None = None

    def __init__(self, file: IO[bytes], *, owned: bool = False) -> None:
        self._file = file
        self._owned = owned
        self.consumed = 0

    def readinto(self, view: memoryview) -> int:
        reader = getattr(self._file, "readinto", None)
        if reader is not None:
            count = int(reader(view) or 0)
        else:
            data = self._file.read(len(view))
            count = len(data)
            view[:count] = data
        self.consumed += count
        return count

    def close(self) -> None:
        if self._owned:
            self._file.close()


class Gzip:
    """One or more gzip members. As with gzip itself, what follows the last one is ignored with a warning."""

    def __init__(self, raw: Feed) -> None:
        self._raw = raw
        self._input = b""
        self._member = zlib.decompressobj(31)
        self._made = 0
        self.warning = ""

    @property
    def consumed(self) -> int:
        return self._raw.consumed

    def readinto(self, view: memoryview) -> int:
        while True:
            if not self._input:
                self._input = self._raw.read(_CHUNK)
            if self._member.eof and not self._next_member():
                return 0
            dry = not self._input
            try:
                data = self._member.decompress(self._input, len(view))
            except zlib.error as error:
                raise DamagedError(f"the compressed file is damaged ({error})") from None
            self._input = self._member.unconsumed_tail or self._member.unused_data
            if data:
                view[: len(data)] = data
                return len(data)
            if dry and not self._member.eof:
                raise DamagedError(self._raw.problem or "the compressed file is truncated")

    def _next_member(self) -> bool:
        self._input = self._input.lstrip(b"\0")
        while not self._input:
            fresh = self._raw.read(_CHUNK)
            if not fresh:
                return False
            self._input = fresh.lstrip(b"\0")
        if len(self._input) < 2:
            self._input += self._raw.read(_CHUNK)
        if not self._input.startswith(GZIP_MAGIC):
            self.warning = "what follows the compressed data was ignored (trailing garbage)"
            return False
        self._member = zlib.decompressobj(31)
        return True


class Zstd:
    """One or more zstd frames. The frames are walked block by block, as the decoder does not tell a cut one."""

    def __init__(self, raw: Feed) -> None:
        import zstandard

        self._raw = raw
        self._error = zstandard.ZstdError
        self._parts = self._frames()
        self._part = b""
        self._cut = ""
        self._reader = zstandard.ZstdDecompressor(max_window_size=1 << 31).stream_reader(
            cast("IO[bytes]", self), read_size=_CHUNK, read_across_frames=True
        )

    @property
    def consumed(self) -> int:
        return self._raw.consumed

    def readinto(self, view: memoryview) -> int:
        try:
            count = int(self._reader.readinto(view[:_CHUNK]) or 0)
        except self._error as error:
            raise DamagedError(f"the compressed file is damaged ({error})") from None
        if not count and self._cut:
            raise DamagedError(self._cut)
        return count

    def read(self, size: int) -> bytes:
        """Compressed bytes for the decoder: whole blocks only, so that it never meets a cut one."""
        if not self._part:
            self._part = next(self._parts, b"")
        part, self._part = self._part[:size], self._part[size:]
        return part

    def _frames(self) -> Iterator[bytes]:
        """The compressed parts, up to the first that is cut (RFC 8878, section 3.1)."""
        while magic := self._raw.read(4):
            if len(magic) == 4 and magic[0] & 0xF0 == 0x50 and magic[1:] == b"\x2a\x4d\x18":
                size = self._exactly(4)
                if size is None or self._exactly(int.from_bytes(size, "little")) is None:
                    return
                continue
            if magic != ZSTD_MAGIC:
                self._cut = "the compressed file is damaged (what follows is no zstd frame)"
                return
            header = self._exactly(1)
            if header is None:
                return
            rest = self._exactly(_frame_header_rest(header[0]))
            if rest is None:
                return
            yield magic + header + rest
            yield from self._blocks(has_checksum=bool(header[0] & 4))

    def _blocks(self, has_checksum: bool) -> Iterator[bytes]:
        last = False
        while not last:
            header = self._exactly(3)
            if header is None:
                return
            word = int.from_bytes(header, "little")
            last, kind, size = bool(word & 1), word >> 1 & 3, word >> 3
            body = self._exactly(1 if kind == 1 else size)
            if body is None:
                return
            yield header + body
        if has_checksum:
            checksum = self._exactly(4)
            if checksum is not None:
                yield checksum

    def _exactly(self, size: int) -> bytes | None:
        data = self._raw.read(size)
        if len(data) < size:
            self._cut = self._raw.problem or "the compressed file is truncated"
            return None
        return data


def _frame_header_rest(descriptor: int) -> int:
    """Length of a zstd frame header behind its descriptor byte."""
    single = descriptor >> 5 & 1
    content = (single, 2, 4, 8)[descriptor >> 6]
    return (1 - single) + (0, 1, 2, 4)[descriptor & 3] + content


class Feed:
    """A stream that can be looked at ahead, and that ends early with a ``problem`` instead of raising."""

    def __init__(self, stream: Stream, remaining: int | None = None) -> None:
        self._stream = stream
        self._length = remaining
        self._ahead = memoryview(b"")
        self._ended = False
        self.offset = 0
        self.problem = ""

    @property
    def consumed(self) -> int:
        """Bytes taken from the input itself so far, those looked at ahead included."""
        return self._stream.consumed

    @property
    def remaining(self) -> int | None:
        """Bytes that are left, where the length is known."""
        return None if self._length is None else max(0, self._length - self.offset)

    def peek(self, size: int) -> bytes:
        """The next ``size`` bytes, fewer only at the end; they will come again."""
        if len(self._ahead) < size and not self._ended:
            offset, ahead = self.offset, bytes(self._ahead)
            self._ahead = memoryview(b"")
            self._ahead = memoryview(ahead + self.read(size - len(ahead)))
            self.offset = offset
        return bytes(self._ahead[:size])

    def fill(self, view: memoryview) -> int:
        """Fill ``view`` from its start; fewer bytes than it holds only at the end."""
        done = min(len(view), len(self._ahead))
        view[:done] = self._ahead[:done]
        self._ahead = self._ahead[done:]
        while done < len(view) and not self._ended:
            try:
                count = self._stream.readinto(view[done:])
            except (OSError, DamagedError) as error:
                self.problem = getattr(error, "strerror", None) or str(error)
                count = 0
            self._ended = count == 0
            done += count
        self.offset += done
        return done

    def read(self, size: int) -> bytes:
        """The next ``size`` bytes, fewer only at the end."""
        buffer = bytearray(size)
        count = self.fill(memoryview(buffer))
        return bytes(memoryview(buffer)[:count])

    def skip_to(self, offset: int) -> bool:
        """Go to a place further on; False where the lane ends before it."""
        if isinstance(self._stream, RawFile) and self.offset + len(self._ahead) < offset <= self._stream.size:
            self._ahead = memoryview(b"")
            self._stream.consumed = self.offset = offset
        while self.offset < offset:
            if not self.read(min(_SKIP, offset - self.offset)):
                return False
        return True
