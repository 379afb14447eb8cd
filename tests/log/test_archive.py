"""Archives: every byte comes back, what cannot match is left out, and what is damaged is named and never counted."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamgauge.demo import Traffic
from streamgauge.errors import InputError, StoreError
from streamgauge.log import archive_file
from streamgauge.log.archive import (
    STEPS,
    DamagedArchive,
    discard_unfinished,
    find,
    read_archive,
    read_events,
    read_facts,
    read_headers,
    read_ids,
    verify_archive,
    write_archive,
)
from streamgauge.log.archive_rows import Row, decode_header, decode_line, encode_header, encode_line
from streamgauge.log.base import BlockHeader, LogBlock
from streamgauge.watermark import LaneMark

START_MS = 1_772_409_600_000
MARK = LaneMark(lateness_ms=5000, newest=START_MS, watermark=START_MS - 5000).to_dict()


def line(time: int, topic: str = "call", number: int = 0, body: str = "") -> bytes:
    """An event line as log.base describes it."""
    return encode_line(Row(time, topic, f"id-{number}", "http", None, body or f'{{"n":{number}}}'))


def block(number: int, position: int, events: Sequence[bytes] = (), dead: Sequence[bytes] = ()) -> LogBlock:
    """A block of these lines, which have no line feeds."""
    lines, letters = (b"".join(one + b"\n" for one in many) for many in (events, dead))
    header = BlockHeader(
        number=number,
        lane=1,
        source="http",
        name="",
        position=position,
        events=len(events),
        dead=len(dead),
        size=len(lines),
        dead_size=len(letters),
        received_ms=START_MS + number,
        mark=MARK,
    )
    return LogBlock(header, lines, letters)


def chain(parts: Sequence[tuple[Sequence[bytes], Sequence[bytes]]]) -> list[LogBlock]:
    """Blocks, one after the other, of events and dead letters."""
    blocks: list[LogBlock] = []
    for number, (events, dead) in enumerate(parts):
        position = blocks[-1].header.next_position if blocks else 40
        blocks.append(block(number + 3, position, events, dead))
    return blocks


def hours(count: int, per_block: int = 10) -> list[LogBlock]:
    """A block for each hour, of topic ``call.N`` with N counting from 0; every third ends with a dead letter."""
    return chain(
        [
            (
                [line(START_MS + hour * 3_600_000 + n, f"call.{hour}", n) for n in range(per_block)],
                [b'{"reason":"not JSON"}'] if hour % 3 == 0 else [],
            )
            for hour in range(count)
        ]
    )


@pytest.fixture
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row group for every block."""
    monkeypatch.setattr(archive_file, "GROUP_ROWS", 1)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
bodies = st.one_of(
    json_values.map(json.dumps),
    json_values.map(lambda value: json.dumps(value, ensure_ascii=False)),
    st.sampled_from(['1},"topic":"x","y":{', '{"a":"\\u0000\\ud800"}', '{ "a" : 1.0 }', '"\U0001f600é"', "\r", ""]),
).filter(lambda body: "\n" not in body)
texts = st.text(st.characters(exclude_categories=["Cs"])) | st.just("i" * 5000) | st.just('"\\\x00\u2028\x7f')


@st.composite
def usual_lines(draw: st.DrawFn) -> bytes:
    return encode_line(
        Row(
            draw(st.integers(-(10**13), 10**13)),
            draw(st.none() | texts),
            draw(st.none() | texts),
            draw(texts),
            draw(st.none() | texts),
            draw(bodies.filter(lambda body: body.encode("utf-8", "ignore").decode() == body)),
        )
    )


odd_lines = st.one_of(
    st.binary().map(lambda data: data.replace(b"\n", b"")),
    usual_lines().map(lambda data: b" " + data),
    usual_lines().map(lambda data: data.replace(b'"body"', b'"raw":"AAA=","body"', 1)),
    usual_lines().map(lambda data: data.replace(b'"source"', b'"owner":null,"source"', 1)),
    st.sampled_from(
        [
            b'{"time":01,"topic":"a","source":"s","body":1}',
            b'{"time":-0,"topic":"a","source":"s","body":1}',
            b'{"time":1e3,"topic":"a","source":"s","body":1}',
            b'{"time":100000000000000,"topic":"a","source":"s","body":1}',
            b'{"time":1,"topic":"a","id":"","source":"s","body":1}',
            b'{"time":1,"topic":"\\u0061","source":"s","body":1}',
            b'{"time":1,"topic":"\\ud800","source":"s","body":1}',
            b'{"time":1,"topic":"a","source":"s","body":"\xff"}',
            b'{"time":1,"topic":"a\xff","source":"s","body":1}',
            b'{"time":1,"topic":"a","source":"s","body":1}{"time":2,"topic":"a","source":"s","body":1}',
            b"[" * 100_000,
            b'{"time":' + b"9" * 5000 + b"}",
        ]
    ),
)


