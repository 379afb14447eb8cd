"""Files as lanes: opening an input of any form and compression, and reading it block by block."""

from __future__ import annotations

import hashlib
import os
import stat
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from typing import IO, BinaryIO

from streamgauge.codecs.base import Codec, Piece
from streamgauge.codecs.csv import CsvCodec, CsvForm, read_form
from streamgauge.codecs.json import JsonCodec
from streamgauge.codecs.ndjson import LineCutter, NoRoom
from streamgauge.codecs.parquet import ParquetCodec
from streamgauge.errors import InputError, Mistake, nearest
from streamgauge.event import Block, Lane
from streamgauge.log.detect import BOM, FORMS, HEAD_BYTES, tell_form
from streamgauge.log.expand import expand
from streamgauge.log.streams import GZIP_MAGIC, ZSTD_MAGIC, Feed, Gzip, RawFile, RawPipe, Zstd

__all__ = ["InputOptions", "LaneReader", "NoRoom", "expand", "identify", "open_lane"]


@dataclass(frozen=True)
class InputOptions:
    """How inputs are read.

    ``form`` forces one of ``ndjson``, ``json``, ``csv``, ``parquet``; None tells it from the content. ``max_line`` is
    the longest line, record or array element in bytes, ``block_bytes`` the decompressed bytes of a block. ``columns``
    names the columns of CSV without a header row. With ``resumable``, an unterminated last line that is no whole
    JSON object is left for the next run.
    """

    form: str | None = None
    max_line: int = 16 * 2**20
    block_bytes: int = 2**20
    columns: tuple[str, ...] = ()
    resumable: bool = False


class LaneReader:
    """One open input. Blocks depend on its bytes and on where reading began, never on the buffers given.

    ``problem`` is set when the lane ended before its time (truncated, damaged, an I/O error): everything readable
    before that was delivered.
    """

    def __init__(self, lane: Lane, opened: _Opened, form: str, codec: LineCutter | Codec, notes: list[str]) -> None:
        self.lane = lane
        self.form = form
        self.total_bytes: int | None = opened.raw.size
        self._notes = notes
        self._opened = opened
        self._codec = codec
        self._waiting: Piece | None = None
        self._number = 0
        self._closed = False

    @property
    def consumed_bytes(self) -> int:
        """Bytes taken from the input so far, compressed if it is; for progress."""
        if isinstance(self._codec, ParquetCodec):
            return self._codec.consumed_share(self.total_bytes or 0)
        return self._opened.feed.consumed

    @property
    def notes(self) -> list[str]:
        """Facts for the operator that are no errors; complete once the lane has ended."""
        warning = getattr(self._opened.compressed, "warning", "")
        return [*self._notes, *([f"{self.lane.name}: {warning}"] if warning else [])]

    @property
    def left_over(self) -> int:
        """Bytes of an unfinished last line, left for the next run."""
        return self._codec.left_over if isinstance(self._codec, LineCutter | JsonCodec) else 0

    @property
    def problem(self) -> InputError | None:
        """Why the lane ended early; None while it did not."""
        codec, feed = self._codec, self._opened.feed
        if isinstance(codec, ParquetCodec):
            return InputError(str(Mistake(self.lane.name, codec.problem))) if codec.problem else None
        if not feed.problem:
            return None
        return InputError(str(Mistake(self.lane.name, f"ended early after {feed.offset} bytes: {feed.problem}")))

    def read_block(self, into: memoryview) -> Block | None:
        """The next block, its lines written to the start of ``into``; None at the end of the lane.

        Raises NoRoom, having changed nothing, where ``into`` is too small: the next call gives the same block. Room
        for ``block_bytes + 1`` is enough for NDJSON without longer lines.
        """
        if isinstance(self._codec, LineCutter):
            piece = self._codec.read_into(into)
            return None if piece is None else self._block(piece, piece.data)
        piece = self._waiting or self._codec.next_piece()
        if piece is None:
            return None
        size = len(piece.data)
        if size > len(into):
            self._waiting = piece
            raise NoRoom(size)
        self._waiting = None
        into[:size] = piece.data
        return self._block(piece, into[:size])

    def _block(self, piece: Piece, data: bytes | memoryview) -> Block:
        number, self._number = self._number, self._number + 1
        return Block(
            lane=self.lane,
            number=number,
            offset=piece.offset,
            end=piece.end,
            first_line=piece.first_line,
            data=data,
            refused=piece.refused,
            last=piece.last,
            form=self.form,
        )

    def close(self) -> None:
        """Give the file back. May be called twice."""
        if not self._closed:
            self._closed = True
            self._opened.close()

    def __enter__(self) -> LaneReader:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def open_lane(
    name: str,
    number: int,
    options: InputOptions | None = None,
    stdin: BinaryIO | None = None,
    cursor: int = 0,
    first_line: int = 1,
    identity: str | None = None,
) -> LaneReader:
    """Open an input (``-`` is standard input) and begin to read it at ``cursor``, the ``end`` of a block read before.

    ``first_line`` is the number of the line at the cursor; ``identity`` is the lane's, where ``identify`` has found
    it. Raises InputError with the reason: no such file, a folder, unreadable, empty, binary, of no known form,
    shorter than its cursor.
    """
    options = options or InputOptions()
    if options.form is not None and options.form not in FORMS:
        raise InputError(str(Mistake(name, f"no form is called {options.form!r}, expected one of {', '.join(FORMS)}")))
    opened = _open(name, stdin)
    try:
        return _begin(opened, number, options, cursor, first_line, identity)
    except BaseException:
        opened.close()
        raise


