"""What the file commands say to people: on standard error, but for results. Colour and bars only at a terminal."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from apps.engine.spec import RunOutcome
    from apps.language.diagnostics import Diagnostic

CHECK = """Say whether flows are right: syntax, names, types, and the columns of their sources.

  manage.py flow check flows/
  manage.py flow check daily.flow --workspace data/ --json

Exit status: 0 all are right, 1 one is not, 2 wrong use."""

RUN = """Run one flow in a folder, without portal, broker or database.

  manage.py flow run daily.flow --workspace data/
  manage.py flow run daily.flow --workspace data/ --param region=EU --param since=2026-01-01 --json

All outputs are replaced together at the end, or none is. Ctrl-C cancels.
Exit status: 0 it succeeded, 1 it failed or was cancelled, 2 wrong use."""

TEST = """Run the tests that stand in flows, on their made-up rows only.

  manage.py flow test flows/
  manage.py flow test daily.flow --json

Exit status: 0 all passed, 1 one failed or a flow has errors, 2 wrong use."""

FORMAT = """Bring flows into the one layout; comments and meaning stay.

  manage.py flow format flows/
  manage.py flow format flows/ --check

Exit status: 0 done, 1 a flow has errors or (with --check) would change, 2 wrong use."""

GRAPH = """Draw a flow's graph on standard output.

  manage.py flow graph daily.flow > daily.svg
  manage.py flow graph daily.flow --format mermaid

Exit status: 0 drawn, 1 the flow has errors, 2 wrong use."""

_COLOURS = {"red": 31, "green": 32, "yellow": 33, "dim": 2, "bold": 1}


def say(line: str = "") -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def say_error(message: str, hint: str) -> None:
    say(_paint("error: ", "red", sys.stderr) + message)
    if hint:
        say(f"  {hint}")


def _paint(text: str, colour: str, stream: IO[str]) -> str:
    if not stream.isatty() or "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb":
        return text
    return f"\033[{_COLOURS[colour]}m{text}\033[0m"


def _number(count: int, word: str) -> str:
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"


# --- check, test, format ----------------------------------------------------------------------


def show_diagnostics(path: Path, text: str, diagnostics: "Iterable[Diagnostic]") -> None:
    for each in diagnostics:
        first, _, rest = each.at(str(path)).render(text).partition("\n")
        say(_paint(first, "red" if each.is_error else "yellow", sys.stderr))
        if rest:
            say(rest)


def say_checked(files: list[dict[str, Any]]) -> None:
    for each in files:
        if each["ok"]:
            sys.stdout.write(f"{_paint('ok', 'green', sys.stdout)}  {each['path']}\n")
    wrong = [each for each in files if not each["ok"]]
    if wrong:
        errors = sum(found["severity"] == "error" for each in wrong for found in each["diagnostics"])
        say(f"{_number(errors, 'error')} in {len(wrong)} of {_number(len(files), 'file')}.")


def show_cases(path: Path, cases: list[dict[str, Any]]) -> None:
    for case in cases:
        word = _paint("ok  ", "green", sys.stdout) if case["ok"] else _paint("FAIL", "red", sys.stdout)
        sys.stdout.write(f"{word}  {path}: {case['title']} ({case['seconds'] * 1000:.0f} ms)\n")
        for line in case["message"].splitlines():
            sys.stdout.write(f"      {line}\n")


def say_tested(cases: list[dict[str, Any]]) -> None:
    failed = sum(not case["ok"] for case in cases)
    if not cases:
        say('No flow has a test. Add one: test "what it shows" { given … then … }')
    else:
        say(f"{_number(len(cases) - failed, 'test')} passed, {failed} failed.")


def say_formatted(files: list[dict[str, Any]], *, only_checked: bool) -> None:
    word = "would change" if only_checked else "formatted"
    for each in files:
        if each["changed"]:
            sys.stdout.write(f"{word}  {each['path']}\n")
    changed = sum(each["changed"] for each in files)
    wrong = sum(any(found["severity"] == "error" for found in each["diagnostics"]) for each in files)
    unchanged = len(files) - changed - wrong
    tail = f", {_number(wrong, 'file')} with errors left as it is" if wrong else ""
    say(f"{_number(changed, 'file')} {word}, {unchanged} unchanged{tail}.")


# --- run ------------------------------------------------------------------------------------------


class Progress:
    """What happens in a run, as it happens: a bar at a terminal, else a line where something is worth it."""

    def __init__(self, *, quiet: bool) -> None:
        self.quiet = quiet
        self.bar = not quiet and sys.stderr.isatty() and "NO_COLOR" not in os.environ
        self._display: Any = None
        self._task: Any = None

    def __enter__(self) -> Self:
        if self.bar:
            # Slow to import, and only worth it for somebody who looks; the run goes on meanwhile.
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

            columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
            self._display = Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True)
            self._task = self._display.add_task("running", total=1.0)
            self._display.start()
        return self

    def show(self, event: dict[str, Any]) -> None:
        match event:
            case {"kind": "progress", "fraction": fraction} if self.bar:
                self._display.update(self._task, completed=fraction)
            case {"kind": "step", "part": "step", "state": "running", "name": name} if self.bar:
                self._display.update(self._task, description=name)
            case {"kind": "log", "level": "warning", "message": message} if not self.quiet:
                self._say(_paint("warning: ", "yellow", sys.stderr) + message)

    def _say(self, line: str) -> None:
        if self._display is not None:
            self._display.stop()
            say(line)
            self._display.start()
        else:
            say(line)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._display is not None:
            self._display.stop()


def show_outcome(outcome: "RunOutcome", path: Path, text: str, *, quiet: bool) -> None:
    """Steps, checks and outputs on standard output, what went wrong on standard error."""
    if not quiet:
        for line in _table(outcome):
            sys.stdout.write(line + "\n")
    if outcome.error is not None:
        _show_error(outcome.error, path, text)
    colour = {"succeeded": "green", "failed": "red"}.get(outcome.status, "yellow")
    if not quiet:
        say(f"{_paint(outcome.status, colour, sys.stderr)} in {outcome.seconds:.2f} s")


def _show_error(error: dict[str, Any], path: Path, text: str) -> None:
    from apps.language.diagnostics import Diagnostic, Span

    line, column = error["line"] or 0, error["column"] or 1
    if line:
        span = Span(line, column, line, column + 1)
        show_diagnostics(path, text, [Diagnostic(error["code"], error["message"], span, error["hint"])])
    else:
        say_error(f"[{error['code']}] {error['message']}", error["hint"])


def _table(outcome: "RunOutcome") -> list[str]:
    rows = [("step", "state", "rows", "seconds")]
    for each in outcome.steps:
        if each["kind"] == "step":
            count = "" if each["rows"] is None else f"{each['rows']:,}"
            seconds = "" if each["seconds"] is None else f"{each['seconds']:.2f}"
            rows.append((each["name"], each["status"], count, seconds))
    lines = _aligned(rows) if len(rows) > 1 else []
    for each in outcome.checks:
        if each["failed_rows"]:
            lines.append(f"{each['severity']}: {each['step']}: {each['check']}: {each['failed_rows']:,} rows fail it")
    lines += [
        f"wrote {each['path']}: {_number(each['rows'], 'row')}, {each['bytes']:,} bytes" for each in outcome.outputs
    ]
    return lines


def _aligned(rows: list[tuple[str, str, str, str]]) -> list[str]:
    widths = [max(len(row[place]) for row in rows) for place in range(4)]
    return [
        f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]:>{widths[2]}}  {row[3]:>{widths[3]}}".rstrip()
        for row in rows
    ]
