"""Opening inputs: what is refused and why, resuming, identity, standard input, notes and progress."""

from __future__ import annotations

import io
import os
import threading
from pathlib import Path

import pytest

from streamgauge.errors import InputError
from streamgauge.log import InputOptions, identify, lines_of, open_lane
from tests.data import data_path
from tests.log.reading import blocks_of, read, read_bytes, records


def refusal(path: Path | str, **options: object) -> str:
    with pytest.raises(InputError) as caught:
        open_lane(str(path), 0, InputOptions(**options))  # type: ignore[arg-type]
    return str(caught.value)


def test_no_such_file_names_a_near_one(tmp_path: Path) -> None:
    (tmp_path / "calls.jsonl").write_text("{}")
    assert refusal(tmp_path / "call.jsonl") == f"{tmp_path}/call.jsonl: no such file; did you mean calls.jsonl?"


def test_no_such_folder(tmp_path: Path) -> None:
    assert refusal(tmp_path / "x" / "y.jsonl").endswith(f"no such file; there is no folder {tmp_path}/x")


def test_a_folder(tmp_path: Path) -> None:
    assert "is a folder, expected a file; name its files:" in refusal(tmp_path)


def test_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "calls.jsonl"
    path.write_text("{}")
    path.chmod(0)
    if os.geteuid() == 0:
        # The superuser reads everything; the system's answer to others is given in its place.
        monkeypatch.setattr(os, "open", _refuse)
    assert refusal(path) == f"{path}: cannot be read: permission denied"


def _refuse(*args: object) -> int:
    raise PermissionError(13, "Permission denied")


def test_a_name_with_a_nul_is_refused_like_any_other() -> None:
    assert "cannot be read" in refusal("a\0b")


@pytest.mark.parametrize(("data", "reason"), [(b"", "is empty"), (b"\n \r\n\n", "holds nothing but blank lines")])
def test_empty(tmp_path: Path, data: bytes, reason: str) -> None:
    (tmp_path / "a.jsonl").write_bytes(data)
    assert refusal(tmp_path / "a.jsonl").endswith(": " + reason)


def test_an_unknown_form(tmp_path: Path) -> None:
    assert "no form is called 'xml', expected one of ndjson, json, csv, parquet" in refusal(tmp_path, form="xml")


def test_standard_input_has_no_identity() -> None:
    with open_lane("-", 3, InputOptions(), stdin=io.BytesIO(b'{"a":1}\n{"a":2}')) as reader:
        blocks = blocks_of(reader)
    assert (reader.lane.name, reader.lane.number, reader.lane.identity) == ("-", 3, "")
    assert records(blocks) == [b'{"a":1}', b'{"a":2}']
    assert reader.total_bytes is None
    assert reader.consumed_bytes == 15


def test_a_named_pipe_is_read_like_standard_input(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(b'{"a":1}\n' * 5000,))
    writer.start()
    assert len(records(read(path, block_bytes=1000))) == 5000
    writer.join()


def test_first_block_tells_a_file_again_after_it_has_grown(tmp_path: Path) -> None:
    path, other = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    path.write_bytes(b'{"a":1}\n{"a":2}\n')
    other.write_bytes(b'{"b":1}\n{"a":2}\n')
    with open_lane(str(path), 0) as reader:
        known = reader.lane.identity
    assert known.startswith("16:")
    path.write_bytes(path.read_bytes() + b'{"a":3}\n' * 1000)
    assert identify(str(path), InputOptions(), ["", "nonsense", "9:00", known]) == known
    assert identify(str(other), InputOptions(), [known]) is None
    with open_lane(str(path), 0, cursor=16, first_line=3, identity=known) as reader:
        blocks = blocks_of(reader)
    assert reader.lane.identity == known
    assert (blocks[0].offset, blocks[0].first_line, len(records(blocks))) == (16, 3, 1000)