def identify(path: str, options: InputOptions | None, known: Iterable[str]) -> str | None:
    """Which of the ``known`` lane identities a file has: the longest that it begins with, or None.

    A file that has grown is recognised; a pipe has no identity and is not touched. Raises InputError where the file
    cannot be read at all.
    """
    del options
    if path == "-" or (os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)):
        return None  # a pipe would be emptied by looking at it
    wanted = [(int(size), identity) for identity in known for size, _, _ in [identity.partition(":")] if size.isdigit()]
    opened = _open(path, None)
    try:
        for size, identity in sorted(wanted, reverse=True):
            head = opened.feed.peek(size)
            if len(head) == size and _identity(head) == identity:
                return identity
        return None
    finally:
        opened.close()


class _Opened:
    """An input of which the compression is known, with everything that has to be closed."""

    def __init__(self, name: str, raw: RawFile | RawPipe) -> None:
        self.name = name
        self.raw = raw
        self.spool: IO[bytes] | None = None
        plain = Feed(raw, raw.size)
        magic = plain.peek(4)
        self.compressed: Gzip | Zstd | None = None
        if magic.startswith(GZIP_MAGIC):
            self.compressed = Gzip(plain)
        elif magic == ZSTD_MAGIC:
            self.compressed = Zstd(plain)
        self.feed = Feed(self.compressed) if self.compressed else plain

    def spooled(self) -> IO[bytes]:
        """The rest of the feed as a seekable file: itself where it is one, else a temporary copy."""
        if isinstance(self.raw, RawFile) and not self.compressed and self.name != "-":
            return open(self.name, "rb")
        spool = tempfile.TemporaryFile()  # noqa: SIM115  (closed with the reader)
        while data := self.feed.read(1 << 20):
            spool.write(data)
        spool.seek(0)
        return spool

    def close(self) -> None:
        self.raw.close()
        if self.spool is not None:
            self.spool.close()


def _open(name: str, stdin: BinaryIO | None) -> _Opened:
    if name == "-":
        if stdin is None and sys.stdin is None:
            raise InputError(str(Mistake("-", "standard input is closed", hint="give it something to read, or a file")))
        return _Opened(name, RawPipe(stdin or sys.stdin.buffer))
    try:
        descriptor = os.open(name, os.O_RDONLY)
    except (OSError, ValueError) as error:
        raise InputError(str(_why_not_opened(name, error))) from None
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISDIR(mode):
        os.close(descriptor)
        hint = f"name its files: {name.rstrip('/')}/*.jsonl"
        raise InputError(str(Mistake(name, "is a folder, expected a file", hint=hint)))
    if stat.S_ISREG(mode):
        return _Opened(name, RawFile(descriptor))
    return _Opened(name, RawPipe(open(descriptor, "rb", buffering=0), owned=True))


