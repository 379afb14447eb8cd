"""From a number to its events: for every cell whose log is kept, exactly those that it counted."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from streamgauge.clock import Clock, SystemClock
from streamgauge.declare import Declarations
from streamgauge.drilldown import LogEvents, logged_event
from streamgauge.engines.duck import SliceBuffer
from streamgauge.engines.duck.find import DuckFinder
from streamgauge.errors import StoreError
from streamgauge.log.archive import SUFFIX
from streamgauge.log.catalog import list_segments
from streamgauge.recompute import recompute
from streamgauge.scope import Scope
from streamgauge.serve.base import CellName, Gone, LoggedEvent
from streamgauge.service import new_log_events
from streamgauge.store import open_store
from streamgauge.store.base import ALL_TEXT, OTHER_TEXT, key_text
from streamgauge.store.sql_query import SqlReadings
from tests.log.taking import arriving
from tests.logged import archive_segments, cut_up, write_blocks
from tests.running import MINUTE, T, declare, line, made_up
from tests.test_pipeline import DECLARATIONS

EVERYTHING = 10_000
LONG_S = 60.0


@pytest.fixture(scope="module")
def declarations(tmp_path_factory: pytest.TempPathFactory) -> Declarations:
    return declare(tmp_path_factory.mktemp("declared"), DECLARATIONS)


class Counted(NamedTuple):
    """A cell: its name, and how many events it counted."""

    name: CellName
    events: int


class World:
    """A log, the store that was computed of it, and what opens its cells."""

    def __init__(self, folder: Path, declarations: Declarations, clock: Clock | None = None) -> None:
        self.log, self.declarations = folder / "log", declarations
        with open_store(folder / "s.db") as store:
            recompute(self.log, declarations, store)
            self.cells = [
                Counted(self.name(statistic.name, length.text, row.start, row.key), row.events)
                for statistic in declarations.statistics.values()
                for length in statistic.lengths
                for rows in store.cells(statistic.version, length.text)
                for row in rows
            ]
        clock = clock or SystemClock()
        self.readings = SqlReadings.open(folder / "s.db", clock)
        self.opener = new_log_events(declarations, self.log, self.readings, clock)

    def name(self, statistic: str, every: str, start: int, key: str) -> CellName:
        """A cell by its start and its key's text."""
        bound = self.declarations.statistics[statistic]
        length = next(length for length in bound.lengths if length.text == every)
        return CellName(bound, length, start, bound.windows.stop(length, start), key)

    def open(self, name: CellName, page: int = EVERYTHING, scope: Scope = Scope.all) -> list[LoggedEvent]:
        """All events of a cell, page by page."""
        found: list[LoggedEvent] = []
        while True:
            after = found[-1].position if found else -1
            more = self.opener.events_of(name, after, page, scope, LONG_S)
            assert len(more) <= page
            found += more
            if len(more) < page:
                return found

    def close(self) -> None:
        self.opener.close()
        self.readings.close()


@contextmanager
def world(folder: Path, declarations: Declarations, clock: Clock | None = None) -> Iterator[World]:
    made = World(folder, declarations, clock)
    try:
        yield made
    finally:
        made.close()


def check_law(found: World, page: int) -> None:
    """Every cell gives as many events as it counted, each once, in order; and together they are all of a window."""
    whole: dict[tuple[str, str, int], list[int]] = {}
    totals: dict[tuple[str, str, int], list[int]] = {}
    for name, events in found.cells:
        positions = [event.position for event in found.open(name, page)]
        assert positions == sorted(set(positions))
        assert len(positions) == events, name
        window = name.statistic.name, name.every.text, name.start_ms
        if name.key == ALL_TEXT:
            totals[window] = positions
        elif name.statistic.name != "tagged":
            whole.setdefault(window, []).extend(positions)
    assert all(sorted(positions) == sorted(set(positions)) for positions in whole.values())
    assert totals
    assert totals == {window: sorted(whole[window]) for window in totals}


def test_every_cell_gives_the_events_that_it_counted(tmp_path: Path, declarations: Declarations) -> None:
    log = write_blocks(tmp_path, declarations, cut_up(made_up(4, 75), [1, 3, 16]), MINUTE, segment_blocks=2)
    assert len(list_segments(log)) >= 3
    archive_segments(log, [0])
    with world(tmp_path, declarations) as found:
        assert {cell.name.key for cell in found.cells} >= {ALL_TEXT, OTHER_TEXT}
        check_law(found, page=9)