def test_the_longest_known_beginning_wins(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    identities = []
    for rows in (1, 5, 3):
        path.write_bytes(b'{"a":1}\n' * rows)
        with open_lane(str(path), 0) as reader:
            identities.append(reader.lane.identity)
    path.write_bytes(b'{"a":1}\n' * 4)
    assert identify(str(path), InputOptions(), identities) == identities[2]


def test_a_pipe_is_not_opened_to_be_identified(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert identify(str(tmp_path / "pipe"), InputOptions(), ["8:00"]) is None
    assert identify("-", InputOptions(), ["8:00"]) is None


def test_identity_is_of_the_first_block_only(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a":1}\n' * 100)
    with open_lane(str(path), 0, InputOptions(block_bytes=20)) as reader:
        assert reader.lane.identity.startswith("16:")


def test_a_file_shorter_than_its_cursor(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a":1}\n')
    with pytest.raises(InputError, match="ends at byte 8, before its cursor 100; it was cut or replaced"):
        open_lane(str(path), 0, cursor=100)


def test_an_unfinished_last_line_is_left_for_the_next_run(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a":1}\n{"a":')
    with open_lane(str(path), 0, InputOptions(resumable=True)) as reader:
        blocks = blocks_of(reader)
    assert records(blocks) == [b'{"a":1}']
    assert (reader.left_over, blocks[-1].end, blocks[-1].last) == (5, 8, True)
    path.write_bytes(b'{"a":1}\n{"a":2}\n')
    assert records(read(path, cursor=8, first_line=2, resumable=True)) == [b'{"a":2}']


def test_only_an_unfinished_line_gives_no_block(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a":')
    with open_lane(str(path), 0, InputOptions(resumable=True)) as reader:
        assert blocks_of(reader) == []
    assert reader.left_over == 5


def test_a_whole_object_without_a_line_feed_is_taken_and_its_line_is_not_counted_twice(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a":1}\n{"a":2}')
    first = read(path, resumable=True)
    assert records(first) == [b'{"a":1}', b'{"a":2}']
    path.write_bytes(path.read_bytes() + b'\n{"a":3}\n')
    second = read(path, cursor=first[-1].end, first_line=3, resumable=True)
    assert lines_of(second[0], [0]) == [(3, 16, b'{"a":3}')]


def test_a_file_that_grows_while_it_is_read_ends_where_it_ended_when_opened(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a":1}\n' * 10)
    with open_lane(str(path), 0) as reader:
        path.write_bytes(b'{"a":1}\n' * 20)
        assert len(records(blocks_of(reader))) == 10


def test_progress_reaches_the_total(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"a":1}\n' * 1000)
    with open_lane(str(tmp_path / "a.jsonl"), 0) as reader:
        blocks_of(reader)
    assert reader.consumed_bytes == reader.total_bytes == 8000


def test_close_may_be_called_twice(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"{}\n")
    reader = open_lane(str(tmp_path / "a.jsonl"), 0)
    reader.close()
    reader.close()


def test_an_input_error_while_reading_ends_the_lane_and_keeps_what_was_read(tmp_path: Path) -> None:
    class Failing(io.RawIOBase):
        reads = 0

        def readinto(self, view: memoryview) -> int:  # type: ignore[override]
            self.reads += 1
            if self.reads > 24:
                raise OSError(5, "Input/output error")
            view[:1] = b'{"a":1}\n'[(self.reads - 1) % 8 :][:1]
            return 1

    with open_lane("-", 0, stdin=Failing()) as reader:  # type: ignore[arg-type]
        assert len(records(blocks_of(reader))) == 3
    assert str(reader.problem) == "-: ended early after 24 bytes: Input/output error"


def test_a_csv_without_header_is_noted(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"a,1,x\nb,2,y\n")
    with open_lane(str(path), 0) as reader:
        assert reader.notes == [f"{path}: has no header row; its columns are called c1 to c3"]


@pytest.mark.parametrize(
    ("name", "form", "count"),
    [
        ("fedora/fedmsg_messages.jsonl", "ndjson", 1008),
        ("fedora/bus_sorted.jsonl", "ndjson", 705),
        ("video/requet_playback.jsonl.gz", "ndjson", 149547),
        ("voip/cgrates_csv/filejson.fileContent.txt", "json", 1),
        ("voip/cgrates_csv/filecsv.fileContent2.txt", "csv", 4),
        ("voip/cgrates_csv/filecsv.fileContent3.txt", "csv", 1),
        ("voip/cgrates_csv/flatstore.fullMissed.txt", "csv", 3),
        ("voip/freeswitch_cdr/json/cgrates_2013-08-04_5e400b4_body.json", None, 1),
        ("windows/arroyo/inputs/cars.json", "ndjson", None),
        ("anomalies/nab/data/realKnownCause/nyc_taxi.csv", "csv", 10320),
    ],
)
def test_public_files_have_their_form_and_records(name: str, form: str | None, count: int | None) -> None:
    blocks = read(data_path(name))
    assert form is None or {block.form for block in blocks} == {form}
    assert count is None or len(records(blocks)) == count


@pytest.mark.parametrize("name", ["sip/aaa.pcap", "sip/sip_ipv4_tcp.pcap"])
def test_packet_captures_are_called_so(name: str) -> None:
    assert "is a packet capture, expected JSON lines, JSON, CSV or Parquet" in refusal(data_path(name))


def test_xml_is_called_so() -> None:
    assert "looks like XML" in refusal(data_path("voip/cgrates_csv/filexml.xmlData.txt"))


def test_a_bom_is_not_part_of_the_first_line(tmp_path: Path) -> None:
    blocks = read_bytes(tmp_path, b'\xef\xbb\xbf{"a":1}\n{"a":2}\n')
    assert records(blocks) == [b'{"a":1}', b'{"a":2}']
    assert (blocks[0].offset, blocks[0].end) == (3, 19)