def _why_not_opened(name: str, error: OSError | ValueError) -> Mistake:
    if isinstance(error, FileNotFoundError):
        folder, base = os.path.split(name)
        try:
            beside = os.listdir(folder or ".")
        except OSError:
            return Mistake(name, "no such file", hint=f"there is no folder {folder}")
        return Mistake(name, "no such file", hint=nearest(base, beside))
    if isinstance(error, PermissionError):
        return Mistake(name, "cannot be read: permission denied")
    return Mistake(name, f"cannot be read: {getattr(error, 'strerror', None) or error}")


def _begin(
    opened: _Opened, number: int, options: InputOptions, cursor: int, first_line: int, identity: str | None
) -> LaneReader:
    feed, name = opened.feed, opened.name
    head = feed.peek(HEAD_BYTES)
    if not head:
        raise InputError(str(Mistake(name, _why_empty(opened))))
    whole = len(head) < HEAD_BYTES
    form = options.form or tell_form(head, name, whole)
    if not whole or head.strip() or form == "parquet":
        lane = Lane(number, name, _own_identity(opened, options) if identity is None else identity)
    else:
        raise InputError(str(Mistake(name, "holds nothing but blank lines")))
    notes: list[str] = []
    codec = _codec(opened, form, options, cursor, first_line, notes)
    return LaneReader(lane, opened, form, codec, notes)


def _codec(
    opened: _Opened, form: str, options: InputOptions, cursor: int, first_line: int, notes: list[str]
) -> LineCutter | Codec:
    feed, size, longest = opened.feed, options.block_bytes, options.max_line
    if form == "parquet":
        opened.spool = opened.spooled()
        return ParquetCodec(opened.spool, opened.name, cursor)
    bom = len(BOM) if feed.peek(len(BOM)) == BOM else 0
    if form == "csv":
        layout = _csv_form(opened, bom, options, notes)
        begin = max(cursor, layout.body_offset)
        first_line = first_line if cursor > layout.body_offset else layout.body_line
        _go_to(opened, begin)
        return CsvCodec(feed, layout, size, longest, first_line=first_line)
    # An unfinished line was counted by the run that read it; its line feed, read now, belongs to the same line.
    if cursor and _byte_before(opened, cursor) != b"\n" and form == "ndjson":
        first_line -= 1
    _go_to(opened, cursor or bom)
    if form == "json":
        return JsonCodec(feed, size, longest, resumable=options.resumable, first_line=first_line)
    return LineCutter(feed, size, longest, resumable=options.resumable, first_line=first_line)


def _csv_form(opened: _Opened, bom: int, options: InputOptions, notes: list[str]) -> CsvForm:
    head = opened.feed.peek(HEAD_BYTES)
    layout = read_form(head, bom, options.columns, opened.name, whole=len(head) < HEAD_BYTES)
    if not layout.has_header and not options.columns:
        notes.append(f"{opened.name}: has no header row; its columns are called c1 to c{len(layout.names)}")
    return layout


def _byte_before(opened: _Opened, cursor: int) -> bytes:
    opened.feed.skip_to(cursor - 1)
    return opened.feed.read(1)


def _go_to(opened: _Opened, offset: int) -> None:
    if not opened.feed.skip_to(offset):
        ends = opened.feed.offset
        hint = "it was cut or replaced since it was read"
        raise InputError(str(Mistake(opened.name, f"ends at byte {ends}, before its cursor {offset}", hint=hint)))


def _why_empty(opened: _Opened) -> str:
    if opened.feed.problem:
        return f"cannot be read: {opened.feed.problem}"
    return "is empty once decompressed" if opened.compressed else "is empty"


def _own_identity(opened: _Opened, options: InputOptions) -> str:
    """The identity of a lane: that of its first block's bytes, cut at a line end where there is one."""
    if isinstance(opened.raw, RawPipe):
        return ""
    head = opened.feed.peek(options.block_bytes)
    return _identity(head[: head.rfind(b"\n") + 1] or head)


def _identity(head: bytes) -> str:
    return f"{len(head)}:{hashlib.blake2b(head, digest_size=16).hexdigest()}"
