"""The bytes of a segment: a first line that names the format, the lanes as they stood, and then blocks.

::

    {"streamgauge":"log segment","block":..,"format":1,"made_ms":..,"position":..,"checksum":".."}
    {"lanes":[..],"checksum":".."}
    {"block":..,"write":..,"events":..,...,"checksum":".."}    a block's header,
    ...                                                        its dead letters, its events, one a line

Every line of these is **sealed**: it ends with the checksum (CRC-32, which finds every change of up to 32 bits in a
row, so every flipped bit) of all that stands before it. A block's header says in the same way, just before, what the
checksum of its dead letters and events is, so that damage in them leaves the header readable. ``write`` is the number
of the first block that was written at once with this one: whatever belongs to an earlier write was durable before.

The lanes of the second line are the headers that LogWriter.lanes() gave when the segment was begun.

A later format keeps the form and the seal of the first line, so that this program can tell it from damage.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields, replace
from typing import Any, NamedTuple

from streamgauge.errors import Mistake, StoreError
from streamgauge.log.base import BlockHeader, LogBlock

FORMAT = 1
_MAGIC = "log segment"
_SEAL_BYTES = len('01234567"}\n')


class Flaw(Exception):
    """These bytes are not what was written. Says what is wrong with them, and not where they stand."""


class Head(NamedTuple):
    """The first line of a segment: where it begins, and when it was made (wall time)."""

    position: int
    block: int
    made_ms: int


class Sealed(NamedTuple):
    """A block's header as it is written, its line, and the number of the first block of the same write."""

    line: bytes
    header: BlockHeader
    write: int


def seal(text: bytes) -> bytes:
    """A whole line: the text, which ends inside of the last string of an object, its checksum, and what closes both."""
    return b'%s%08x"}\n' % (text, zlib.crc32(text))


def is_sealed(line: bytes) -> bool:
    """Whether a line, its line feed included, is as ``seal`` made it."""
    return line == seal(line[:-_SEAL_BYTES])


def unseal(line: bytes) -> dict[str, Any]:
    """What stands in a sealed line. Raises Flaw where it is not as it was written."""
    if not is_sealed(line):
        raise Flaw("its checksum does not match")
    try:
        value = json.loads(line.decode())
    except ValueError as error:
        raise Flaw(f"it is not JSON ({error})") from None
    if not isinstance(value, dict):
        raise Flaw("it is no JSON object")
    return value


def encode_head(head: Head, lanes: Iterable[BlockHeader]) -> bytes:
    """The first two lines of a segment."""
    named = b'{"streamgauge":"%s",' % _MAGIC.encode() + _text({"format": FORMAT, **head._asdict()})[1:-1]
    standing = _text({"lanes": [{"number": lane.number, **_settings(lane)} for lane in lanes]})[:-1]
    return b"".join(seal(text + b',"checksum":"') for text in (named, standing))


def decode_head(line: bytes, file: str) -> Head:
    """The first line of the segment ``file``. Raises Flaw for damage, StoreError for the log of a later version."""
    said = unseal(line)
    if said.get("streamgauge") != _MAGIC:
        raise Flaw("it is not the first line of a segment")
    if said.get("format") != FORMAT:
        problem = f"is a log of format {said.get('format')}, this version of streamgauge reads format {FORMAT}"
        raise StoreError(str(Mistake(file, problem, hint="upgrade streamgauge, or use another folder")))
    try:
        return Head(*(int(said[name]) for name in Head._fields))
    except (KeyError, TypeError, ValueError) as error:
        raise Flaw(f"it is no first line of a segment ({error!r})") from None


def decode_lanes(line: bytes) -> dict[int, BlockHeader]:
    """The second line of a segment: by its number, each lane's header. Raises Flaw for damage."""
    lanes = unseal(line).get("lanes")
    if not isinstance(lanes, list):
        raise Flaw("it does not name the lanes")
    headers = [_header(lane) for lane in lanes]
    return {header.lane: header for header in headers}


def seal_block(block: LogBlock, write: int) -> Sealed:
    """The header of a block with its sizes and checksum, and its line. ``write``: see the module.

    Raises ValueError where the block is not made of as many lines as its header says, or its header is no plain JSON.
    """
    header = block.header
    _check_lines(header.number, "event", block.events, header.events)
    _check_lines(header.number, "dead letter", block.dead, header.dead)
    sizes = {"size": len(block.events), "dead_size": len(block.dead)}
    said = {**_settings(header), **sizes}
    for name in (name for name, size in sizes.items() if not size):
        del said[name]
    numbers = b'{"block":%d,"write":%d,' % (header.number, write)
    line = seal(numbers + _text(said)[1:-1] + b',"checksum":"%08x' % _payload_checksum(block.dead, block.events))
    checksum = line[-_SEAL_BYTES - 8 : -3].decode()
    written = replace(header, size=len(block.events), dead_size=len(block.dead), checksum=checksum)
    return Sealed(line, written, write)


def decode_header(line: bytes) -> Sealed:
    """The header line of a block, its line feed included. Raises Flaw for damage."""
    said = unseal(line)
    write, number = said.pop("write", None), said.pop("block", None)
    if not isinstance(write, int) or not isinstance(number, int):
        raise Flaw("it is no block header")
    return Sealed(line, _header({"number": number, **said}), write)


def decode_payload(header: BlockHeader, data: bytes) -> LogBlock:
    """The block of a header and all that follows it. Raises Flaw for damage, and where ``data`` is shorter."""
    if len(data) != header.dead_size + header.size:
        raise Flaw(f"{len(data)} bytes follow its header, {header.dead_size + header.size} were written")
    if b"%08x" % zlib.crc32(data) != header.checksum[:8].encode():
        raise Flaw("the checksum of its events and dead letters does not match")
    return LogBlock(header, data[header.dead_size :], data[: header.dead_size])


def encode_block(block: LogBlock, write: int) -> bytes:
    """A block as it stands in a segment."""
    return seal_block(block, write).line + block.dead + block.events


def _payload_checksum(dead: bytes, events: bytes) -> int:
    return zlib.crc32(events, zlib.crc32(dead))


def _check_lines(number: int, what: str, data: bytes, expected: int) -> None:
    got = data.count(b"\n")
    if got != expected or (data and not data.endswith(b"\n")):
        raise ValueError(f"block {number}: {len(data)} bytes with {got} line feeds, expected {expected} {what} lines")


_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False, sort_keys=True)
"""Sorts the keys of every object, so that equal headers make equal bytes."""


def _text(value: Mapping[str, Any]) -> bytes:
    return _ENCODER.encode(value).encode()


_DEFAULTS = {
    f.name: f.default_factory() if f.default_factory is not MISSING else f.default
    for f in fields(BlockHeader)
    if f.name not in ("number", "checksum")
}
_MAPPINGS = [name for name, default in _DEFAULTS.items() if isinstance(default, dict)]
_TUPLES = [name for name, default in _DEFAULTS.items() if isinstance(default, tuple)]


def _settings(header: BlockHeader) -> dict[str, Any]:
    """What a header says apart from its number, without what goes without saying, and without its checksum."""
    said = {name: value for name, default in _DEFAULTS.items() if (value := getattr(header, name)) != default}
    for name in _MAPPINGS:
        if name in said:
            said[name] = dict(said[name])
    return said


def _header(said: dict[str, Any]) -> BlockHeader:
    for name in _TUPLES:
        if name in said:
            said[name] = tuple(said[name])
    try:
        return BlockHeader(**said)
    except TypeError as error:
        raise Flaw(f"it is no block header ({error})") from None