@settings(phases=[Phase.explicit, Phase.reuse, Phase.generate], max_examples=2, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    sizes=st.lists(st.integers(4, 30), min_size=1, max_size=4),
    lateness_ms=st.sampled_from([0, MINUTE, 10**9]),
    archived=st.lists(st.integers(0, 1), max_size=2, unique=True),
    page=st.sampled_from([1, 4, EVERYTHING]),
)
def test_the_law_holds_of_any_log(
    tmp_path_factory: pytest.TempPathFactory,
    declarations: Declarations,
    seed: int,
    sizes: list[int],
    lateness_ms: int,
    archived: list[int],
    page: int,
) -> None:
    folder = tmp_path_factory.mktemp("world")
    log = write_blocks(folder, declarations, cut_up(made_up(seed, 25), sizes), lateness_ms, segment_blocks=2)
    archive_segments(log, [n for n in archived if n < len(list_segments(log)) - 1])
    with world(folder, declarations) as found:
        check_law(found, page)


PLAIN = """
[statistic.s]
topic = "*"
every = "1m"
by = { k = "body.k" }
measures = { n = "count()" }

[shape.thing.fields]
at_ms = "BIGINT"
[shape.thing.producer.one]
time = "body.time"
fields = { at_ms = "body.at::BIGINT" }
[statistic.own]
of = "thing"
every = "1m"
time = "at_ms"
measures = { n = "count()" }
"""

A, B = key_text(["a"]), key_text(["b"])


def plain(folder: Path) -> Declarations:
    return declare(folder, PLAIN)


def at(minute: int, key: str = "a", **more: Any) -> bytes:
    return line(time=T + minute * MINUTE, k=key, **more)


WINDOW = T // MINUTE * MINUTE


def test_pages_go_on_behind_a_position(tmp_path: Path) -> None:
    declared = plain(tmp_path)
    write_blocks(tmp_path, declared, [[at(0), at(0, "b"), at(0)], [at(0)], [at(0)]], arrival=arriving())
    with world(tmp_path, declared) as found:
        name = found.name("s", "1m", WINDOW, A)
        assert [e.position for e in found.open(name)] == [0, 2, 3, 4]
        assert [e.position for e in found.opener.events_of(name, 2, 1, Scope.all, LONG_S)] == [3]
        assert [e.position for e in found.opener.events_of(name, 0, 2, Scope.all, LONG_S)] == [2, 3]
        assert found.opener.events_of(name, 4, 5, Scope.all, LONG_S) == []


def test_an_event_has_its_envelope_and_the_bytes_of_its_message(tmp_path: Path) -> None:
    declared = plain(tmp_path)
    message = b'{ "k":"a",  "time":%d, "id": "7", "topic":"x", "text":",\\"body\\":{" }' % T
    write_blocks(tmp_path, declared, [[message]])
    with world(tmp_path, declared) as found:
        (event,) = found.open(found.name("s", "1m", WINDOW, A))
        assert (event.time_ms, event.topic, event.source, event.id, event.owner) == (T, "x", "http", "7", "")
        assert event.body == message
        assert found.opener.event(0, Scope.all, LONG_S) == event


def test_what_is_in_the_envelope_cannot_be_taken_for_the_body() -> None:
    line_ = b'{"time":1,"topic":",\\"body\\":","source":"s","body":{"body":1}}'
    assert logged_event(3, line_).topic == ',"body":'
    assert logged_event(3, line_).body == b'{"body":1}'


def test_a_scope_sees_the_events_of_its_owners_only(tmp_path: Path) -> None:
    declared = plain(tmp_path)
    owned = arriving(owner="body.whose")
    blocks = [[at(0, whose="north"), at(0, whose="south")], [at(0), at(0, whose="north")]]
    write_blocks(tmp_path, declared, blocks, arrival=owned)
    north, nobody = Scope(frozenset({"north"})), Scope(frozenset())
    with world(tmp_path, declared) as found:
        name = found.name("s", "1m", WINDOW, A)
        assert [e.position for e in found.open(name, 1, north)] == [0, 3]
        assert found.open(name, 1, nobody) == []
        assert found.opener.event(1, north, LONG_S) is None
        assert found.opener.event(3, north, LONG_S) is not None


