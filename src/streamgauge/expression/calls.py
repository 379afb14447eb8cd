"""Measures as text: ``sum(billed_ms) FILTER (WHERE sip_code = 200)``, taken apart but not understood."""

from __future__ import annotations

from dataclasses import dataclass

from sqlglot.tokenizer_core import Token, TokenType

from streamgauge.errors import DeclarationError
from streamgauge.expression.parse import mistake_of
from streamgauge.expression.scan import tokenize
from streamgauge.expression.types import Refused

_OPENING = {TokenType.L_PAREN: TokenType.R_PAREN, TokenType.L_BRACKET: TokenType.R_BRACKET}


@dataclass(frozen=True, slots=True)
class Call:
    """A measure's text: its name (small letters), its arguments' texts as written, and its condition's text or ''."""

    name: str
    args: tuple[str, ...] = ()
    where: str = ""


def parse_call(text: str, *, what: str, where: str = "") -> Call:
    """Take ``name(argument, ...) [FILTER (WHERE condition)]`` apart; ``count(*)`` is ``count()``.

    Arguments stay SQL text, unchecked (an argument may itself be a call). Raises DeclarationError with the place.
    """
    try:
        return _call(text)
    except Refused as refusal:
        raise DeclarationError(mistake_of(refusal, text, what=what, where=where)) from None


def split_args(text: str, *, what: str, where: str = "") -> tuple[str, ...]:
    """Texts between the commas of ``text`` that stand in no parentheses, brackets or quotes; '' has none."""
    if not text.strip():
        return ()
    try:
        tokens = tokenize(text)
        return _split(text, tokens, 0, len(text))
    except Refused as refusal:
        raise DeclarationError(mistake_of(refusal, text, what=what, where=where)) from None


def is_call(text: str) -> bool:
    """Whether the text has the form of a call, ``name(...)``, and is not a bare name or literal."""
    try:
        _call(text)
    except Refused:
        return False
    return True


def _call(text: str) -> Call:
    tokens = tokenize(text)
    name = text[tokens[0].start : tokens[0].end + 1]
    if not (name.isascii() and name.isidentifier()):
        raise Refused("a measure begins with the name of an aggregate", 1, "as in count() or sum(body.bytes::BIGINT)")
    if len(tokens) < 2 or tokens[1].token_type is not TokenType.L_PAREN:
        raise Refused(f"{name} needs its parentheses", tokens[0].end + 2, f"write {name}(...)")
    close = _matching(tokens, 1)
    args = _split(text, tokens[2:close], tokens[1].end + 1, tokens[close].start)
    return Call(name.lower(), () if args == ("*",) else args, _filter(text, tokens, close + 1))


def _filter(text: str, tokens: list[Token], place: int) -> str:
    """The condition's text of ``FILTER (WHERE ...)`` at ``place``, or '' where nothing follows."""
    if place == len(tokens):
        return ""
    words = [text[t.start : t.end + 1].upper() for t in tokens[place : place + 3]]
    if words != ["FILTER", "(", "WHERE"]:
        raise Refused("after the closing parenthesis only FILTER (WHERE condition) may stand", tokens[place].start + 1)
    close = _matching(tokens, place + 1)
    if close + 1 < len(tokens):
        raise Refused("nothing may stand after the FILTER", tokens[close + 1].start + 1)
    condition = text[tokens[place + 2].end + 1 : tokens[close].start].strip()
    if not condition:
        raise Refused("the condition is missing", tokens[close].start + 1)
    return condition


def _matching(tokens: list[Token], opening: int) -> int:
    """Index of the token that closes the one at ``opening``."""
    wanted: list[TokenType] = []
    for index in range(opening, len(tokens)):
        kind = tokens[index].token_type
        if kind in _OPENING:
            wanted.append(_OPENING[kind])
        elif kind in _OPENING.values():
            if wanted.pop() is not kind:
                raise Refused("brackets do not match", tokens[index].start + 1)
            if not wanted:
                return index
    raise Refused("a parenthesis is not closed", tokens[opening].start + 1)


def _split(text: str, tokens: list[Token], start: int, end: int) -> tuple[str, ...]:
    if not tokens:
        return ()
    parts: list[str] = []
    depth, begin = 0, start
    for token in tokens:
        if token.token_type in _OPENING:
            depth += 1
        elif token.token_type in _OPENING.values():
            depth -= 1
        elif token.token_type is TokenType.COMMA and depth == 0:
            parts.append(_part(text, begin, token.start))
            begin = token.end + 1
    return (*parts, _part(text, begin, end))


def _part(text: str, begin: int, end: int) -> str:
    part = text[begin:end].strip()
    if not part:
        raise Refused("an argument is missing", begin + 1)
    return part
