"""Texts of flows for tests."""

from tests.factories import TEXT


def flow(name="orders", more="", **options):
    """A small right flow; `options` stand in its head, `more` at its end."""
    head = ", ".join(f"{key}: {value}" for key, value in options.items())
    written = TEXT.format(name=name)
    if head:
        written = written.replace('description: "Counts"', f'description: "Counts", {head}')
    return written + more


PASSING = """
test "ten is too much" {
  given numbers
    | n  |
    | 9  |
    | 10 |
  then small
    | n |
    | 9 |
}
"""
FAILING = PASSING.replace("ten is too much", "ten is small").replace("    | 9 |\n}", "    | 9 |\n    | 10 |\n}")
