"""What an engine hands to the tables of cells: the primitives of one statistic over one slice, per window and key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


@dataclass(slots=True)
class SubRows:
    """The COUNT_BY result of one partial: one entry per (row of the partial, sub-key).

    ``row`` is ascending; ``sub_key`` is an int64 or uint64 array, or a list of texts.
    """

    row: Ints
    sub_key: Any
    count: Ints
    position: Ints


@dataclass(slots=True)
class Partial:
    """What one slice adds to the cells of one version and window length; arrays have one entry per row.

    Rows may repeat a (start, key): several base windows of one longer window. ``keys`` are numbers of the run's
    KeyDictionary. ``revision`` is the position of the row's last late event, or -1. ``first_position`` is that of the
    row's first event. ``columns`` has one entry per primitive: an int64 array (COUNT, SUM) or a list of ints of any
    size (SUM), ``(int64 array, mask of what is valid)`` (MIN, MAX), a list of ``(time, position, value)`` or None
    (ARG_MIN, ARG_MAX), or SubRows (COUNT_BY).
    """

    starts: Ints
    keys: Ints
    events: Ints
    first_position: Ints
    columns: Sequence[Any] = ()
    late: Ints | None = None
    revision: Ints | None = None
    wrong: Mapping[str, Ints] = field(default_factory=dict)
