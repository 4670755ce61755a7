"""What the checker finds, each thing once, and the guess at what a wrong name was meant to be."""

from collections.abc import Iterable
from difflib import get_close_matches

from apps.language.diagnostics import Diagnostic, Severity, Span

MOST_NAMES = 12  # that a hint lists


class Findings:
    """Collects diagnostics; what is said twice of one place is kept once."""

    def __init__(self) -> None:
        self._items: dict[tuple[str, str, Span], Diagnostic] = {}

    def error(self, code: str, message: str, span: Span, hint: str = "") -> None:
        self._add(Diagnostic(code, message, span, hint))

    def warning(self, code: str, message: str, span: Span, hint: str = "") -> None:
        self._add(Diagnostic(code, message, span, hint, Severity.WARNING))

    def _add(self, item: Diagnostic) -> None:
        self._items.setdefault((item.code, item.message, item.span), item)

    @property
    def error_count(self) -> int:
        return sum(item.is_error for item in self._items.values())

    def has(self, *codes: str) -> bool:
        return any(item.code in codes for item in self._items.values())

    def in_order(self) -> tuple[Diagnostic, ...]:
        """All findings, as they stand in the text."""
        return tuple(sorted(self._items.values(), key=lambda item: (item.span, item.code)))


def listing(names: Iterable[str]) -> str:
    """`a, b, c`, cut after a dozen."""
    known = list(names)
    shown = ", ".join(known[:MOST_NAMES])
    return shown + (f", … ({len(known)} in all)" if len(known) > MOST_NAMES else "")


def closest(name: str, names: Iterable[str]) -> str | None:
    """The name that was probably meant."""
    known = list(names)
    by_small = {each.lower(): each for each in reversed(known)}
    found = get_close_matches(name.lower(), by_small, n=1, cutoff=0.7)
    return by_small[found[0]] if found else None


def guess(name: str, names: Iterable[str], what: str) -> str:
    """The hint for an unknown name: `did you mean 'amount'? columns here: amount, day`."""
    known = list(names)
    meant = closest(name, known)
    start = f"did you mean '{meant}'? " if meant else ""
    return start + (f"{what}: {listing(known)}" if known else f"{what}: none")


def a(noun: object) -> str:
    """`an int`, `a text`."""
    text = str(noun)
    if text == "json":
        return text
    return f"{'an' if text[0] in 'aeiou' else 'a'} {text}"
