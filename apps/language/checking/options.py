"""Values of options and settings: literals and bare words, each read as what it has to be."""

from collections.abc import Callable, Sequence
from typing import Any

from apps.language import tree as t
from apps.language.checking.findings import closest
from apps.language.values import number


class OptionError(Exception):
    """An option's value is not what it has to be."""

    def __init__(self, message: str, hint: str = "", *, code: str = "E402") -> None:
        super().__init__(message)
        self.hint = hint
        self.code = code


def plain(value: Any) -> Any:
    """The value without parentheses around it."""
    while isinstance(value, t.Group):
        value = value.inner
    return value


def text(value: Any) -> str:
    given = plain(value)
    if not isinstance(given, t.Text):
        raise OptionError("a text is needed", 'texts are written in double quotes: "…"')
    return given.value


def boolean(value: Any) -> bool:
    given = plain(value)
    if not isinstance(given, t.Boolean):
        raise OptionError("true or false is needed")
    return given.value


def whole_number(least: int, most: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        given = plain(value)
        found = number(given.text) if isinstance(given, t.Number) else None
        if not isinstance(found, int) or not least <= found <= most:
            raise OptionError(f"a whole number from {least} to {most} is needed")
        return found

    return read


def one_of(value: Any, choices: Sequence[str]) -> str:
    """A word of a few, bare or in quotes."""
    given = plain(value)
    word = given.name if isinstance(given, t.Name) else given.value if isinstance(given, t.Text) else None
    if word in choices:
        return str(word)
    meant = closest(word, choices) if word else None
    hint = (f"did you mean '{meant}'? " if meant else "") + f"it may be {', '.join(choices)}"
    raise OptionError(f"'{word}' is not one of the choices" if word else "a word is needed", hint)


def choice(*choices: str) -> Callable[[Any], str]:
    return lambda value: one_of(value, choices)


def one_character(value: Any) -> str:
    given = text(value)
    if len(given) != 1 or given in "\r\n\0":
        raise OptionError("one character is needed", 'a tab is written "\\t"')
    return given


def one_character_or_none(value: Any) -> str:
    return "" if isinstance(plain(value), t.Text) and plain(value).value == "" else one_character(value)


def names(value: Any) -> tuple[t.Name, ...]:
    """`[a, b]` or `a`: names of columns."""
    given = plain(value)
    items = given.items if isinstance(given, t.ListLiteral) else (given,)
    found = [plain(item) for item in items]
    if not all(isinstance(item, t.Name) for item in found):
        raise OptionError("names of columns are needed", "[segment, month]")
    return tuple(found)
