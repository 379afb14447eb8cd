"""The typed parameters of a pack, and ``$name`` in its expressions and settings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from streamgauge import forms
from streamgauge.errors import DeclarationError, Mistake, nearest
from streamgauge.forms import NAME, NAME_HINT, Form, Unfinished, is_integer, is_list, is_number, is_text, said, wrong

_TYPES: Mapping[str, Form] = {
    "integer": Form("an integer", is_integer),
    "number": Form("a number", is_number),
    "text": forms.text(),
    "word": Form("a name in lower case letters", lambda v: is_text(v) and NAME.fullmatch(v) is not None),
    "boolean": forms.FLAG,
    "integers": Form("a list of at least one integer", lambda v: is_list(v, is_integer) and len(v) > 0),
    "texts": Form("a list of at least one text", lambda v: is_list(v, is_text) and len(v) > 0),
}
PARAMETER_TYPES = tuple(_TYPES)

PARAMETER: Mapping[str, Form] = {
    "type": forms.one_of(PARAMETER_TYPES),
    "default": Form("anything", lambda value: True),
    "choices": Form("a list of texts", lambda value: forms.is_list(value, forms.is_text)),
    "help": forms.text(),
}
"""What ``[pack.NAME.parameters.NAME]`` may hold."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A typed setting of a pack; ``type`` is one of PARAMETER_TYPES.

    A text is a literal in an expression and can say nothing else; a word is a bare name there, one of ``choices`` if
    there are any. A list is never empty, because SQL has no IN of nothing.
    """

    name: str
    type: str
    default: Any
    help: str = ""
    choices: tuple[str, ...] = ()

    def check(self, value: Any, what: str, where: str) -> Any:
        """Return ``value`` if it is of this type. Raises DeclarationError."""
        if _TYPES[self.type].fits(value) and (not self.choices or value in self.choices):
            return value
        expected = f"one of {', '.join(self.choices)}" if self.choices else _TYPES[self.type].expected
        close = nearest(value, self.choices) if is_text(value) and self.choices else ""
        hint = close or f"the default is {said(self.default)}"
        raise DeclarationError(wrong(f"{what}: parameter {self.name!r}", value, expected, where, hint))

    def literal(self, value: Any) -> str:
        """``value`` as SQL text for an expression; a list in parentheses."""
        if isinstance(value, list | tuple):
            return "(" + ", ".join(_literal(v) for v in value) + ")"
        if self.type == "word":
            return str(value)
        text = _literal(value)
        # In parentheses, because -- begins a comment.
        return f"({text})" if text.startswith("-") else text


def parameter_from(what: str, place: str, name: str, raw: Any) -> Parameter:
    """The parameter that ``[pack.NAME.parameters.NAME]`` declares. Raises DeclarationError with every mistake."""
    what = f"{what}: parameter {name!r}"
    found = [] if NAME.fullmatch(name) else [Mistake(what, "not a name", place, hint=NAME_HINT)]
    found += forms.mistakes(raw, PARAMETER, what, lambda *_: place)
    if not found and not {"type", "default"} <= raw.keys():
        hint = f"type is one of {', '.join(PARAMETER_TYPES)}"
        found.append(Mistake(what, "needs a type and a default", place, hint=hint))
    if found:
        raise DeclarationError(found)
    parameter = Parameter(name, raw["type"], raw["default"], raw.get("help", ""), tuple(raw.get("choices", ())))
    parameter.check(parameter.default, what, place)
    return parameter


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int | float):
        return repr(value)
    return "'" + str(value).replace("'", "''") + "'"


_PARAMETER = re.compile(r"""(?P<quoted>'(?:[^']|'')*'|"(?:[^"]|"")*")|\$(?P<name>[a-z_][a-z0-9_]*)""")


@dataclass(frozen=True, slots=True)
class Substitution:
    """Puts parameters in the place of ``$name``: literals in expressions, values in settings.

    ``values`` are the parameters with their values, checked. In quotes a ``$`` is a ``$``. What names one that is
    ``broken`` (its own mistake is said already) is refused without a mistake.
    """

    values: Mapping[str, tuple[Parameter, Any]]
    broken: frozenset[str] = frozenset()

    def expression(self, text: Any, what: str, where: str) -> str:
        """``text`` with the literals in it. After IN a list keeps its parentheses, else it is several arguments.

        Raises DeclarationError for an unknown parameter, or for what is no text.
        """
        if not is_text(text):
            raise DeclarationError(wrong(what, text, "the text of an expression", where))
        named = [(m["name"], m.start() + 1) for m in _PARAMETER.finditer(text) if m["name"] is not None]
        if unknown := [(name, at) for name, at in named if name not in self.values]:
            raise DeclarationError(m for name, at in unknown for m in self._mistakes(name, at, text, what, where))

        def put(match: re.Match[str]) -> str:
            if match["quoted"] is not None:
                return match[0]
            parameter, value = self.values[match["name"]]
            literal = parameter.literal(value)
            spread = isinstance(value, list | tuple) and not re.search(r"\bIN\s*$", text[: match.start()], re.I)
            return literal[1:-1] if spread else literal

        return _PARAMETER.sub(put, text)

    def setting(self, value: Any, what: str, where: str) -> Any:
        """``value``, or that of the parameter which it names; so for each in a list or table too.

        Raises DeclarationError for unknown parameters: Unfinished, with the rest, where it is a list or table.
        """
        if isinstance(value, dict):
            return self._settings(value, what, where)
        if isinstance(value, list):
            return list(self._settings(dict(enumerate(value)), what, where, list).values())
        if is_text(value) and value.startswith("$"):
            if value[1:] not in self.values:
                raise DeclarationError(self._mistakes(value[1:], 1, value, what, where))
            return self.values[value[1:]][1]
        return value

    def _settings(self, values: Mapping[Any, Any], what: str, where: str, kind: type = dict) -> dict[Any, Any]:
        found, good, refused = list[Mistake](), dict[Any, Any](), False
        for key, value in values.items():
            try:
                good[key] = self.setting(value, what, where)
            except DeclarationError as e:
                found, refused = [*found, *e.mistakes], True
        if refused:
            raise Unfinished(found, list(good.values()) if kind is list else good)
        return good

    def _mistakes(self, name: str, at: int, text: str, what: str, where: str) -> Iterator[Mistake]:
        if name in self.broken:
            return
        known = sorted({*self.values, *self.broken})
        hint = nearest(name, known) or f"known: {', '.join(known) or 'none in this file'}"
        yield Mistake(what, f"unknown parameter ${name} at {at}", where, text, hint)
