"""`manage.py bridge …`: the verbs of the bridge. No Django, no portal; only what a verb needs is imported.

Each prints with `--json` one JSON document on standard output and nothing else there; what is for people goes to
standard error. Exit status: 0 well, 1 refused or what was looked at is bad, 2 wrong use.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from apps.bridge import cli_text
from apps.bridge.errors import WrongUse
from apps.bridge.protocol import HANDOFF_SECONDS, Bridge
from apps.bridge.records import CaseRecord, CaseStatus, Handoff
from apps.bridge.states import LAYERS, State
from apps.common.errors import FlowControlError

WELL, BAD, WRONG_USE = 0, 1, 2
PROJECT = Path(__file__).resolve().parent.parent.parent
STATUSES: dict[str, CaseStatus] = {"pass": "passed", "fail": "failed", "skip": "skipped"}

Answer = tuple[dict[str, Any], int]  # what --json prints, and the exit status


def main(argv: Sequence[str]) -> int:
    """Run one verb; the exit status. Shows no traceback for wrong use or a refusal."""
    as_json = "--json" in argv
    try:
        arguments = parser().parse_args(list(argv))
        document, status = arguments.act(_bridge(arguments), arguments)
    except SystemExit as leave:  # help
        return leave.code if isinstance(leave.code, int) else WRONG_USE
    except FlowControlError as error:
        if as_json:
            _print({"version": 1, "error": {"code": error.code, "message": error.message, "cure": error.hint}})
        else:
            cli_text.say_error(error)
        return WRONG_USE if isinstance(error, WrongUse) else BAD
    except KeyboardInterrupt:
        cli_text.say("Interrupted. The same command, called again, goes on.")
        return BAD
    if as_json:
        _print(document)
    return int(status)


def _bridge(arguments: argparse.Namespace) -> Bridge:
    data = Path(os.environ.get("FLOWCONTROL_DATA") or PROJECT / "data").expanduser().absolute()
    environment = arguments.env or os.environ.get("FLOWCONTROL_ENV") or "dev"
    return Bridge(data, environment, session=arguments.session)


def _print(document: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=2) + "\n")
    sys.stdout.flush()


# --- arguments ------------------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise WrongUse(f"{message[0].upper()}{message[1:]}.", hint=f"{self.prog} --help shows how it is used.")


def parser() -> argparse.ArgumentParser:
    made = _Parser(prog="manage.py bridge", description="Verbs of the bridge.", allow_abbrev=False)
    add_verbs(made.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser))
    return made


def add_verbs(verbs: Any) -> None:
    init = _add(verbs, "init", init_verb)
    init.add_argument("--token", default="", metavar="NAME", help="names this attempt, which may then be made again")
    layer = _add(verbs, "layer", layer_verb)
    layer.add_argument("layer", metavar="LAYER", help=", ".join(LAYERS))
    case = _add(verbs, "case", case_verb)
    case.add_argument("result", choices=STATUSES, help="pass, fail or skip")
    case.add_argument("title", metavar="TITLE", help="what was tried")
    case.add_argument("seconds", metavar="SECONDS", nargs="?", type=_seconds, default=0.0, help="how long it took")
    case.add_argument("message", metavar="MESSAGE", nargs="?", default="", help="why it failed or was skipped")
    case.add_argument("--source", default="", metavar="FILE", help="what gave the result")
    _add(verbs, "status", status_verb)
    offer = _add(verbs, "offer", offer_verb)
    offer.add_argument(
        "--seconds",
        type=_seconds,
        default=HANDOFF_SECONDS,
        metavar="N",
        help="how long it may be accepted; default: 3600",
    )
    accept = _add(verbs, "accept", accept_verb)
    accept.add_argument("--token", default="", metavar="NAME", help="names this attempt, which may then be made again")
    _add(verbs, "complete", complete_verb)
    abort = _add(verbs, "abort", abort_verb)
    _add(verbs, "verify", verify_verb)
    repair = _add(verbs, "repair", repair_verb)
    repair.add_argument("--finish", action="store_true", help="end the session as failed: its side died")
    for each in (init, layer, abort, repair):
        each.add_argument("--reason", default="", metavar="TEXT", help="stands in the log")


def _add(verbs: Any, name: str, act: Callable[[Bridge, argparse.Namespace], Answer]) -> argparse.ArgumentParser:
    summary, _, epilog = cli_text.VERBS[name].partition("\n\n")
    made: argparse.ArgumentParser = verbs.add_parser(
        name,
        help=summary,
        description=summary,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument("--env", default="", metavar="ENV", help="the environment; default: FLOWCONTROL_ENV, else dev")
    made.add_argument(
        "--session", default="", metavar="ID", help="only if this is the session; default: the active one"
    )
    made.add_argument("--json", action="store_true", help="print one JSON document, and nothing else")
    made.set_defaults(act=act)
    return made


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 <= number < 1e9:
        raise argparse.ArgumentTypeError(f"{text} is no number of seconds")
    return number


# --- verbs ----------------------------------------------------------------------------------------


def _told(arguments: argparse.Namespace, line: str) -> None:
    if not arguments.json:
        cli_text.say(line)


def init_verb(bridge: Bridge, arguments: argparse.Namespace) -> Answer:
    if os.environ.get("BRIDGE_PROTOCOL") == "inactive":
        raise WrongUse("The bridge is switched off here.", hint="Set BRIDGE_PROTOCOL=active, or leave it unset.")
    session = bridge.init(reason=arguments.reason, token=arguments.token)
    _told(arguments, f"Session {session.id} of {session.environment} is open. Next: manage.py bridge layer L0")
    return bridge.status(session.id).to_json(), WELL


def layer_verb(bridge: Bridge, arguments: argparse.Namespace) -> Answer:
    begun = bridge.begin_layer(arguments.layer, reason=arguments.reason)
    _told(arguments, f"{begun.name} is running.")
    return bridge.status().to_json(), WELL


def case_verb(bridge: Bridge, arguments: argparse.Namespace) -> Answer:
    status = STATUSES[arguments.result]
    case = CaseRecord(
        arguments.title, status, source=arguments.source, seconds=arguments.seconds, message=arguments.message
    )
    new = bridge.record(case)
    _told(arguments, f"{status}: {case.title}" + ("" if new else " (it was there already)"))
    return bridge.status().to_json(), WELL


def status_verb(bridge: Bridge, arguments: argparse.Namespace) -> Answer:
    status = bridge.status()
    if not arguments.json:
        cli_text.show_status(status, bridge.results(status.session.id)["layers"])
    return status.to_json(), WELL


def offer_verb(bridge: Bridge, arguments: argparse.Namespace) -> Answer:
    handoff = bridge.offer(seconds=arguments.seconds)
    _told(arguments, f"Offered in {bridge.places.handoff}, until {handoff.expires_at}. Next: manage.py bridge accept")
    return _with_handoff(bridge, handoff), WELL


def accept_verb(bridge: Bridge, arguments: argparse.Namespace) -> Answer:
    handoff = bridge.accept(token=arguments.token)
    done = ", ".join(handoff.layers_done)
    _told(arguments, f"Accepted, with {done} done. Next: manage.py bridge layer, for a layer above")
    return _with_handoff(bridge, handoff), WELL


def complete_verb(bridge: Bridge, arguments: argparse.Namespace) -> Answer:
    session = bridge.complete()
    status = bridge.status(session.id)
    _told(arguments, f"Session {session.id} is {session.state}: {status.transitions[-1].reason}.")
    return status.to_json(), WELL if session.state == State.COMPLETED else BAD


def abort_verb(bridge: Bridge, arguments: argparse.Namespace) -> Answer:
    session = bridge.abort(arguments.reason)
    _told(arguments, f"Session {session.id} is aborted.")
    return bridge.status(session.id).to_json(), WELL


def verify_verb(bridge: Bridge, arguments: argparse.Namespace) -> Answer:
    problems = bridge.verify()
    if not arguments.json:
        cli_text.say_problems(problems)
    found = [{"code": each.code, "message": each.message} for each in problems]
    return {"version": 1, "ok": not problems, "problems": found}, BAD if problems else WELL


def repair_verb(bridge: Bridge, arguments: argparse.Namespace) -> Answer:
    done = bridge.repair(finish=arguments.finish, reason=arguments.reason)
    if not arguments.json:
        cli_text.say_repaired(done)
    nothing = {"version": 1, "environment": bridge.environment, "session": None, "state": None}
    document = done.status.to_json() if done.status else {**nothing, "layers_done": [], "transitions": []}
    document["problems"] = [{"code": each.code, "message": each.message} for each in done.problems]
    return document, WELL


def _with_handoff(bridge: Bridge, handoff: Handoff) -> dict[str, Any]:
    fields = ("layers_done", "results_digest", "state_digest", "issued_at", "expires_at", "nonce", "digest")
    return {**bridge.status(handoff.session).to_json(), "handoff": {name: getattr(handoff, name) for name in fields}}