@st.composite
def logs(draw: st.DrawFn) -> list[LogBlock]:
    """Any blocks: ticks, only dead letters, large numbers, lines in any form."""
    blocks: list[LogBlock] = []
    number, position = draw(st.integers(0, 2**40)), draw(st.integers(0, 2**60))
    for _ in range(draw(st.integers(1, 5))):
        events = draw(st.lists(usual_lines() | odd_lines, max_size=5))
        dead = draw(st.lists(st.binary().map(lambda data: data.replace(b"\n", b"")), max_size=2))
        made = block(number, position, events, dead)
        header = replace(
            made.header,
            lane=draw(st.integers(0, 2**40)),
            source=draw(st.text()),
            name=draw(st.text()),
            cursor=draw(json_values),
            answers=draw(st.dictionaries(st.text(), json_values, max_size=2)),
            covered_from_ms=draw(st.none() | st.integers(-(2**62), 2**62)),
            topics=tuple(draw(st.lists(st.text(), max_size=2))),
        )
        blocks.append(replace(made, header=header))
        number, position = number + 1, header.next_position
    return blocks


@given(logs(), st.sampled_from([1, 4, 1 << 16]))
@settings(max_examples=150, deadline=None)
def test_every_byte_of_every_block_comes_back(blocks: list[LogBlock], group_rows: int) -> None:
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(archive_file, "GROUP_ROWS", group_rows)
        path = Path(folder) / "a.parquet"
        facts = write_archive(blocks, path)
        assert list(read_archive(path)) == blocks
        assert list(read_headers(path)) == [b.header for b in blocks]
        assert read_facts(path) == facts
        middle = blocks[len(blocks) // 2].header.number
        assert list(read_archive(path, middle)) == [b for b in blocks if b.header.number > middle]


@given(logs(), st.integers(-(10**13), 10**13), st.integers(1, 10**13))
@settings(max_examples=60, deadline=None)
def test_no_event_that_matches_is_in_a_row_group_that_is_left_out(
    blocks: list[LogBlock], start: int, length: int
) -> None:
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(archive_file, "GROUP_ROWS", 1)
        facts = write_archive(blocks, Path(folder) / "a.parquet")
    rows = [(b.header.number, decode_line(one)) for b in blocks for one in b.events.split(b"\n")[:-1]]
    topics = {row.topic for _, row in rows if row.topic is not None and "*" not in row.topic}
    for topic in [None, *sorted(topics)]:
        found = facts.find(start, start + length, None if topic is None else [topic])
        kept = {n for group in found for n in range(group.first_block, group.last_block + 1)}
        for number, row in rows:
            in_time = row.time is None or start <= row.time < start + length
            assert not (in_time and topic in (None, row.topic)) or number in kept


@given(usual_lines())
def test_a_line_in_the_usual_form_is_told_by_its_columns(data: bytes) -> None:
    row = decode_line(data)
    assert row.odd is None
    assert encode_line(row) == data


def test_lines_without_topic_id_or_owner_are_read_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamgauge.log.archive_rows.decode_line", lambda data: pytest.fail(f"read alone: {data!r}"))
    rows = [Row(1, "", None, "stdin", None, "{}"), Row(-2, "é", "7", "http", "ann", '"\\"')]
    blocks = chain([([encode_line(row) for row in rows], [])])
    write_archive(blocks, tmp_path / "a.parquet")
    assert list(read_archive(tmp_path / "a.parquet")) == blocks
    columns = ["topic", "id", "source", "owner", "odd"]
    table = pq.read_table(tmp_path / "a.parquet", columns=columns).to_pylist()
    assert [[row[name] for name in columns] for row in table[1:]] == [
        ["", None, "stdin", None, None],
        ["é", "7", "http", "ann", None],
    ]


def test_what_a_body_pretends_to_be_stays_in_the_body() -> None:
    row = decode_line(line(5, "call", 1, '1},"topic":"x","y":{'))
    assert (row.time, row.topic, row.body) == (5, "call", '1},"topic":"x","y":{')


def test_an_odd_line_is_kept_whole_and_its_columns_say_what_can_be_read(tmp_path: Path) -> None:
    odd = b'{"time":7,"topic":"t","source":"s","raw":"AAA=","body":{"a":1}}'
    write_archive(chain([([odd, line(8)], [])]), tmp_path / "a.parquet")
    rows = [row for row in pq.read_table(tmp_path / "a.parquet").to_pylist() if row["kind"] == "event"]
    assert [(row["topic"], row["source"], row["odd"], row["body"]) for row in rows] == [
        ("t", "s", odd, None),
        ("call", "http", None, '{"n":0}'),
    ]


def test_the_facts_of_an_archive(tmp_path: Path) -> None:
    blocks = hours(4)
    path = tmp_path / "a.parquet"
    facts = write_archive(blocks, path)
    assert (facts.path, facts.size) == (path, path.stat().st_size)
    assert facts.raw_size == sum(len(b.events) + len(b.dead) for b in blocks)
    assert (facts.blocks, facts.events, facts.dead) == (4, 40, 2)
    assert (facts.first_block, facts.last_block, facts.position, facts.next_position) == (3, 6, 40, 82)
    assert (facts.oldest_ms, facts.newest_ms) == (START_MS, START_MS + 3 * 3_600_000 + 9)
    assert facts.newest_received_ms == START_MS + 6


def test_ticks_alone_make_an_archive_without_events(tmp_path: Path) -> None:
    ticks = chain([((), ()), ((), ())])
    facts = write_archive(ticks, tmp_path / "a.parquet")
    assert list(read_archive(tmp_path / "a.parquet")) == ticks
    assert (facts.events, facts.oldest_ms, facts.newest_ms) == (0, None, None)
    assert facts.find(-(2**62), 2**62) == []


def test_row_groups_hold_whole_blocks_and_end_at_their_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_file, "GROUP_ROWS", 25)
    facts = write_archive(hours(7), tmp_path / "a.parquet")
    assert [(g.first_block, g.last_block) for g in facts.groups] == [(3, 5), (6, 8), (9, 9)]
    monkeypatch.setattr(archive_file, "GROUP_ROWS", 1 << 16)
    monkeypatch.setattr(archive_file, "GROUP_BYTES", 1)
    assert len(write_archive(hours(7), tmp_path / "a.parquet").groups) == 7


