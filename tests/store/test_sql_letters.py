"""Dead letters: bounded, listed page by page, and marked when they were replayed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from streamgauge.event import DeadLetter
from streamgauge.store import base, open_store, sql_letters
from streamgauge.store.base import NEW, REPLAYED, Commit, KeptLetter, LetterFilter
from tests.store.making import dumped


def letters(count: int, size: int, first: int = 0) -> list[DeadLetter]:
    return [DeadLetter(first + i, "a", i, 0, "not JSON", data=b"x" * size, length=size) for i in range(count)]


@pytest.mark.parametrize("cut", [0, 1, 3, 5, 6])
def test_the_first_dead_letters_are_kept_wherever_commits_fall(
    monkeypatch: pytest.MonkeyPatch, cut: int, store_url: str
) -> None:
    monkeypatch.setattr(sql_letters, "MAX_DEAD_LETTERS", 4)
    monkeypatch.setattr(sql_letters, "MAX_DEAD_LETTER_BYTES", 10)
    given = [*letters(2, 4), *letters(1, 3, 2), *letters(3, 1, 3)]
    with open_store(store_url) as store:
        for part in (given[:cut], given[cut:]):
            store.commit(Commit("report", 1, dead_letters=part))
        assert [letter.position for letter in store.dead_letters("report")] == [0, 1, 3, 4]


def test_the_bounds_of_dead_letters_are_those_documented() -> None:
    assert (base.MAX_DEAD_LETTERS, base.MAX_DEAD_LETTER_BYTES) == (10_000, 64 * 2**20)


@pytest.mark.parametrize("cuts", [[6], [0, 6], [1, 3, 6], [2, 4, 5, 6], [1, 2, 3, 4, 5, 6]])
def test_the_newest_dead_letters_are_kept_where_that_is_asked(
    monkeypatch: pytest.MonkeyPatch, cuts: list[int], store_url: str
) -> None:
    monkeypatch.setattr(sql_letters, "MAX_DEAD_LETTERS", 4)
    monkeypatch.setattr(sql_letters, "MAX_DEAD_LETTER_BYTES", 10)
    given, done = [*letters(2, 1), *letters(1, 8, 2), *letters(2, 1, 3), *letters(1, 1, 5)], 0
    with open_store(store_url) as store:
        for cut in cuts:
            store.commit(Commit("live", cut, dead_letters=given[done:cut], newest_letters=True))
            done = cut
        assert [letter.position for letter in store.dead_letters("live")] == [3, 4, 5]
        store.commit(Commit("live", 7, dead_letters=letters(1, 11, 7), newest_letters=True))
        assert list(store.dead_letters("live")) == []
        store.commit(Commit("live", 8, dead_letters=letters(1, 10, 8), newest_letters=True))
        assert [letter.position for letter in store.dead_letters("live")] == [8]


def kept(position: int, source: str = "calls", reason: str = "not JSON") -> KeptLetter:
    lane = f"{source}:/var/log/a\udc80.jsonl"
    return KeptLetter(position, lane, 1, 0, reason, "", 1, b"{\0", 2, source=source, received_ms=1000 + position)


KEPT = [kept(0), kept(1, "http"), kept(2, reason="no time"), kept(5, "http", "no time"), kept(9)]


@pytest.mark.parametrize(
    ("wanted", "positions"),
    [
        (LetterFilter(), [0, 1, 2, 5, 9]),
        (LetterFilter(reason="no time"), [2, 5]),
        (LetterFilter(source="http"), [1, 5]),
        (LetterFilter(source="http", reason="no time"), [5]),
        (LetterFilter(from_ms=1002), [2, 5, 9]),
        (LetterFilter(from_ms=1001, to_ms=1005), [1, 2]),
        (LetterFilter(state=REPLAYED), [1, 9]),
        (LetterFilter(state=NEW), [0, 2, 5]),
        (LetterFilter(reason="' OR 1=1 --"), []),
    ],
)
def test_dead_letters_are_listed_by_what_they_are(store_url: str, wanted: LetterFilter, positions: list[int]) -> None:
    with open_store(store_url) as store:
        store.commit(Commit("live", 10, dead_letters=KEPT))
        store.commit(Commit("live", 11, replayed=[1, 9, 77]))
        assert [letter.position for letter in store.find_letters("live", wanted)] == positions
        assert store.find_letters("report", wanted) == []


def test_dead_letters_are_read_page_by_page(store_url: str) -> None:
    with open_store(store_url) as store:
        store.commit(Commit("live", 10, dead_letters=KEPT))
        pages, after = [], -1
        while page := store.find_letters("live", after=after, limit=2):
            pages.append(page)
            after = page[-1].position
        assert pages == [KEPT[:2], KEPT[2:4], KEPT[4:]]


def test_one_dead_letter_is_found_by_its_position_with_its_bytes(store_url: str) -> None:
    with open_store(store_url) as store:
        store.commit(Commit("live", 10, dead_letters=KEPT))
        assert store.letter("live", 5) == KEPT[3]
        assert store.letter("live", 4) is None
        assert store.letter("report", 5) is None
        store.commit(Commit("live", 11, replayed=[5]))
        assert store.letter("live", 5) == replace(KEPT[3], state=REPLAYED)


def test_many_dead_letters_are_replayed_at_once(store_url: str) -> None:
    with open_store(store_url) as store:
        store.commit(Commit("live", 10, dead_letters=[kept(n) for n in range(1200)]))
        store.commit(Commit("live", 11, replayed=range(1100)))
        left = store.find_letters("live", LetterFilter(state=NEW), limit=1000)
        assert [letter.position for letter in left] == list(range(1100, 1200))


def test_the_dump_has_dead_letters_without_wall_times_and_what_people_did() -> None:
    dumps = []
    for later, replayed in ((0, []), (500, [0, 5])):
        given = [replace(letter, received_ms=letter.received_ms + later) for letter in KEPT]
        with open_store() as store:
            store.commit(Commit("live", 10, dead_letters=given, replayed=replayed))
            dumps.append(dumped(store))
    assert dumps[0] == dumps[1]
    assert dumps[0].count('"source":"http"') == 2
