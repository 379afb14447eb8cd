"""First half of parsing: from text to the few tokens that sqlglot's parser is shown.

Every path, column and literal becomes a numbered identifier, and every function call a numbered name, so that the
parser sees nothing of the author's but operators and words of the language, and every place is known exactly.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from sqlglot.dialects.duckdb import DuckDB
from sqlglot.errors import SqlglotError
from sqlglot.tokenizer_core import Token, TokenType

from streamgauge.errors import nearest
from streamgauge.expression.functions import CALLABLE
from streamgauge.expression.types import Node, Path, Refused, SqlType, quoted_name

MAX_TEXT = 10_000
MAX_TOKENS = 4_000
MAX_NESTING = 24

RESERVED = frozenset(
    "AND OR NOT IS NULL TRUE FALSE CASE WHEN THEN ELSE END IN LIKE ILIKE ESCAPE BETWEEN DISTINCT FROM AS".split()
)
"""Words of the language; a column of such a name is written in double quotes."""

TYPES = {t.value: t for t in (SqlType.BIGINT, SqlType.DOUBLE, SqlType.VARCHAR, SqlType.BOOLEAN)}
_TYPE_ALIASES = {"TEXT": "VARCHAR", "STRING": "VARCHAR", "BOOL": "BOOLEAN"}
_TYPE_HINTS = {
    **dict.fromkeys("INT INTEGER INT2 INT4 INT8 SMALLINT TINYINT LONG HUGEINT UBIGINT UINTEGER".split(), "BIGINT"),
    **dict.fromkeys("FLOAT REAL FLOAT4 FLOAT8 DECIMAL NUMERIC NUMBER".split(), "DOUBLE"),
    **dict.fromkeys("CHAR BPCHAR JSON UUID BLOB".split(), "VARCHAR"),
}
_AGGREGATES = frozenset(
    "count sum avg min max mean median mode stddev variance first last any_value list array_agg string_agg quantile "
    "arg_min arg_max approx_count_distinct histogram".split()
)
_IMPURE = frozenset(
    "now random uuid gen_random_uuid today current_date current_time current_timestamp get_current_timestamp "
    "localtime localtimestamp transaction_timestamp nextval currval version getenv current_setting pg_sleep".split()
)
_GROWING = frozenset("repeat lpad rpad regexp_replace translate array_to_string list_transform generate_series".split())

_STATEMENTS = frozenset("SELECT WITH TABLE VALUES OVER WINDOW WHERE EXISTS ANY ALL PIVOT UNION LATERAL".split())

_SIGNS = {
    TokenType.EQ, TokenType.NEQ, TokenType.LT, TokenType.LTE, TokenType.GT, TokenType.GTE, TokenType.PLUS,
    TokenType.DASH, TokenType.STAR, TokenType.SLASH, TokenType.DIV, TokenType.MOD, TokenType.DPIPE, TokenType.COMMA,
    TokenType.L_PAREN, TokenType.R_PAREN,
}  # fmt: skip
_SIGN_TEXT = re.compile(r"=|==|<>|!=|<|<=|>|>=|\+|-|\*|/|//|%|\|\||,|\(|\)")
_WORD = re.compile(r"[^\W\d]\w*")
_NUMBER = re.compile(r"[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?", re.ASCII)
_TYPE_TOKENS = {
    SqlType.BIGINT: TokenType.BIGINT,
    SqlType.DOUBLE: TokenType.DOUBLE,
    SqlType.VARCHAR: TokenType.TEXT,
    SqlType.BOOLEAN: TokenType.BOOLEAN,
    SqlType.LIST: TokenType.JSON,
}


@dataclass(slots=True)
class Scanned:
    """What the parser is given: tokens, and what their numbers stand for."""

    tokens: list[Token] = field(default_factory=list)
    leaves: list[Node] = field(default_factory=list)
    calls: list[tuple[str, int]] = field(default_factory=list)


def tokenize(text: str) -> list[Token]:
    """Tokens of the text; raises Refused where there are none, too many, or something no expression holds."""
    if len(text) > MAX_TEXT:
        raise Refused(f"it has {len(text)} characters, at most {MAX_TEXT} are allowed")
    for place, char in enumerate(text, 1):
        if char == "\0" or "\ud800" <= char <= "\udfff":
            raise Refused("a NUL or half a surrogate pair cannot be used", place)
    try:
        tokens: list[Token] = DuckDB().tokenize(text)
    except SqlglotError:
        raise Refused("a quote is not closed", len(text)) from None
    if not tokens:
        raise Refused("it is empty", 1)
    if len(tokens) > MAX_TOKENS:
        raise Refused(f"it has {len(tokens)} words and signs, at most {MAX_TOKENS} are allowed")
    for token in tokens:
        if token.comments:
            raise Refused("a comment is not allowed", token.start + 1)
    return tokens


def scan(text: str, columns: Mapping[str, SqlType], *, body: bool) -> Scanned:
    """The tokens for the parser; raises Refused for whatever is not on the list of what may be written."""
    tokens = tokenize(text)
    scanner = _Scanner(text, tokens, columns, body)
    while scanner.place < len(tokens):
        scanner.step()
    _check_nesting(scanner.out.tokens)
    return scanner.out


class _Scanner:
    def __init__(self, text: str, tokens: list[Token], columns: Mapping[str, SqlType], body: bool) -> None:
        self.text = text
        self.tokens = tokens
        self.columns = columns
        self.body = body
        self.place = 0
        self.out = Scanned()

    def raw(self, ahead: int = 0) -> str:
        """The token's text as written, or '' behind the end."""
        if self.place + ahead >= len(self.tokens):
            return ""
        token = self.tokens[self.place + ahead]
        return self.text[token.start : token.end + 1]

    def at(self, ahead: int = 0) -> int:
        index = self.place + ahead
        return self.tokens[index].start + 1 if index < len(self.tokens) else len(self.text)

    def step(self) -> None:
        token, raw = self.tokens[self.place], self.raw()
        if token.token_type is TokenType.STRING:
            self.string(token, raw)
        elif token.token_type is TokenType.NUMBER:
            self.number(raw)
        elif token.token_type is TokenType.DCOLON:
            self.keep(token.token_type, raw)
            self.type()
        elif token.token_type is TokenType.IDENTIFIER:
            self.name(token.text, quoted=True)
        elif raw.upper() in RESERVED:
            self.word(raw.upper())
        elif _WORD.fullmatch(raw):
            self.name(raw, quoted=False)
        elif token.token_type in _SIGNS and _SIGN_TEXT.fullmatch(raw):
            self.keep(token.token_type, raw)
        else:
            raise self.unwanted(raw)

    def unwanted(self, raw: str) -> Refused:
        hints = {
            "[": "a list element is read below body, as body.items[0]; else list_contains looks into a list",
            ".": "only names below body have dots; a number begins with a digit",
            ";": "one expression, without a semicolon",
            ":": "a cast is written ::",
            "!": "write NOT, or <>",
        }
        return Refused(f"{raw!r} is not allowed", self.at(), hints.get(raw, ""))

    def keep(self, kind: TokenType, text: str) -> None:
        self.emit(kind, text, self.at())
        self.place += 1

    def emit(self, kind: TokenType, text: str, at: int) -> None:
        self.out.tokens.append(Token(kind, text, line=1, col=at, start=at - 1, end=at - 1))

    def leaf(self, node: Node, used: int) -> None:
        self.emit(TokenType.IDENTIFIER, str(len(self.out.leaves)), node.at)
        self.out.leaves.append(node)
        self.place += used

    def word(self, word: str) -> None:
        if word == "ESCAPE":
            self.escape()
        elif word == "AS":
            self.keep(TokenType.ALIAS, word)
            self.type()
        else:
            self.keep(TokenType[word], word)

    def escape(self) -> None:
        """ESCAPE 'c' goes into the pattern that stands before it."""
        before = self.tokens[self.place - 1] if self.place else None
        is_text = self.place + 1 < len(self.tokens) and self.tokens[self.place + 1].token_type is TokenType.STRING
        escape = self.tokens[self.place + 1].text if is_text else ""
        if before is None or before.token_type is not TokenType.STRING or len(escape) != 1 or escape in "%_":
            raise Refused("ESCAPE needs a literal pattern before it and one character after it", self.at())
        self.out.leaves[-1] = replace(self.out.leaves[-1], args=(Node("escape", SqlType.VARCHAR, value=escape),))
        self.place += 2

    def string(self, token: Token, raw: str) -> None:
        if not raw.startswith("'"):
            raise Refused("only '...' texts are allowed", self.at())
        self.leaf(Node("literal", SqlType.VARCHAR, value=token.text, at=self.at()), 1)

    def number(self, raw: str) -> None:
        at, follows = self.at(), self.text[self.tokens[self.place].end + 1 :][:1]
        if not _NUMBER.fullmatch(raw) or follows.isalnum() or follows in ("_", "."):
            raise Refused(f"{raw + follows!r} is no number", at, "digits, a point, digits, an exponent")
        if raw.isdigit():
            value: int | float = int(raw) if len(raw) < 30 else 2**64
            if value > 2**63:
                raise Refused(f"{raw} does not fit into 64 bits", at)
            self.leaf(Node("literal", SqlType.BIGINT, value=value, at=at), 1)
            return
        if (value := float(raw)) == float("inf"):
            raise Refused(f"{raw} is too large", at)
        self.leaf(Node("literal", SqlType.DOUBLE, value=value, at=at), 1)

    def name(self, name: str, *, quoted: bool) -> None:
        at, follows = self.at(), self.raw(1)
        if follows == "(" and not quoted:
            self.call(name)
        elif name == "body" and not quoted and (self.body or follows == "."):
            self.path()
        elif name in self.columns:
            self.leaf(Node("column", self.columns[name], value=name, at=at), 1)
        else:
            raise Refused(f"unknown column {quoted_name(name)}", at, self.column_hint(name, follows))

    def column_hint(self, name: str, follows: str) -> str:
        if name.lower() in _IMPURE:
            return "an expression sees nothing but the event"
        if name.upper() in _STATEMENTS:
            return "an expression has no sub-query, table or window"
        if follows == "." and self.body:
            return f"what lies in the event is written body.{quoted_name(name)}"
        return nearest(name, [*self.columns, *(["body"] if self.body else [])])

    def call(self, name: str) -> None:
        at, low = self.at(), name.lower()
        if low in ("cast", "try_cast"):
            self.keep(TokenType.VAR, low.upper())
            return
        if low not in CALLABLE:
            raise Refused(f"unknown function {name}", at, _function_hint(low))
        self.emit(TokenType.VAR, f"f{len(self.out.calls)}", at)
        self.out.calls.append((low, at))
        self.place += 1

    def path(self) -> None:
        if not self.body:
            raise Refused("a path below body cannot be used here", self.at())
        at, used = self.at(), 1
        keys: list[str | int] = []
        while self.raw(used) in (".", "["):
            if self.raw(used) == ".":
                keys.append(self.key(used + 1))
                used += 2
            else:
                keys.append(self.index(used))
                used += 3
        if not keys:
            raise Refused("body alone is not a value", at, "name a key, as in body.status")
        if isinstance(keys[0], int):
            raise Refused("body is an object, not a list", at, "name a key, as in body.items[0]")
        self.leaf(Node("path", SqlType.VARCHAR, value=Path(tuple(keys)), at=at), used)

    def key(self, ahead: int) -> str:
        raw = self.raw(ahead)
        if raw and self.tokens[self.place + ahead].token_type is TokenType.IDENTIFIER:
            return self.tokens[self.place + ahead].text
        if not _WORD.fullmatch(raw):
            raise Refused(f"{raw!r} is no key", self.at(ahead), 'quote odd keys, as in body."X-Foo"."7days"')
        if self.raw(ahead + 1) == "(":
            raise Refused("methods are not allowed", self.at(ahead))
        return raw

    def index(self, ahead: int) -> int:
        raw = self.raw(ahead + 1)
        if not (raw.isascii() and raw.isdigit()) or len(raw) > 9 or self.raw(ahead + 2) != "]":
            raise Refused("a list index is a number from 0", self.at(ahead + 1), 'a key is written body."key"')
        return int(raw)

    def type(self) -> None:
        at, raw = self.at(), self.raw()
        word = _TYPE_ALIASES.get(raw.upper(), raw.upper())
        if not raw or word not in TYPES:
            known = _TYPE_HINTS.get(word)
            hint = f"write {known}" if known else nearest(word, [*TYPES, *_TYPE_ALIASES])
            raise Refused(f"unknown type {raw}" if raw else "a type is missing", at, hint)
        type_, used = TYPES[word], 1
        if self.raw(1) == "[":
            if self.raw(2) != "]" or type_ is not SqlType.VARCHAR or self.raw(3) == "[":
                raise Refused(f"unknown type {raw}[", at, "the only list type is VARCHAR[]")
            type_, used = SqlType.LIST, 3
        elif self.raw(1) == "(":
            raise Refused("a type has no length here", self.at(1), f"write {word}")
        self.emit(_TYPE_TOKENS[type_], type_.name, at)
        self.place += used


def _function_hint(name: str) -> str:
    if name in _AGGREGATES:
        return "aggregates are measures, an expression sees one event"
    if name in _IMPURE:
        return "an expression sees nothing but the event"
    if name in _GROWING:
        return "functions whose result can grow without bound are not allowed"
    return nearest(name, CALLABLE)


def _check_nesting(tokens: list[Token]) -> None:
    """The parser of sqlglot is recursive: refuse what would exhaust the stack before it sees it."""
    depth = signs = 0
    for token in tokens:
        kind = token.token_type
        signs = signs + 1 if kind in (TokenType.NOT, TokenType.DASH, TokenType.PLUS) else 0
        depth += (kind in (TokenType.L_PAREN, TokenType.CASE)) - (kind in (TokenType.R_PAREN, TokenType.END))
        if depth + signs > MAX_NESTING:
            raise Refused(f"it is nested more than {MAX_NESTING} deep", token.col)
