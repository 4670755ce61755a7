"""From bytes to text: what cannot be a flow is said before anything reads it."""

import codecs
import re

from apps.language.diagnostics import Diagnostic, Span

LARGEST_BYTES = 1024**2

_NO_TEXT = re.compile("[\0\ud800-\udfff]")
_WIDE = {codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16"}


def decode(data: bytes, path: str = "") -> tuple[str, list[Diagnostic]]:
    """The text of a file, without a byte order mark and with `\\n` line ends. Never raises.

    What is wrong comes as diagnostics (E001 not UTF-8, E002 too large, E003 a NUL character); the text is empty then.
    """
    if len(data) > LARGEST_BYTES:
        return "", [too_large(len(data)).at(path)]
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        text = normalise(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        return "", [_not_utf8(data, error).at(path)]
    wrong = no_text(text)
    return ("", [wrong.at(path)]) if wrong else (text, [])


def normalise(text: str) -> str:
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def too_large(size: int) -> Diagnostic:
    """`size` in bytes."""
    return Diagnostic(
        "E002",
        f"the file has {size / 1024**2:.1f} MiB or more; a flow may have 1 MiB",
        hint="data belongs into a source; split a large flow into several",
    )


def no_text(text: str) -> Diagnostic | None:
    """A NUL, or half a character, which no file can hold: what is wrong with a text of them."""
    found = _NO_TEXT.search(text)
    if not found:
        return None
    place = place_of(text, found.start())
    if found[0] == "\0":
        return Diagnostic("E003", "a NUL character does not belong into a flow", place, "remove it")
    return Diagnostic("E003", "half a character (a lone surrogate) does not belong into a flow", place, "remove it")


def place_of(text: str, at: int) -> Span:
    """The place of one character, by its offset."""
    line, column = text.count("\n", 0, at) + 1, at - (text.rfind("\n", 0, at) + 1) + 1
    return Span(line, column, line, column + 1, at, at + 1)


def _not_utf8(data: bytes, error: UnicodeDecodeError) -> Diagnostic:
    before = normalise(data[: error.start].decode("utf-8", "replace"))
    message = f"the file is not UTF-8: byte {data[error.start]:#04x} does not belong here"
    if data[:2] in _WIDE:
        message = f"the file is {_WIDE[data[:2]]}, not UTF-8"
    return Diagnostic("E001", message, place_of(before, len(before)), "save it as UTF-8 and try again")