@pytest.mark.usefixtures("small_groups")
def test_find_gives_the_row_groups_of_a_time_and_a_topic(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_archive(hours(12), path)
    hour = 3_600_000

    def found(start: int, stop: int, topics: list[str] | None = None) -> list[int]:
        return [group.number for group in find(path, START_MS + start, START_MS + stop, topics)]

    assert found(2 * hour, 4 * hour) == [2, 3]
    assert found(2 * hour + 9, 2 * hour + 10) == [2]
    assert found(2 * hour + 10, 3 * hour) == []
    assert found(0, 12 * hour, ["call.1"]) == [1]
    assert found(0, 12 * hour, ["call.1*"]) == [1, 10, 11]
    assert found(0, 12 * hour, ["*.7", "call.8"]) == [7, 8]
    assert found(0, 12 * hour, ["call"]) == []
    assert found(0, 12 * hour, []) == []
    assert found(0, 2 * hour, ["*"]) == [0, 1]


@pytest.mark.usefixtures("small_groups")
def test_the_blocks_of_found_row_groups_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    blocks = hours(6)
    facts = write_archive(blocks, path)
    assert list(read_events(path, find(path, START_MS, START_MS + 10**10, ["call.2", "call.4"]))) == blocks[2:5:2]
    position = blocks[3].header.position + 4
    (found,) = read_events(path, facts.at(position))
    assert found.events.split(b"\n")[position - found.header.position] == line(
        START_MS + 3 * 3_600_000 + 4, "call.3", 4
    )
    assert facts.at(facts.next_position) == facts.at(facts.position - 1) == []


def test_a_row_group_of_very_many_topics_may_hold_any(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_file, "MOST_TOPICS", 3)
    facts = write_archive(hours(4), tmp_path / "a.parquet")
    assert facts.groups[0].topics is None
    assert facts.find(START_MS, START_MS + 1, ["nowhere"])


def test_the_ids_of_events_without_their_bodies(tmp_path: Path) -> None:
    blocks = chain([([line(1, number=1), line(2, number=2)], [b"x"]), ((), ()), ([line(3, number=3), b"{}"], [])])
    write_archive(blocks, tmp_path / "a.parquet")
    ids = [["id-1", "id-2"], [], ["id-3", None]]
    assert list(read_ids(tmp_path / "a.parquet")) == list(zip([b.header for b in blocks], ids, strict=True))
    assert [header.number for header, _ in read_ids(tmp_path / "a.parquet", 4)] == [5]


def test_duckdb_and_pandas_minded_people_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "segment-1.parquet"
    blocks = chain([([line(START_MS + n, "call", n, f'{{"carrier":"c{n % 2}"}}') for n in range(10)], [b"bad"])])
    write_archive(blocks, path)
    query = f"""
        SELECT topic, body->>'$.carrier' AS carrier, count(*) FROM '{tmp_path}/segment-*.parquet'
        WHERE kind = 'event' AND time >= TIMESTAMPTZ '2026-03-01 12:00Z' GROUP BY ALL ORDER BY ALL
    """
    with duckdb.connect() as connection:
        assert connection.execute(query).fetchall() == [("call", "c0", 5), ("call", "c1", 5)]
        header = connection.execute(f"SELECT header->>'$.source' FROM '{path}' WHERE kind = 'header'").fetchall()
        dead = connection.execute(f"SELECT position, dead FROM '{path}' WHERE kind = 'dead letter'").fetchall()
        times = connection.execute(f"SELECT min(epoch_ms(time)), max(epoch_ms(time)) FROM '{path}'").fetchall()
    assert (header, dead, times) == ([("http",)], [(50, b"bad")], [(START_MS, START_MS + 9)])


@pytest.mark.usefixtures("small_groups")
def test_every_row_group_has_the_range_of_its_times_in_the_statistics_of_parquet(tmp_path: Path) -> None:
    facts = write_archive(hours(3), tmp_path / "a.parquet")
    metadata = pq.read_metadata(tmp_path / "a.parquet")
    for group in facts.groups:
        columns = [metadata.row_group(group.number).column(n) for n in range(metadata.num_columns)]
        ranges = {c.path_in_schema: c.statistics for c in columns if c.statistics and c.statistics.has_min_max}
        assert ranges["time"].min.timestamp() * 1000 == pytest.approx(group.oldest_ms)
        assert ranges["time"].max.timestamp() * 1000 == pytest.approx(group.newest_ms)
        assert (ranges["block"].min, ranges["position"].min) == (group.first_block, group.position)
        assert ranges["topic"].min == ranges["topic"].max == f"call.{group.number}"


# what is damaged


@pytest.mark.usefixtures("small_groups")
def test_any_flipped_bit_is_found_and_named(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    blocks = hours(2, per_block=3)
    write_archive(blocks, path)
    whole = path.read_bytes()
    chosen = random.Random(4)
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << chosen.randrange(8)
        path.write_bytes(damaged)
        with pytest.raises(DamagedArchive, match=r"a\.parquet"):
            pytest.fail(f"byte {place} was changed, and {len(list(read_archive(path)))} blocks were read")


@pytest.mark.usefixtures("small_groups")
def test_damage_in_one_row_group_leaves_the_others_readable(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    blocks = hours(5)
    facts = write_archive(blocks, path)
    damaged = bytearray(path.read_bytes())
    damaged[facts.groups[2].start + 30] ^= 4
    path.write_bytes(damaged)
    got: list[LogBlock] = []
    with pytest.raises(DamagedArchive, match=r"a\.parquet: blocks 5 to 5: cannot be read: the checksum") as caught:
        got.extend(read_archive(path))
    assert got == blocks[:2]
    error = caught.value
    assert (error.first_block, error.next_block, error.position, error.next_position) == (5, 6, 61, 71)
    assert error.next_block is not None
    assert list(read_archive(path, error.next_block - 1)) == blocks[3:]
    assert list(read_events(path, facts.groups[:2])) == blocks[:2]


@pytest.mark.parametrize("kept", [0.0, 0.001, 0.3, 0.9, 0.999])
def test_a_half_written_file_is_refused(tmp_path: Path, kept: float) -> None:
    path = tmp_path / "a.parquet"
    write_archive(hours(5), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(DamagedArchive, match=r"was not written to its end|does not begin"):
        read_facts(path)


def test_zeros_and_foreign_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(bytes(5000))
    with pytest.raises(DamagedArchive, match="does not begin as a Parquet file"):
        read_facts(path)
    pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(DamagedArchive, match="has no checksum: it is not an archive"):
        read_facts(path)
    with pytest.raises(FileNotFoundError, match=r"none\.parquet"):
        read_facts(tmp_path / "none.parquet")


def test_a_later_format_is_not_called_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_file, "FORMAT", 2)
    monkeypatch.setattr("streamgauge.log.archive._compare", lambda path, sums: read_facts(path))
    write_archive(hours(1), tmp_path / "a.parquet")
    monkeypatch.setattr(archive_file, "FORMAT", 1)
    with pytest.raises(StoreError, match="is an archive of format 2, this version of streamgauge reads 1; upgrade"):
        read_facts(tmp_path / "a.parquet")


def test_a_header_of_a_later_version_is_not_misread() -> None:
    text = encode_header(block(7, 0).header).replace('"lane"', '"colour":"red","lane"')
    with pytest.raises(StoreError, match="the header of block 7: has colour, which this version"):
        decode_header(text)


def test_a_topic_that_looks_like_the_checksum_of_the_footer_changes_nothing(tmp_path: Path) -> None:
    blocks = chain([([line(1, 'crc32 of the footer with zeros here "01234567')], [])])
    write_archive(blocks, tmp_path / "a.parquet")
    assert list(read_archive(tmp_path / "a.parquet")) == blocks


# writing


def test_what_was_written_wrongly_is_found_before_it_has_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoil(name: str) -> None:
        if name == "archive_written":
            path = tmp_path / "a.parquet.new"
            data = bytearray(path.read_bytes())
            data[100] ^= 1
            path.write_bytes(data)

    with pytest.raises(DamagedArchive):
        write_archive(hours(2), tmp_path / "a.parquet", step=spoil)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_holds_other_blocks_is_not_taken_for_what_was_to_be_written(tmp_path: Path) -> None:
    other = tmp_path / "other.parquet"
    write_archive(hours(2)[:1], other)

    def exchange(name: str) -> None:
        if name == "archive_synced":
            (tmp_path / "a.parquet.new").write_bytes(other.read_bytes())

    with pytest.raises(DamagedArchive, match="2 blocks were written, it ends after block 3"):
        write_archive(hours(2), tmp_path / "a.parquet", step=exchange)
    write_archive(hours(2, per_block=11), other)
    with pytest.raises(DamagedArchive, match="block 3 is not as it was written"):
        write_archive(hours(2), tmp_path / "a.parquet", step=exchange)


def test_an_archive_is_compared_with_a_segment_that_is_still_there(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    blocks = hours(3)
    write_archive(blocks, path)
    verify_archive(path, blocks)
    with pytest.raises(InputError, match="block 4 is not the same as in its segment"):
        verify_archive(path, [blocks[0], replace(blocks[1], dead=b"x"), blocks[2]])
    with pytest.raises(InputError, match="block 5 is in only one of them"):
        verify_archive(path, blocks[:2])


@pytest.mark.parametrize(
    ("blocks", "problem"),
    [
        (hours(3)[::2], "block 5: stands at position 61, expected block 4 at position 51; its segment is damaged"),
        (hours(2)[::-1], "block 3: stands at position 40, expected block 5 at position 61"),
        ([block(1, 10, [line(1)]), block(2, 10)], "block 2: stands at position 10, expected block 2 at position 11"),
        ([block(1, 10), block(2, 12)], "block 2: stands at position 12, expected block 2 at position 10"),
        ([LogBlock(block(1, 0, [line(1)]).header, b"", b"")], "block 1: 0 bytes with 0 line feeds, expected 1 event"),
        ([LogBlock(block(1, 0).header, b"", b"x")], "block 1: 1 bytes with 0 line feeds, expected 0 dead letter lines"),
        ([LogBlock(block(1, 0, [b"a"]).header, b"a\nb", b"")], "block 1: 3 bytes with 1 line feeds, expected 1 event"),
    ],
)
def test_blocks_that_cannot_be_right_are_refused(tmp_path: Path, blocks: list[LogBlock], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        write_archive(blocks, tmp_path / "a.parquet")
    assert list(tmp_path.iterdir()) == []


def test_no_blocks_make_no_archive(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="an archive of no blocks"):
        write_archive([], tmp_path / "a.parquet")
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_the_source_leaves_the_former_archive(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_archive(hours(2), path)

    def broken() -> Iterator[LogBlock]:
        yield hours(3)[0]
        raise InputError("segment: block 4 is damaged")

    with pytest.raises(InputError, match="block 4 is damaged"):
        write_archive(broken(), path)
    assert list(read_archive(path)) == hours(2)
    assert list(tmp_path.iterdir()) == [path]


def noise(count: int) -> list[LogBlock]:
    """Blocks of a kilobyte each that no compression makes smaller."""
    chosen = random.Random(9)
    return chain([([line(1, body=f'"{chosen.randbytes(500).hex()}"')], ()) for _ in range(count)])


FILL = """
import resource, signal, sys
from pathlib import Path
from streamgauge.log.archive import write_archive
from tests.log.test_archive import noise
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    write_archive(noise(50), Path(sys.argv[1]) / "a.parquet")
except OSError as error:
    print(error.strerror)
"""


@pytest.mark.parametrize("room", [0, 100, 20_000])
def test_a_file_that_has_no_room_is_an_os_error_and_leaves_nothing(tmp_path: Path, room: int) -> None:
    done = run(FILL, str(tmp_path), str(room))
    assert (done.stdout, done.stderr) == ("File too large\n", "")
    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, signal, sys
from pathlib import Path
from streamgauge.log import archive_file
from streamgauge.log.archive import write_archive
from tests.log.test_archive import hours
archive_file.GROUP_ROWS = 20
def die(name):
    if name == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)
def blocks():
    for number, block in enumerate(hours(40)):
        die(f"block {number}")
        yield block
write_archive(blocks(), Path(sys.argv[1]) / "a.parquet", step=die)
"""


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Another process that runs some code."""
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{root / 'src'}"}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


@pytest.mark.parametrize("moment", ["block 0", "block 39", *STEPS])
def test_killed_at_any_moment_there_is_a_whole_archive_or_none(tmp_path: Path, moment: str) -> None:
    path = tmp_path / "a.parquet"
    assert run(KILLED, str(tmp_path), moment).returncode == -signal.SIGKILL
    if moment in ("archive_named", "archive_durable"):
        assert list(read_archive(path)) == hours(40)
        assert discard_unfinished(tmp_path) == []
        return
    left = tmp_path / "a.parquet.new"
    assert list(tmp_path.glob("*.parquet")) == []
    if moment.startswith("block"):
        with pytest.raises(DamagedArchive):
            read_facts(left)
    assert discard_unfinished(tmp_path) == [left]
    write_archive(hours(40), path)
    assert list(read_archive(path)) == hours(40)


def call_blocks(count: int, per_block: int = 1000) -> tuple[list[LogBlock], int]:
    """Made-up calls as a source would append them, and how many bytes they were as NDJSON."""
    lines = b"".join(Traffic(count).chunks()).splitlines()
    events = []
    for data in lines:
        said: dict[str, Any] = json.loads(data)
        events.append(encode_line(Row(said["end"], "call", said["call_id"], "http", None, data.decode())))
    parts = [(events[first : first + per_block], ()) for first in range(0, count, per_block)]
    return chain(parts), sum(len(data) + 1 for data in lines)


def test_calls_take_less_than_a_fifth_of_their_bytes(tmp_path: Path) -> None:
    blocks, raw = call_blocks(40_000)
    facts = write_archive(blocks, tmp_path / "a.parquet")
    assert facts.size / raw < 0.20
    assert list(read_archive(tmp_path / "a.parquet")) == blocks


MEMORY = """
import resource, sys
from dataclasses import replace
from pathlib import Path
from streamgauge.log.archive import read_archive, write_archive
from tests.log.test_archive import call_blocks
blocks, _ = call_blocks(20_000)
def again(times):
    for n in range(times):
        for block in blocks:
            number, position = block.header.number + 20 * n, block.header.position + 20_000 * n
            yield replace(block, header=replace(block.header, number=number, position=position))
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
path = Path(sys.argv[1]) / "a.parquet"
write_archive(again(8), path)
for _ in read_archive(path): pass
before = peak()
write_archive(again(32), path)
for _ in read_archive(path): pass
print(peak() - before)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_length_of_a_segment(tmp_path: Path) -> None:
    done = run(MEMORY, str(tmp_path))
    assert done.stderr == ""
    grown_kb = int(done.stdout) * (1 if sys.platform.startswith("linux") else resource.getpagesize())
    assert grown_kb < 40_000  # four times the blocks are 160 MB more
