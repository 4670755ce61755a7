"""The formats of handoff.json, results.json and a session's record: `docs/reference/bridge.md`."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from apps.bridge.errors import HandoffEdited, HandoffNewer, HandoffUnreadable
from apps.bridge.records import CaseRecord, Handoff, Issued, LayerRecord, Session, Status, Transition
from apps.common.files import sha256

VERSION = 1
_HEX = re.compile(r"[0-9a-f]+")
_TEXTS = ("session", "environment", "results_digest", "state_digest", "issued_at", "expires_at", "nonce", "digest")


def digest(value: object) -> str:
    """SHA-256 of the value as JSON without spaces, keys sorted, all but ASCII escaped."""
    return sha256(json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True))


def written(document: Mapping[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


# --- digests --------------------------------------------------------------------------------------


def transition_digest(previous: str, session: str, transition: Transition) -> str:
    source = transition.source
    fields = [transition.seq, source, transition.target, transition.actor, transition.at, transition.reason]
    return digest([previous, session, *fields])


def results_digest(layers: Iterable[LayerRecord], cases: Iterable[CaseRecord]) -> str:
    """Of every layer and every case so far, in the order of layers, then as they were recorded."""
    return digest(
        [[[each.name, each.status, each.message] for each in layers], [_case_document(each) for each in cases]]
    )


# --- the handoff ----------------------------------------------------------------------------------


def make_handoff(
    session: Session, layers_done: Sequence[str], digests: tuple[str, str], times: tuple[str, str], nonce: str
) -> Handoff:
    fields: dict[str, Any] = {
        "session": session.id,
        "environment": session.environment,
        "layers_done": tuple(layers_done),
        "results_digest": digests[0],
        "state_digest": digests[1],
        "issued_at": times[0],
        "expires_at": times[1],
        "nonce": nonce,
    }
    return Handoff(**fields, digest=digest({"version": VERSION, **fields}))


def write_handoff(handoff: Handoff) -> str:
    return written({"version": VERSION, **asdict(handoff)})


def read_handoff(text: bytes, environment: str) -> Handoff:
    """The document, if it is whole, of this version, and sealed by its own digest. Raises a refusal otherwise."""
    try:
        found = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise HandoffUnreadable(environment=environment) from error
    if not isinstance(found, dict):
        raise HandoffUnreadable(environment=environment)
    version = found.pop("version", None)
    if type(version) is int and version > VERSION:
        raise HandoffNewer(
            f"handoff.json is of version {version}; this side reads version {VERSION}.", environment=environment
        )
    if version != VERSION or type(version) is not int or not _has_the_fields(found):
        raise HandoffEdited(environment=environment)
    sealed = found.pop("digest")
    if digest({"version": VERSION, **found}) != sealed:
        raise HandoffEdited(environment=environment)
    return Handoff(**{**found, "layers_done": tuple(found["layers_done"])}, digest=sealed)


def _has_the_fields(found: dict[str, Any]) -> bool:
    layers = found.get("layers_done")
    return (
        found.keys() == {*_TEXTS, "layers_done"}
        and all(isinstance(found[name], str) for name in _TEXTS)
        and all(_HEX.fullmatch(found[name]) for name in ("session", "nonce", "digest"))
        and isinstance(layers, list)
        and all(isinstance(each, str) for each in layers)
    )


# --- results ----------------------------------------------------------------------------------------


def results_document(status: Status, cases: Sequence[CaseRecord]) -> dict[str, Any]:
    """The results of a session: `results.json`, when it has ended."""
    last = status.transitions[-1] if status.transitions else None
    return {
        "version": VERSION,
        "session": status.session.id,
        "environment": status.session.environment,
        "state": status.session.state,
        "reason": last.reason if last else "",
        "started_at": status.session.created_at,
        "written_at": last.at if last else status.session.created_at,
        "totals": counts(cases),
        "layers": [
            {
                "layer": each.name,
                "status": each.status,
                "message": each.message,
                "started_at": each.started_at,
                "ended_at": each.ended_at,
                **counts([case for case in cases if case.layer == each.name]),
            }
            for each in status.layers
        ],
        "cases": [_case_document(each) for each in cases],
        "transitions": [{**each.to_json(), "digest": each.digest} for each in status.transitions],
    }


def counts(cases: Iterable[CaseRecord]) -> dict[str, int]:
    """How many of each status. A flaky case has passed too."""
    found = {"passed": 0, "failed": 0, "skipped": 0, "flaky": 0}
    for each in cases:
        found[each.status] += 1
        found["flaky"] += each.flaky
    return found


def _case_document(case: CaseRecord) -> dict[str, Any]:
    return {
        "layer": case.layer,
        "source": case.source,
        "title": case.title,
        "status": case.status,
        "seconds": case.seconds,
        "attempts": case.attempts,
        "flaky": case.flaky,
        "message": case.message,
        "at": case.at,
        "key": case.key,
    }


# --- the record of a session ------------------------------------------------------------------------


def record_document(
    status: Status, cases: Sequence[CaseRecord], issued: Sequence[Issued], spools: Mapping[str, int]
) -> dict[str, Any]:
    """All rows of a session: what a broken database is built from anew."""
    return {
        "version": VERSION,
        "token": status.session.token,
        "results": results_document(status, cases),
        "handoffs": [asdict(each) for each in issued],
        "spools": dict(spools),
    }
