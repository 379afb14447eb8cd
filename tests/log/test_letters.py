"""Dead letters read back from a log: with all that a replay needs, from segments of both forms."""

from __future__ import annotations

from pathlib import Path

from streamgauge.drilldown import ARCHIVES
from streamgauge.log.archive import SUFFIX, write_archive
from streamgauge.log.base import Given, LaneName
from streamgauge.log.catalog import list_segments
from streamgauge.log.letters import LoggedLetter, letters_in, read_letters, replayed_in
from streamgauge.log.segment_reader import read_segment
from streamgauge.watermark import LaneState
from tests.log.taking import Log, T, arriving

LANE = LaneName("http", "dead-letters")
LINES = (b'{"at":%d}' % T, b"nonsense", b'{"at":"soon"}', b'{"at":%d,"n":2}' % T, b"\xff")


def filled(log: Log) -> dict[int, LoggedLetter]:
    """Letters in three blocks; by position, as their blocks have them."""
    arrival = arriving("body.at", asked=(("time", "body.at"),))
    for number in range(3):
        log.take(*LINES, arrival=arrival, given=Given(topics=[f"t{number}", None, "x", None, "y"]))
    return {letter.position: letter for block in log.blocks() for letter in letters_in(block)}


def test_each_has_its_bytes_and_what_was_said_of_it(tmp_path: Path) -> None:
    with Log(tmp_path) as log:
        found = list(filled(log).values())[:3]
    assert [letter.data for letter in found] == [LINES[1], LINES[2], LINES[4]]
    assert [letter.given for letter in found] == [{}, {"topic": "x"}, {"topic": "y"}]
    assert all(letter.asked == {"time": "body.at"} and not letter.cut for letter in found)
    assert found[0].unit == "ms"


def test_those_asked_for_are_found_in_segments_of_both_forms(tmp_path: Path) -> None:
    with Log(tmp_path) as log:
        every = filled(log)
        folder = tmp_path / "log"
        some = sorted(every)[::2]
        assert read_letters(folder, some, ARCHIVES) == {position: every[position] for position in some}
        assert read_letters(folder, [0, max(every) + 100], ARCHIVES) == {}
    segment = list_segments(folder)[0]
    write_archive(read_segment(segment), segment.path.with_suffix(SUFFIX))  # type: ignore[arg-type]
    segment.path.unlink()
    assert read_letters(folder, some, ARCHIVES) == {position: every[position] for position in some}


def test_a_block_of_replayed_letters_names_them_and_moves_nothing(tmp_path: Path) -> None:
    with Log(tmp_path) as log:
        filled(log)
        receipt = log.take(b'{"at":%d}' % (T + 500), b"bad", arrival=arriving("body.at"), lane=LANE, letters=(3, 4))
        assert (receipt.accepted, receipt.malformed) == (1, 1)
        block = log.blocks()[-1]
        header = block.header
        assert list(replayed_in(header)) == [3, 4]
        assert not replayed_in(log.blocks()[0].header)
        assert (header.mark["newest"], header.mark["state"], header.covered_from_ms) == (None, LaneState.ENDED, None)
        assert next(letters_in(block)).detail.startswith("dead letter 4, replayed: ")
        log.restart()
        assert log.take(b'{"at":%d}' % (T + 900), arrival=arriving("body.at")).accepted == 1
