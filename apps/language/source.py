"""From bytes to text: what cannot be a flow is said before anything reads it."""

from apps.language.diagnostics import Diagnostic, Span

LARGEST_BYTES = 1024**2


def decode(data: bytes, path: str = "") -> tuple[str, list[Diagnostic]]:
    """The text of a file, without a byte order mark and with `\\n` line ends. Never raises.

    What is wrong comes as diagnostics (E001 not UTF-8, E002 too large, E003 a NUL character); the text is empty then.
    """
    if len(data) > LARGEST_BYTES:
        return "", [too_large(len(data)).at(path)]
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - (data.rfind(b"\n", 0, error.start) + 1) + 1
        span = Span(line, column, line, column + 1)
        message = f"the file is not UTF-8: byte {data[error.start]:#04x} does not belong here"
        return "", [Diagnostic("E001", message, span, "save it as UTF-8 and try again", path=path)]
    return normalise(text), []


def normalise(text: str) -> str:
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def too_large(size: int) -> Diagnostic:
    return Diagnostic(
        "E002",
        f"the file has {size / 1024**2:.1f} MiB; a flow may have 1 MiB",
        hint="data belongs into a source; split a large flow into several",
    )
