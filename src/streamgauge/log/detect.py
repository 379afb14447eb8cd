"""Which form an input has, told from its content; its name only settles a tie."""

from __future__ import annotations

from streamgauge.codecs.base import BLANKS
from streamgauge.codecs.csv import sniff_delimiter
from streamgauge.codecs.scan import is_balanced_object
from streamgauge.errors import InputError, Mistake

FORMS = ("ndjson", "json", "csv", "parquet")
HEAD_BYTES = 1 << 16
_LOOKED_AT_LINES = 200
BOM = b"\xef\xbb\xbf"

_FOREIGN = (
    (b"PK\x03\x04", "a ZIP archive", "unpack it and read it from standard input: unzip -p FILE | streamgauge report -"),
    (b"BZh", "bzip2", "read it from standard input: bzcat FILE | streamgauge report -"),
    (b"\xfd7zXZ\0", "xz", "read it from standard input: xzcat FILE | streamgauge report -"),
    (b"\x04\x22\x4d\x18", "lz4", "read it from standard input: lz4cat FILE | streamgauge report -"),
    (b"\xff\xfe", "UTF-16 text", "convert it: iconv -f UTF-16 -t UTF-8 FILE | streamgauge report -"),
    (b"\xfe\xff", "UTF-16 text", "convert it: iconv -f UTF-16 -t UTF-8 FILE | streamgauge report -"),
    (b"\xd4\xc3\xb2\xa1", "a packet capture", ""),
    (b"\xa1\xb2\xc3\xd4", "a packet capture", ""),
    (b"\x4d\x3c\xb2\xa1", "a packet capture", ""),
    (b"\x0a\x0d\x0d\x0a", "a packet capture", ""),
    (b"SQLite format 3\0", "an SQLite database", ""),
    (b"ARROW1", "an Arrow file", "write it as Parquet"),
    (b"Obj\x01", "an Avro file", "write it as Parquet or JSON lines"),
    (b"ORC", "an ORC file", "write it as Parquet"),
    (b"%PDF", "a PDF", ""),
    (b"\x7fELF", "a program", ""),
)
_EXPECTED = "expected JSON lines, JSON, CSV or Parquet"


def tell_form(head: bytes, name: str, whole: bool) -> str:
    """The form of an input that starts with ``head`` (all of it if ``whole``). Raises InputError where it has none."""
    if head.startswith(b"PAR1"):
        return "parquet"
    body = head.removeprefix(BOM)
    lines = _whole_lines(body, whole)
    objects = sum(map(is_balanced_object, lines))
    if objects and objects * 2 >= len(lines):
        return "ndjson"
    first = body.lstrip(BLANKS)[:1]
    # A form feed or a NUL in a line of JSON is that line's fault; only what is no JSON at all is called binary.
    if first == b"{":
        return _braces(body, lines, name)
    _refuse_foreign(head, name)
    if first == b"[":
        return "json"
    if not first:
        return "ndjson"
    return _text(body, name, whole)


def _whole_lines(body: bytes, whole: bool) -> list[bytes]:
    lines = body.split(b"\n")
    if not whole and len(lines) > 1:
        lines.pop()
    return [line for line in lines if line.strip(BLANKS)][:_LOOKED_AT_LINES]


def _braces(body: bytes, lines: list[bytes], name: str) -> str:
    """Text that begins with a brace: one object on many lines, or lines of which the first ones are broken."""
    if name.endswith((".jsonl", ".ndjson")):
        return "ndjson"
    if is_balanced_object(lines[0]) or b"\n" not in body.strip(BLANKS):
        return "ndjson"
    begin = sum(line.startswith(b"{") and len(line.strip(BLANKS)) > 1 for line in lines)
    return "ndjson" if begin == len(lines) > 1 else "json"


def _refuse_foreign(head: bytes, name: str) -> None:
    for magic, what, hint in _FOREIGN:
        if head.startswith(magic):
            raise InputError(str(Mistake(name, f"is {what}, {_EXPECTED}", hint=hint)))
    controls = sum(head.count(code) for code in range(32) if code not in (9, 10, 11, 12, 13, 27))
    if b"\0" in head or controls * 10 > len(head) * 3:
        raise InputError(str(Mistake(name, f"is binary, {_EXPECTED}")))


def _text(body: bytes, name: str, whole: bool) -> str:
    """Text without braces: CSV where its records agree in their number of columns."""
    text = body.decode("latin-1")
    if not whole:
        text = text[: text.rfind("\n") + 1] or text
    _, columns, records = sniff_delimiter(text)
    named = name.removesuffix(".gz").removesuffix(".zst").endswith((".csv", ".tsv"))
    if named or (columns >= 2 and records > 1) or columns >= 4:
        return "csv"
    if name.endswith((".jsonl", ".ndjson")):
        return "ndjson"
    start = body.lstrip(BLANKS)[:40].split(b"\n")[0].decode("utf-8", "replace")
    what = "looks like XML" if start.startswith("<") else "is of no known form"
    hint = "force one with --input ndjson, json, csv or parquet"
    raise InputError(str(Mistake(name, f"{what}, {_EXPECTED}", got=start, hint=hint)))
