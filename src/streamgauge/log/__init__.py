"""The log: what is read, in order, block by block. In a report, files are its lanes."""

from __future__ import annotations

from streamgauge.codecs.explain import JsonFault, explain_json_error, find_json_fault
from streamgauge.log.expand import expand
from streamgauge.log.files import InputOptions, LaneReader, NoRoom, identify, open_lane
from streamgauge.log.lines import lines_of

__all__ = [
    "InputOptions",
    "JsonFault",
    "LaneReader",
    "NoRoom",
    "expand",
    "explain_json_error",
    "find_json_fault",
    "identify",
    "lines_of",
    "open_lane",
]
