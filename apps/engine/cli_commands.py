"""The file commands: their arguments and what each does.

Each prints its result on standard output (with `--json` one JSON document and nothing else) and what is for people on
standard error. Exit status: 0 well, 1 what was looked at is bad, 2 wrong use.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from apps.common.errors import FlowControlError
from apps.engine import cli_text
from apps.engine.cli import BAD, WELL, WRONG_USE

if TYPE_CHECKING:
    from apps.engine.fork import Forked
    from apps.language.checker import CheckResult
    from apps.language.diagnostics import Diagnostic
    from apps.language.plan import Plan

FILE_LIMIT = 2 << 20  # bytes; a larger file is cut, and refused for its size by the language


def main(argv: Sequence[str], forked: "Forked | None") -> int:
    """Run one command; the exit status. Never raises for wrong use or bad input, and shows no traceback for them.

    `forked` is the process in which `run` runs.
    """
    parser = _parser()
    try:
        arguments = parser.parse_args(list(argv))
        arguments.forked = forked
        return int(arguments.command(arguments))
    except SystemExit as leave:  # argparse: help is 0, wrong use is 2
        return leave.code if isinstance(leave.code, int) else WRONG_USE
    except UsageError as error:
        cli_text.say_error(error.message, error.hint)
        return WRONG_USE
    except FlowControlError as error:
        cli_text.say_error(error.message, error.hint)
        return BAD
    except BrokenPipeError:  # the reader of a pipe had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return WELL
    except KeyboardInterrupt:
        cli_text.say_error("Interrupted.", "")
        return BAD


class UsageError(FlowControlError):
    """The command was used wrongly."""


# --- arguments -----------------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        cli_text.say_error(f"{message[0].upper()}{message[1:]}.", f"{self.prog} --help shows how it is used.")
        raise SystemExit(WRONG_USE)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="manage.py flow", description="Commands on flow files.", allow_abbrev=False)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)
    _add(commands, "check", check_command, cli_text.CHECK, files="+")
    run = _add(commands, "run", run_command, cli_text.RUN, files=None)
    run.add_argument("file", metavar="FILE", help="the flow to run")
    run.add_argument(
        "--workspace", metavar="DIR", required=True, help="the only folder that the flow may read and write"
    )
    run.add_argument(
        "--param", metavar="NAME=VALUE", action="append", default=[], help="the value of a parameter; may be repeated"
    )
    run.add_argument("--now", metavar="TIME", help="what now() says, as 2026-01-01T06:00; default: now")
    run.add_argument("--memory", metavar="MB", type=_positive, default=0, help="memory it may use; default: the flow's")
    run.add_argument("--temp", metavar="MB", type=_positive, default=4096, help="temporary disk; default: 4096")
    run.add_argument("--timeout", metavar="SECONDS", type=float, help="stop it after that; default: the flow's")
    run.add_argument("--threads", metavar="N", type=_positive, help="processors to use; default: all")
    _add(commands, "test", test_command, cli_text.TEST, files="+")
    formatting = _add(commands, "format", format_command, cli_text.FORMAT, files="+")
    formatting.add_argument("--check", action="store_true", help="change nothing; exit 1 if a file would change")
    graph = _add(commands, "graph", graph_command, cli_text.GRAPH, files=None)
    graph.add_argument("file", metavar="FILE", help="the flow to draw")
    graph.add_argument("--format", choices=["svg", "dot", "mermaid", "json"], default="svg", help="default: svg")
    return parser


def _add(commands: Any, name: str, command: Any, text: str, *, files: str | None) -> argparse.ArgumentParser:
    summary, _, epilog = text.partition("\n\n")
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=summary,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(command=command)
    if files:
        parser.add_argument("files", metavar="FILE", nargs=files, help="a .flow file, or a folder that holds some")
    if name in ("check", "test"):
        parser.add_argument(
            "--workspace", metavar="DIR", help="where the sources' files are looked up; default: the file's folder"
        )
    if name != "graph":
        parser.add_argument("--json", action="store_true", help="print one JSON document, and nothing else")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number <= 0:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return number


# --- files ---------------------------------------------------------------------------------------


def flow_files(names: Sequence[str]) -> Iterator[Path]:
    """The files that were named; of a folder all .flow files in it, sorted. Raises UsageError if one is not there."""
    for name in names:
        path = Path(name)
        if path.is_dir():
            found = sorted(each for each in path.rglob("*.flow") if each.is_file())
            if not found:
                raise UsageError(f"The folder '{name}' holds no .flow file.", hint="Name a file, or another folder.")
            yield from found
        elif path.exists():
            yield path
        else:
            raise UsageError(f"There is no file '{name}'.", hint=_nearby(path))


def _nearby(path: Path) -> str:
    folder = path.parent
    beside = sorted(each.name for each in folder.glob("*.flow"))[:5] if folder.is_dir() else []
    return f"In its folder are: {', '.join(beside)}." if beside else "Check the path; it is relative to where you are."


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(FILE_LIMIT)
    except OSError as error:
        raise UsageError(
            f"'{path}' cannot be read: {error.strerror}.", hint="See its rights and what it is."
        ) from error


def _workspace(name: str | None, path: Path) -> Path:
    if name is None:
        return path.absolute().parent
    folder = Path(name)
    if not folder.is_dir():
        raise UsageError(f"The workspace '{name}' is no folder.", hint="Make it, or name another with --workspace.")
    return folder.absolute()


def _checked(path: Path, workspace: Path) -> "tuple[str, Plan | None, list[Diagnostic]]":
    """Text, plan (None if there are errors) and all diagnostics of a file."""
    from apps.engine.schemas import schema_reader
    from apps.language import checker, parser, source

    text, diagnostics = source.decode(_read(path), str(path))
    if any(each.is_error for each in diagnostics):
        return text, None, diagnostics
    parsed = parser.parse(text, str(path))
    diagnostics = [*diagnostics, *parsed.diagnostics]
    if parsed.tree is None:
        return text, None, diagnostics
    result: CheckResult = checker.check(parsed.tree, schema_reader(workspace))
    diagnostics += result.diagnostics
    good = not any(each.is_error for each in diagnostics)
    return text, result.plan if good else None, [each.at(str(path)) for each in diagnostics]


def _print_json(document: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=2) + "\n")
    sys.stdout.flush()


# --- commands --------------------------------------------------------------------------------------


def check_command(arguments: argparse.Namespace) -> int:
    found = []
    for path in flow_files(arguments.files):
        text, plan, diagnostics = _checked(path, _workspace(arguments.workspace, path))
        found.append(
            {"path": str(path), "ok": plan is not None, "diagnostics": [each.to_json() for each in diagnostics]}
        )
        if not arguments.json:
            cli_text.show_diagnostics(path, text, diagnostics)
    if arguments.json:
        _print_json({"version": 1, "files": found})
    else:
        cli_text.say_checked(found)
    return WELL if all(each["ok"] for each in found) else BAD


def test_command(arguments: argparse.Namespace) -> int:
    cases = []
    for path in flow_files(arguments.files):
        cases += _tested(path, _workspace(arguments.workspace, path), quiet=arguments.json)
    failed = sum(not case["ok"] for case in cases)
    if arguments.json:
        _print_json({"version": 1, "passed": len(cases) - failed, "failed": failed, "cases": cases})
    else:
        cli_text.say_tested(cases)
    return BAD if failed else WELL


def _tested(path: Path, workspace: Path, *, quiet: bool) -> list[dict[str, Any]]:
    """A file's cases as the document has them. A file with errors is one failed case, for none of its tests ran."""
    text, plan, diagnostics = _checked(path, workspace)
    if plan is None:
        if not quiet:
            cli_text.show_diagnostics(path, text, diagnostics)
        first = next(each for each in diagnostics if each.is_error)
        message = f"The flow has errors, so its tests could not run: {first.render()}"
        return [{"file": str(path), "title": "the flow is correct", "ok": False, "message": message, "seconds": 0.0}]
    import tempfile

    from apps.engine import sandbox
    from apps.engine.casetests import run_tests

    with tempfile.TemporaryDirectory() as nothing:  # tests see no file at all
        results = run_tests(plan, connect=lambda: sandbox.connect(Path(nothing)))
    found = [
        {
            "file": str(path),
            "title": each.title,
            "ok": each.ok,
            "message": each.message,
            "seconds": round(each.seconds, 4),
        }
        for each in results
    ]
    if not quiet:
        cli_text.show_cases(path, found)
    return found


