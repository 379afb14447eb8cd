"""The form of an input is told from its content."""

from __future__ import annotations

import pytest

from streamgauge.errors import InputError
from streamgauge.log.detect import tell_form


@pytest.mark.parametrize(
    ("head", "form"),
    [
        (b'{"a":1}\n{"a":2}\n', "ndjson"),
        (b'{"a":1}', "ndjson"),
        (b'\n \n{"a":1}\n', "ndjson"),
        (b'\xef\xbb\xbf{"a":1}\n', "ndjson"),
        (b'{"a":1,"b\n{"a":2}\n', "ndjson"),
        (b'oops, 1\n{"a":1}\n{"a":2}\n', "ndjson"),
        (b'[1]\n{"a":1}\n{"a":2}\n', "ndjson"),
        (b'{"a":"\0"}\n{"a":1}\n', "ndjson"),
        (b'\0\0\0\n{"a":1}\n{"a":1}\n', "ndjson"),
        (b'{"a":1}{"a":2}\n', "ndjson"),
        (b'{"a":1,\n', "ndjson"),
        (b'{"a":1,', "ndjson"),
        (b'{"a":1\n{"a":1\n{"a":1\n', "ndjson"),
        (b'{"a":"' + b"x" * 100_000, "ndjson"),
        (b'{\n  "a": 1\n}\n', "json"),
        (b'{\n  "a": 1\n}\n{\n  "a": 2\n}\n', "json"),
        (b'{"a":\n1}', "json"),
        (b'[{"a":1},{"a":2}]', "json"),
        (b'[\n{"a":1},\n{"a":2}\n]', "json"),
        (b'[{"a":1}\n,{"a":2}\n]', "json"),
        (b'{"rows":[\n{"id":1},\n{"id":2}\n]}', "json"),
        (b"a,b\n1,2\n", "csv"),
        (b"a;b\n1;2\n", "csv"),
        (b"a\tb\n1\t2\n", "csv"),
        (b"a|b|c\n1|2|3\n1|2|3\n1|2|3\n1|2|3\n1|2|3\n1|2\n", "csv"),
        (b'a,b\n"x\ny",2\n', "csv"),
        (b'a,b\n1,"{""x"":1}"\n2,"{""x"":2}"\n', "csv"),
        (b"PAR1....", "parquet"),
    ],
)
def test_forms(head: bytes, form: str) -> None:
    assert tell_form(head, "input", whole=True) == form


def test_the_name_settles_a_tie() -> None:
    assert tell_form(b"one\ntwo\n", "a.csv", whole=True) == "csv"
    assert tell_form(b"one\ntwo\n", "a.csv.gz", whole=True) == "csv"
    assert tell_form(b"one\ntwo\n", "a.jsonl", whole=True) == "ndjson"
    assert tell_form(b'{\n"a":1\n}', "a.jsonl", whole=True) == "ndjson"


def test_a_line_cut_by_the_look_ahead_is_not_judged() -> None:
    assert tell_form(b'{"a":1}\n{"a":', "input", whole=False) == "ndjson"
    assert tell_form(b"a,b\n1,2\n1,2\n3", "input", whole=False) == "csv"


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (b"\0\1\2\3" * 20, "is binary"),
        (b"\x01\x02\x03\x04abc", "is binary"),
        (b"hello world\nhow are you\n", "is of no known form"),
        (b"Dear all, this is\na letter.\nYours, me, as ever\n", "is of no known form"),
        (b"<cdr>\n</cdr>", "looks like XML"),
        (b"PK\x03\x04....", "is a ZIP archive"),
        (b"BZh91AY", "is bzip2"),
        (b"\xfd7zXZ\0", "is xz"),
        ('{"a":1}\n'.encode("utf-16"), "is UTF-16 text"),
        (b"SQLite format 3\0", "is an SQLite database"),
        (b"ARROW1\0\0", "is an Arrow file"),
    ],
)
def test_what_has_no_form_is_refused_with_what_it_is(head: bytes, reason: str) -> None:
    with pytest.raises(InputError) as caught:
        tell_form(head, "input", whole=True)
    assert reason in str(caught.value)
    assert "expected JSON lines, JSON, CSV or Parquet" in str(caught.value)
