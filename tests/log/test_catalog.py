"""Which segments there are, as the names of files say."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.errors import StoreError
from streamgauge.log.catalog import Segment, index_of_block, index_of_position, list_segments, segment_name


def make(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_bytes(b"x" * len(name))


def test_segments_are_listed_in_order_and_other_files_are_not(tmp_path: Path) -> None:
    names = [segment_name(0, 0), segment_name(90, 3), segment_name(90, 4), segment_name(1000, 5)]
    make(
        tmp_path, *reversed(names), "lock", "segment-1.ndjson", segment_name(5, 5) + ".new", segment_name(5, 5, ".csv")
    )
    found = list_segments(tmp_path)
    assert [segment.path.name for segment in found] == names
    assert [(s.position, s.block, s.form, s.written) for s in found[:2]] == [
        (0, 0, ".ndjson", True),
        (90, 3, ".ndjson", True),
    ]
    assert found[0].size == len(names[0])


def test_a_name_sorts_as_its_numbers_do() -> None:
    assert segment_name(12, 3) == "segment-00000000000000000012-00000000000000000003.ndjson"
    assert len(segment_name(2**63 - 1, 2**63 - 1)) == len(segment_name(0, 0))


def test_archives_are_segments_where_they_can_be_read(tmp_path: Path) -> None:
    make(tmp_path, segment_name(0, 0, ".parquet"), segment_name(9, 1))
    assert [s.form for s in list_segments(tmp_path)] == [".ndjson"]
    assert [(s.form, s.written) for s in list_segments(tmp_path, [".parquet"])] == [
        (".parquet", False),
        (".ndjson", True),
    ]


def test_of_two_forms_the_written_one_is_the_truth(tmp_path: Path) -> None:
    make(tmp_path, segment_name(0, 0, ".parquet"), segment_name(0, 0), segment_name(9, 1, ".parquet"))
    first, second = list_segments(tmp_path, [".parquet"])
    assert (first.path.name, first.twin) == (segment_name(0, 0), tmp_path / segment_name(0, 0, ".parquet"))
    assert (second.form, second.twin) == (".parquet", None)


def test_a_folder_that_cannot_be_listed_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"log .*none: cannot be read: No such file or directory"):
        list_segments(tmp_path / "none")
    assert list_segments(tmp_path) == []


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3)), min_size=1, max_size=20), st.integers(-1, 70))
def test_a_place_is_found_by_the_names(steps: list[tuple[int, int]], wanted: int) -> None:
    position, block, segments = 2, 1, []
    for events, blocks in steps:
        segments.append(Segment(Path(segment_name(position, block)), position, block, ".ndjson", 0))
        position, block = position + events, block + blocks
    assert index_of_block(segments, wanted) == sum(s.block <= wanted for s in segments) - 1
    assert index_of_position(segments, wanted) == sum(s.position <= wanted for s in segments) - 1