def test_an_event_that_is_not_committed_is_in_no_cell_yet(tmp_path: Path) -> None:
    declared = plain(tmp_path)
    write_blocks(tmp_path, declared, [[at(0)]], arrival=arriving())
    with world(tmp_path, declared) as found:
        name = found.name("s", "1m", WINDOW, A)
        write_blocks(tmp_path, declared, [[at(0)]], arrival=arriving())
        assert [e.position for e in found.open(name)] == [0]
        with open_store(tmp_path / "s.db") as store:
            recompute(found.log, declared, store)
        assert [e.position for e in found.open(name)] == [0, 1]


def test_a_log_that_does_not_reach_back_says_since_when_it_is_kept(tmp_path: Path) -> None:
    declared = plain(tmp_path)
    blocks = [[at(n, at=T + n * MINUTE)] for n in range(4)]
    log = write_blocks(tmp_path, declared, blocks, arrival=arriving(), segment_blocks=1)
    archive_segments(log, [0, 1])
    with world(tmp_path, declared) as found:
        for segment in list_segments(log, [SUFFIX])[:2]:
            segment.path.unlink()
        for statistic, key in (("s", A), ("own", "[]")):
            with pytest.raises(Gone, match="it is from position 2 on"):
                found.open(found.name(statistic, "1m", WINDOW + MINUTE, key))
            assert [e.position for e in found.open(found.name(statistic, "1m", WINDOW + 3 * MINUTE, key))] == [3]
        with pytest.raises(Gone, match="from position 2 on"):
            found.opener.event(1, Scope.all, LONG_S)
        assert found.opener.event(9, Scope.all, LONG_S) is None


@pytest.mark.parametrize("archived", [False, True])
def test_damage_is_said_where_it_may_concern_a_window_and_nowhere_else(tmp_path: Path, archived: bool) -> None:
    declared = plain(tmp_path)
    log = write_blocks(tmp_path, declared, [[at(n)] for n in range(9)], arrival=arriving(), segment_blocks=3)
    with world(tmp_path, declared) as found:
        if archived:
            archive_segments(log, [1])
        segment = list_segments(log, [SUFFIX])[1].path
        data = bytearray(segment.read_bytes())
        place = len(data) // 2 if archived else data.index(b"%d" % (T + 4 * MINUTE), data.index(b'"events"'))
        data[place] ^= 1
        segment.write_bytes(data)
        for minute in (0, 1, 7, 8):
            assert len(found.open(found.name("s", "1m", WINDOW + minute * MINUTE, A))) == 1
        with pytest.raises(StoreError, match=segment.name):
            found.open(found.name("s", "1m", WINDOW + 4 * MINUTE, A))
        with pytest.raises(StoreError, match=segment.name):
            found.opener.event(4, Scope.all, LONG_S)


class Impatient(SystemClock):
    """A clock on which every look takes a second."""

    def __init__(self) -> None:
        self.looks = 0

    def monotonic_s(self) -> float:
        self.looks += 1
        return float(self.looks)


def test_the_time_limit_ends_a_long_search(tmp_path: Path) -> None:
    declared, clock = plain(tmp_path), Impatient()
    write_blocks(tmp_path, declared, [[at(0)] for _ in range(12)], arrival=arriving())
    with world(tmp_path, declared) as found:
        slow = LogEvents(
            found.log, lambda s, t: DuckFinder(s, declared.shapes.values(), t), SliceBuffer, lambda name: set(), clock
        )
        with pytest.raises(TimeoutError):
            slow.events_of(found.name("s", "1m", WINDOW, A), -1, 100, Scope.all, 5)
        assert len(slow.events_of(found.name("s", "1m", WINDOW, A), -1, 100, Scope.all, 50)) == 12
        with pytest.raises(TimeoutError):
            slow.event(11, Scope.all, 5)
        slow.close()


def test_segments_become_archives_while_they_are_opened(tmp_path: Path) -> None:
    declared = plain(tmp_path)
    log = write_blocks(tmp_path, declared, [[at(n % 3)] for n in range(60)], arrival=arriving(), segment_blocks=2)
    segments = len(list_segments(log))
    with world(tmp_path, declared) as found:
        archiving = threading.Thread(target=archive_segments, args=(log, range(segments - 1)))
        archiving.start()
        opened = 0
        while archiving.is_alive() or not opened:
            assert len(found.open(found.name("s", "1m", WINDOW + MINUTE, A))) == 20
            assert found.opener.event(opened % 60, Scope.all, LONG_S) is not None
            opened += 1
        archiving.join()
        assert len(found.open(found.name("s", "1m", WINDOW + MINUTE, A), 3)) == 20