def format_command(arguments: argparse.Namespace) -> int:
    """Rewrite files in the one layout. A file is replaced as a whole or not at all; unchanged ones are not touched."""
    from apps.common.files import write_atomic
    from apps.language import source
    from apps.language.formatter import FormatError, format_text

    found = []
    for path in flow_files(arguments.files):
        text, diagnostics = source.decode(_read(path), str(path))
        entry: dict[str, Any] = {"path": str(path), "ok": False, "changed": False, "diagnostics": []}
        found.append(entry)
        try:
            formatted = "" if any(each.is_error for each in diagnostics) else format_text(text)
        except FormatError as error:
            diagnostics = [*diagnostics, *(each.at(str(path)) for each in error.diagnostics)]
        entry["diagnostics"] = [each.to_json() for each in diagnostics]
        if any(each.is_error for each in diagnostics):
            if not arguments.json:
                cli_text.show_diagnostics(path, text, diagnostics)
            continue
        entry["changed"] = formatted != text
        entry["ok"] = not (arguments.check and entry["changed"])
        if entry["changed"] and not arguments.check:
            try:
                write_atomic(path, formatted, mode=path.stat().st_mode & 0o777)
            except OSError as error:
                cli_text.say_error(f"{path} cannot be written: {error.strerror}.", "Its text is as it was.")
                entry["ok"] = False
    if arguments.json:
        _print_json({"version": 1, "files": found})
    else:
        cli_text.say_formatted(found, only_checked=arguments.check)
    return WELL if all(each["ok"] for each in found) else BAD


def graph_command(arguments: argparse.Namespace) -> int:
    """Draw a flow. One that has errors is drawn as far as it can be read; the errors go to standard error."""
    from apps.language import graph, parser, source

    (path,) = flow_files([arguments.file])
    text, diagnostics = source.decode(_read(path), str(path))
    parsed = parser.parse(text, str(path))
    errors = [each.at(str(path)) for each in (*diagnostics, *parsed.diagnostics) if each.is_error]
    cli_text.show_diagnostics(path, text, errors)
    if parsed.tree is None:
        return BAD
    write = {"svg": graph.to_svg, "dot": graph.to_dot, "mermaid": graph.to_mermaid, "json": graph.to_json}
    sys.stdout.write(write[arguments.format](graph.build(parsed.tree)))
    return BAD if errors else WELL


def run_command(arguments: argparse.Namespace) -> int:
    from apps.engine import cli_run

    (path,) = flow_files([arguments.file])
    workspace = _workspace(arguments.workspace, path)
    return cli_run.run(path, _read(path), workspace, arguments)
