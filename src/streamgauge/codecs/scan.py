"""Where objects begin and end in JSON text, found with array operations: any depth, no recursion, no parsing.

A JSON string cannot hold a raw line feed, so the quotes are counted afresh on every line. That makes the scan find
its way again after a string that is never closed, which a parser would follow to the end of the file.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamgauge.codecs.base import BLANKS

Positions = NDArray[np.int64]
Bytes = NDArray[np.uint8]

_QUOTE, _BACKSLASH, _OPEN, _CLOSE, _FEED = b'"\\{}\n'
_LOOKED_AT = np.zeros(256, np.bool_)
_LOOKED_AT[[_QUOTE, _OPEN, _CLOSE, _FEED]] = True


@dataclass(frozen=True, slots=True)
class Spans:
    """The outermost objects of a text.

    ``starts`` and ``ends`` (behind the closing brace) of those that are whole; ``open_at`` is where one begins that
    does not end, or -1; ``broken`` are the line feeds that stand inside a string. ``depth`` and ``in_string`` are how
    the text ends.
    """

    starts: Positions
    ends: Positions
    open_at: int
    broken: Positions
    depth: int
    in_string: bool


def find_objects(data: bytes, depth: int = 0, in_string: bool = False) -> Spans:
    """The outermost objects of ``data``, which begins ``depth`` braces deep. A brace too many is passed over."""
    text: Bytes = np.frombuffer(data, np.uint8)
    places: Positions = np.flatnonzero(_LOOKED_AT[text])
    kinds: Bytes = text[places]
    escaped = _after_odd_backslashes(text)
    if escaped.size:
        marked = np.zeros(text.size + 1, np.bool_)
        marked[escaped] = True
        keep = (kinds != _QUOTE) | ~marked[places]
        places, kinds = places[keep], kinds[keep]
    odd = _quoted(kinds, in_string)
    feeds = kinds == _FEED
    broken = places[feeds & odd]
    braces = ((kinds == _OPEN) | (kinds == _CLOSE)) & ~odd
    places, opening = places[braces], kinds[braces] == _OPEN
    return _pair(places, opening, depth, broken, _ends_quoted(kinds, odd, in_string))


def is_balanced_object(line: bytes) -> bool:
    """Whether a line is one object from its first to its last character, as far as its braces and quotes say."""
    body = line.strip(BLANKS)
    if not body.startswith(b"{") or not body.endswith(b"}"):
        return False
    spans = find_objects(body)
    return spans.open_at < 0 and spans.starts.tolist() == [0] and spans.ends.tolist() == [len(body)]


def _after_odd_backslashes(text: Bytes) -> Positions:
    """The places that a backslash escapes."""
    slashes: Positions = np.flatnonzero(text == _BACKSLASH)
    if not slashes.size:
        return slashes
    firsts = np.flatnonzero(np.diff(slashes, prepend=-2) != 1)
    lengths = np.diff(firsts, append=slashes.size)
    odd = lengths % 2 == 1
    escaped: Positions = slashes[firsts[odd]] + lengths[odd]
    return escaped


def _quoted(kinds: Bytes, in_string: bool) -> NDArray[np.bool_]:
    """For each place, whether a string is open before it; a line feed closes all."""
    quotes = kinds == _QUOTE
    # Only the parity matters, so that the sums may wrap around in one byte.
    parity: Bytes = (np.cumsum(quotes, dtype=np.uint8) - quotes + np.uint8(in_string)) & np.uint8(1)
    feeds = np.flatnonzero(kinds == _FEED)
    at_feeds = parity[feeds]
    if at_feeds.any():
        line_base = np.zeros(kinds.size, np.uint8)
        line_base[feeds] = at_feeds ^ np.concatenate((np.zeros(1, np.uint8), at_feeds[:-1]))
        after = np.cumsum(line_base, dtype=np.uint8) & np.uint8(1)
        parity[1:] ^= after[:-1]
    odd: NDArray[np.bool_] = parity.view(np.bool_)
    return odd


def _ends_quoted(kinds: Bytes, odd: NDArray[np.bool_], in_string: bool) -> bool:
    if not kinds.size:
        return in_string
    last = int(kinds[-1])
    if last == _FEED:
        return False
    return bool(odd[-1]) != (last == _QUOTE)


def _pair(places: Positions, opening: NDArray[np.bool_], depth: int, broken: Positions, in_string: bool) -> Spans:
    """Match the outermost braces; the depth never falls below nothing."""
    free = depth + np.cumsum(np.where(opening, 1, -1))
    level = free - np.minimum(np.minimum.accumulate(free), 0) if free.size else free
    before = np.concatenate(([depth], level[:-1])) if free.size else level
    starts = places[opening & (before == 0)]
    ends = places[~opening & (level == 0) & (before == 1)] + 1
    final = int(level[-1]) if level.size else depth
    open_at = int(starts[-1]) if final and starts.size > 0 and (not ends.size or starts[-1] >= ends[-1]) else -1
    if open_at >= 0:
        starts = starts[:-1]
    return Spans(starts, ends, open_at, broken, final, in_string)
