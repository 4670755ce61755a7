"""The verbs of the bridge: what both sides call. `docs/reference/bridge.md` is written first; this follows it.

Every verb holds the folder's lock, changes the rows in one transaction, and then writes the files that follow from
them. Killed before the commit nothing has happened; killed behind it, the files are written by the same verb called
again, or by `repair`. A verb that is called again where it has succeeded changes nothing. A refusal changes nothing.
"""

import getpass
import os
import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from apps.bridge import database, documents, mending, rows, settling, spool, truth
from apps.bridge.errors import (
    AlreadyAccepted,
    HandoffEdited,
    HandoffExpired,
    HandoffMissing,
    HandoffOtherEnvironment,
    HandoffOtherSession,
    HandoffReplayed,
    HandoffStale,
    LayerOrder,
    NeedsRepair,
    NoLayer,
    NoSession,
    OtherEnvironment,
    SessionActive,
    WrongState,
    WrongUse,
)
from apps.bridge.places import Places
from apps.bridge.records import (
    CaseRecord,
    Handoff,
    Issued,
    LayerRecord,
    Problem,
    Repaired,
    Session,
    Status,
    Transition,
)
from apps.bridge.states import FINAL, LAYERS, RUNNING, State, arrow
from apps.bridge.steps import Observer, nobody, step
from apps.common import clock

HANDOFF_SECONDS = 3600
PATIENCE_SECONDS = 5.0
_ENVIRONMENT = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
# Problems that a repair mends through the state recovering; all others are files, which are written again.
_MOVES = frozenset(
    {
        "database_corrupt",
        "database_missing",
        "repair_unfinished",
        "state_untrue",
        "log_short",
        "handoff_expired",
        "handoff_stale",
    }
)
_CUT_OFF = "The session ended before the layer did."


class Bridge:
    """One data folder, spoken to for one environment. Holds nothing open between two calls.

    With `session` every verb is about that session alone, and is refused where another one is active. `actor` is who
    does it; unless given, the user of the operating system.
    """

    def __init__(
        self,
        data: Path,
        environment: str,
        *,
        session: str = "",
        actor: str = "",
        patience_seconds: float = PATIENCE_SECONDS,
        observe: Observer = nobody,
    ) -> None:
        if not _ENVIRONMENT.fullmatch(environment):
            raise WrongUse(
                f"'{environment}' cannot be the name of an environment.",
                hint="Use small letters, digits, '_' and '-', like dev.",
            )
        self.places = Places(data, environment)
        self.environment = environment
        self.session = session
        self.actor = actor or getpass.getuser()
        self.patience_seconds = patience_seconds
        self.observe = observe

    # --- sessions -----------------------------------------------------------------------------

    def init(self, *, reason: str = "", token: str = "") -> Session:
        """Open a session. Of two that race one succeeds, the other is refused with SessionActive.

        `token` names the attempt: called again with the same one, it gives the session that it opened.
        """
        with self._locked():
            if not database.exists(self.places.database) and not any(self.places.records.glob("*.json")):
                database.create(self.places.database)
            with self._opened() as connection:
                with database.transaction(connection):
                    session = self._open_session(connection, clean(reason), clean(token))
                    self._passed("init: written")
                self._passed("init: committed")
                settling.write_record(connection, self.places, session)
                self._passed("init: recorded")
                settling.write_pointer(connection, self.places, session)
                self._passed("init: pointed")
                settling.sweep_spool(connection, self.places)
        return session

    def _open_session(self, connection: sqlite3.Connection, reason: str, token: str) -> Session:
        active = rows.active_session(connection)
        if active and token and (active.token, active.environment) == (token, self.environment):
            return active
        if active:
            raise SessionActive(
                f"Session {active.id} of {active.environment} is active: it is {active.state}.",
                environment=active.environment,
            )
        session = Session(os.urandom(16).hex(), self.environment, State.INITIALISED, _now(), token)
        rows.add_session(connection, session)
        return self._go(connection, session, State.INITIALISED, reason or "a session begins", begins=True)

    def status(self, session: str = "") -> Status:
        """The active session, else the last one of the environment; what shells have written is taken in before."""
        with self._locked(), self._opened() as connection:
            with database.transaction(connection):
                found = self._asked(connection, session or self.session)
                ended = found.state in FINAL
                taken = 0 if ended else spool.take_in(connection, self.places.spool, found.id, _now())
            if taken:
                settling.write_record(connection, self.places, found)
            return settling.status_of(connection, found)

    def results(self, session: str = "") -> dict[str, Any]:
        """The document of `results.json`, as it is now."""
        found = self.status(session).session
        with self._locked(), self._opened() as connection:
            return settling.results_of(connection, found)

    # --- layers and cases ---------------------------------------------------------------------

    def begin_layer(self, name: str, *, reason: str = "") -> LayerRecord:
        """Begin a layer; the one that is running ends. Called for the one that is running it changes nothing.

        The first layer of a side moves the session to shell_running or app_running.
        """
        if name not in LAYERS:
            raise WrongUse(f"'{name}' is no layer.", hint=f"There are {', '.join(LAYERS)}.")
        with self._changing("layer") as (connection, session):
            self._begin_layer(connection, session, name, clean(reason) or f"{name} begins")
        return self._layer(session.id, name)

    def _begin_layer(self, connection: sqlite3.Connection, session: Session, name: str, reason: str) -> None:
        if session.state == State.HANDOFF_OFFERED:
            raise WrongState(
                "The results are offered: no layer begins before they are accepted.", environment=self.environment
            )
        if session.state == State.INITIALISED:
            self._go(connection, session, State.SHELL_RUNNING, reason)
        elif session.state == State.HANDOFF_ACCEPTED:
            self._go(connection, session, State.APP_RUNNING, reason)
        running = rows.running_layer(connection, session.id)
        if running == name:
            return
        begun = [each.name for each in rows.layers(connection, session.id)]
        if begun and name <= begun[-1]:
            raise LayerOrder(f"{name} cannot begin: {begun[-1]} has begun already.", environment=self.environment)
        if running:
            rows.judge_layer(connection, session.id, running, _now())
        rows.add_layer(connection, session.id, name, _now())

    def end_layer(self, name: str = "") -> LayerRecord:
        """End the layer that is running: it passed if a case passed and none failed. One that has ended stays as it is."""
        with self._changing("layer") as (connection, session):
            wanted = name or rows.running_layer(connection, session.id)
            if wanted not in [each.name for each in rows.layers(connection, session.id)]:
                raise NoLayer(environment=self.environment)
            rows.judge_layer(connection, session.id, wanted, _now())
        return self._layer(session.id, wanted)

    def record(self, case: CaseRecord) -> int:
        """`record_many` for one case."""
        return self.record_many([case])

    def record_many(self, cases: Iterable[CaseRecord]) -> int:
        """Record results in layers that are running, all or none; how many are new.

        A case that is there already with the same result stays as it is. With another result this is one more attempt
        of it: the new result counts, and one that passes after a failure is flaky.
        """
        with self._locked(), self._opened() as connection:
            with database.transaction(connection):
                session = self._active(connection)
                spool.take_in(connection, self.places.spool, session.id, _now())
                running = rows.running_layer(connection, session.id)
                if session.state == State.HANDOFF_OFFERED:
                    raise WrongState(
                        "The results are offered: none is added before they are accepted.", environment=self.environment
                    )
                if session.state not in RUNNING or not running:
                    raise NoLayer(environment=self.environment)
                added = sum(self._record(connection, session, running, each) for each in cases)
                self._passed("case: written")
            self._passed("case: committed")
        return added

    def _record(self, connection: sqlite3.Connection, session: Session, running: str, case: CaseRecord) -> int:
        if case.layer not in ("", running):
            raise NoLayer(f"{case.layer} is not running; {running} is.", environment=self.environment)
        source, title = clean(case.source), clean(case.title)
        new = replace(
            case,
            layer=running,
            source=source,
            title=title,
            message=clean(case.message),
            at=case.at or _now(),
            key=clean(case.key) or f"case:{source}:{title}",
            flaky=case.flaky and case.status == "passed",
        )
        old = rows.case(connection, session.id, running, new.key)
        if old is None:
            return rows.add_case(connection, session.id, new)
        if (old.status, old.message, old.seconds) != (new.status, new.message, new.seconds):
            failed_before = old.status == "failed" or old.flaky
            flaky = new.status == "passed" and (new.flaky or failed_before)
            rows.replace_case(connection, session.id, replace(new, attempts=old.attempts + new.attempts, flaky=flaky))
        return 0

    # --- the passage --------------------------------------------------------------------------

    def offer(self, *, seconds: float = HANDOFF_SECONDS) -> Handoff:
        """End the running layer and seal the results in handoff.json, for `seconds`.

        Called again it writes the same document again, or a new one where that has expired or is outdated.
        """
        with self._locked(), self._opened() as connection:
            with database.transaction(connection):
                session = self._active(connection)
                if session.state not in (State.SHELL_RUNNING, State.HANDOFF_OFFERED):
                    raise WrongState(
                        f"The session is {session.state}: there is nothing to offer.", environment=self.environment
                    )
                spool.take_in(connection, self.places.spool, session.id, _now())
                session, handoff = self._offer(connection, session, seconds)
                self._passed("offer: written")
            self._passed("offer: committed")
            settling.write_record(connection, self.places, session)
            settling.write_pointer(connection, self.places, session)
            self._passed("offer: recorded")
            settling.write_handoff(connection, self.places, session)
            self._passed("offer: placed")
        return handoff

    def _offer(self, connection: sqlite3.Connection, session: Session, seconds: float) -> tuple[Session, Handoff]:
        if running := rows.running_layer(connection, session.id):
            rows.judge_layer(connection, session.id, running, _now())
        reason = "the shell's layers have ended"
        if session.state == State.HANDOFF_OFFERED:
            issued = rows.issued(connection, session.id)
            if issued:
                handoff = documents.read_handoff(issued[-1].document.encode(), self.environment)
                if not _expired(handoff) and truth.is_current(connection, session, handoff):
                    return session, handoff
            reason = "the former handoff has expired or is outdated"
        session = self._go(connection, session, State.HANDOFF_OFFERED, reason)
        return session, self._issue(connection, session, seconds)

    def _issue(self, connection: sqlite3.Connection, session: Session, seconds: float) -> Handoff:
        layers = rows.layers(connection, session.id)
        results = documents.results_digest(layers, rows.cases(connection, session.id))
        state = rows.transitions(connection, session.id)[-1].digest
        issued_at = clock.now()
        times = issued_at.isoformat(), (issued_at + timedelta(seconds=seconds)).isoformat()
        names = [each.name for each in layers if each.status != "running"]
        handoff = documents.make_handoff(session, names, (results, state), times, os.urandom(16).hex())
        text = documents.write_handoff(handoff)
        rows.issue(connection, session.id, Issued(handoff.nonce, text, handoff.expires_at))
        return handoff

    def accept(self, *, token: str = "") -> Handoff:
        """Check handoff.json against the rows, and use it up. Of two that race one succeeds.

        `token` names the attempt: called again with the same one, it gives the handoff that it accepted.
        """
        token = clean(token)
        with self._locked(), self._opened() as connection:
            with database.transaction(connection):
                session, handoff = self._accept(connection, token)
                self._passed("accept: written")
            self._passed("accept: committed")
            settling.write_record(connection, self.places, session)
            self._passed("accept: recorded")
            settling.write_handoff(connection, self.places, session)
            self._passed("accept: removed")
        return handoff

    def _accept(self, connection: sqlite3.Connection, token: str) -> tuple[Session, Handoff]:
        active = rows.active_session(connection)
        accepted = _accepted(rows.issued(connection, active.id)) if active else None
        if active and accepted and token and accepted.token == token:
            return active, documents.read_handoff(accepted.document.encode(), self.environment)
        if active and active.environment != self.environment:
            self._active(connection)  # refuses
        handoff = self._presented(connection)
        session = self._active(connection)
        if handoff is None:
            if session.state in (State.HANDOFF_ACCEPTED, State.APP_RUNNING):
                raise AlreadyAccepted(environment=self.environment)
            if session.state != State.HANDOFF_OFFERED:
                raise WrongState(f"The session is {session.state}: nothing is offered.", environment=self.environment)
            raise HandoffMissing(environment=self.environment)
        spool.take_in(connection, self.places.spool, session.id, _now())
        self._check(connection, session, handoff)
        rows.use_up(connection, handoff.nonce, _now(), token)
        reason = f"handoff {handoff.nonce[:8]} was checked"
        return self._go(connection, session, State.HANDOFF_ACCEPTED, reason), handoff

    def _presented(self, connection: sqlite3.Connection) -> Handoff | None:
        """handoff.json, whole and unused; None where there is no such file."""
        try:
            handoff = documents.read_handoff(self.places.handoff.read_bytes(), self.environment)
        except FileNotFoundError:
            return None
        if handoff.environment != self.environment:
            raise HandoffOtherEnvironment(
                f"handoff.json is of {handoff.environment}, not of {self.environment}.", environment=self.environment
            )
        issued = rows.issued(connection, rows.session_of_nonce(connection, handoff.nonce))
        newest = issued[-1] if issued else None
        if newest and (newest.accepted_at or newest.nonce != handoff.nonce):
            raise HandoffReplayed(environment=self.environment)
        return handoff

    def _check(self, connection: sqlite3.Connection, session: Session, handoff: Handoff) -> None:
        if handoff.session != session.id:
            raise HandoffOtherSession(environment=self.environment)
        if session.state != State.HANDOFF_OFFERED:
            raise WrongState(f"The session is {session.state}: nothing is offered.", environment=self.environment)
        issued = rows.issued(connection, session.id)
        if not issued or documents.read_handoff(issued[-1].document.encode(), self.environment) != handoff:
            raise HandoffEdited(environment=self.environment)
        if _expired(handoff):
            raise HandoffExpired(f"handoff.json expired at {handoff.expires_at}.", environment=self.environment)
        if not truth.is_current(connection, session, handoff):
            raise HandoffStale(environment=self.environment)

    def start_app(self) -> Session:
        """Move an accepted session to app_running, as the first layer of the application does too."""
        with self._changing("layer") as (connection, session):
            if session.state == State.HANDOFF_ACCEPTED:
                session = self._go(connection, session, State.APP_RUNNING, "the application's layers begin")
            elif session.state != State.APP_RUNNING:
                raise WrongState(
                    f"The session is {session.state}: its handoff is not accepted.", environment=self.environment
                )
        return session

    # --- the end ------------------------------------------------------------------------------

    def complete(self) -> Session:
        """End the session by what its layers say: completed where every one passed, else failed.

        A failed layer ends it from any state; well, it ends from app_running. Called again it changes nothing.
        """
        return self._end((State.COMPLETED, State.FAILED), "", "")

    def fail(self, reason: str) -> Session:
        """End the session as failed: it cannot go on. A layer that is running fails with it."""
        return self._end((State.FAILED,), clean(reason) or "it could not go on", _CUT_OFF)

    def abort(self, reason: str = "") -> Session:
        """Stop the session. A layer that is running fails with it."""
        return self._end((State.ABORTED,), clean(reason) or "stopped by hand", _CUT_OFF)

    def _end(self, ends: tuple[State, ...], reason: str, blame: str) -> Session:
        with self._locked(), self._opened() as connection:
            with database.transaction(connection):
                session = self._ending(connection, ends)
                if session.state not in FINAL:
                    session = self._close(connection, session, ends, reason, blame)
                self._passed("end: written")
            self._passed("end: committed")
            settling.write_record(connection, self.places, session)
            self._passed("end: recorded")
            settling.write_results(connection, self.places, session)
            self._passed("end: published")
            settling.write_handoff(connection, self.places, session)
            settling.write_pointer(connection, self.places, session)
            self._passed("end: cleared")
        return session

    def _ending(self, connection: sqlite3.Connection, ends: tuple[State, ...]) -> Session:
        """The session to end; or the last one, where it has ended just so already."""
        active = rows.active_session(connection)
        if active and (not self.session or active.id == self.session):
            return self._active(connection, recovering=State.ABORTED in ends)
        last = rows.latest_session(connection, self.environment)
        if not active and last and last.state in ends and self.session in ("", last.id):
            return last
        return self._active(connection)

    def _close(
        self, connection: sqlite3.Connection, session: Session, ends: tuple[State, ...], reason: str, blame: str
    ) -> Session:
        spool.take_in(connection, self.places.spool, session.id, _now())
        if running := rows.running_layer(connection, session.id):
            rows.judge_layer(connection, session.id, running, _now(), blame)
        if State.COMPLETED not in ends:
            return self._go(connection, session, ends[0], reason)
        failed = [each.name for each in rows.layers(connection, session.id) if each.status == "failed"]
        if failed:
            return self._go(connection, session, State.FAILED, f"failed: {', '.join(failed)}")
        if session.state == State.HANDOFF_ACCEPTED:
            session = self._go(connection, session, State.APP_RUNNING, "the application has no layer of its own")
        if session.state != State.APP_RUNNING:
            raise WrongState(
                f"The session is {session.state}, and nothing failed: it is to be handed over first.",
                environment=self.environment,
            )
        return self._go(connection, session, State.COMPLETED, "every layer passed")

    # --- looking and repairing ------------------------------------------------------------------

    def verify(self) -> list[Problem]:
        """What is not as it should be, in rows and files. Changes nothing. Raises a refusal where there is no reading."""
        with self._locked(), self._opened() as connection:
            return list(truth.problems(connection, self.places))

    def repair(self, *, finish: bool = False, reason: str = "") -> Repaired:
        """Put right what `verify` finds: build a broken database anew, bring the session back to where its rows say it
        is, write the files again. Where all is well nothing changes. Killed anywhere, the next repair goes on.

        With `finish` the active session ends as failed: its side died, and nobody will go on with it.
        """
        with self._locked():
            problems = mending.rebuild_if_broken(self.places, self.patience_seconds, self._passed)
            if not database.exists(self.places.database):
                return Repaired(None, tuple(problems))
            with self._opened() as connection:
                problems += truth.problems(connection, self.places)
                mending.restore_guards(connection)
                active = rows.active_session(connection)
                if active and (finish or any(each.code in _MOVES for each in problems)):
                    self._bring_back(connection, active, problems, finish=finish, reason=clean(reason))
                mending.settle(connection, self.places)
                self._passed("repair: settled")
                found = rows.active_session(connection) or rows.latest_session(connection, self.environment)
                return Repaired(settling.status_of(connection, found) if found else None, tuple(problems))

    def _bring_back(
        self, connection: sqlite3.Connection, session: Session, problems: list[Problem], *, finish: bool, reason: str
    ) -> None:
        """Through recovering, in two transactions: the first keeps every other verb away while the second decides."""
        if session.state != State.RECOVERING:
            with database.transaction(connection):
                if not rows.transitions(connection, session.id):
                    self._go(connection, session, State.INITIALISED, "its first transition was missing", begins=True)
                why = ", ".join(dict.fromkeys(each.code for each in problems)) or "its side died"
                session = self._go(connection, session, State.RECOVERING, reason or why)
        self._passed("repair: entered")
        with database.transaction(connection):
            spool.take_in(connection, self.places.spool, session.id, _now())
            if finish:
                for each in rows.layers(connection, session.id):
                    if each.status == "running":
                        rows.judge_layer(connection, session.id, each.name, _now(), _CUT_OFF)
                self._go(connection, session, State.FAILED, reason or "its side died, and it will not go on")
            else:
                session = self._go(
                    connection, session, truth.true_state(connection, session), "this is where its rows say it is"
                )
                if session.state == State.HANDOFF_OFFERED:
                    self._issue(connection, session, HANDOFF_SECONDS)
            self._passed("repair: written")
        self._passed("repair: left")

    # --- what all verbs share -------------------------------------------------------------------

    @contextmanager
    def _changing(self, verb: str) -> Iterator[tuple[sqlite3.Connection, Session]]:
        """A change of the active session, in one transaction; then its record and the pointer."""
        with self._locked(), self._opened() as connection:
            with database.transaction(connection):
                session = self._active(connection)
                spool.take_in(connection, self.places.spool, session.id, _now())
                yield connection, session
                self._passed(f"{verb}: written")
            self._passed(f"{verb}: committed")
            session = rows.session(connection, session.id) or session
            settling.write_record(connection, self.places, session)
            self._passed(f"{verb}: recorded")
            settling.write_pointer(connection, self.places, session)
            self._passed(f"{verb}: pointed")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self.places.locked(self.patience_seconds):
            yield

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        with database.opened(self.places, self.patience_seconds) as connection:
            yield connection

    def _active(self, connection: sqlite3.Connection, *, recovering: bool = False) -> Session:
        """The active session, if it is the one that is meant, and no repair is under way."""
        active = rows.active_session(connection)
        if active is None:
            raise NoSession("No session is active.", environment=self.environment)
        if active.environment != self.environment:
            raise OtherEnvironment(
                f"The active session is of {active.environment}, not of {self.environment}.",
                environment=active.environment,
            )
        if self.session not in ("", active.id):
            raise SessionActive(f"Session {active.id} is active, not {self.session}.", environment=active.environment)
        if active.state == State.RECOVERING and not recovering:
            raise NeedsRepair(environment=self.environment)
        return active

    def _asked(self, connection: sqlite3.Connection, session: str) -> Session:
        """The session that was named; else the active one of this environment, else its last."""
        if session:
            found = rows.session(connection, session)
        else:
            active = rows.active_session(connection)
            mine = active and active.environment == self.environment
            found = active if mine else rows.latest_session(connection, self.environment)
        if found is None:
            name = f"session {session}" if session else f"session of {self.environment}"
            raise NoSession(f"There is no {name}.", environment=self.environment)
        return found

    def _layer(self, session: str, name: str) -> LayerRecord:
        with self._opened() as connection:
            return next(each for each in rows.layers(connection, session) if each.name == name)

    def _go(
        self, connection: sqlite3.Connection, session: Session, target: State, reason: str, *, begins: bool = False
    ) -> Session:
        """Take the arrow to `target`. Asserts that there is one: the verbs above ask before."""
        source = None if begins else session.state
        taken = arrow(source, target)
        assert taken, f"no arrow leads from {source} to {target}"
        new = Transition(0, source, target, f"{taken.side}:{self.actor}", _now(), reason, "")
        rows.add_transition(connection, session.id, new)
        return replace(session, state=target)

    def _passed(self, name: str) -> None:
        self.observe(step(name))


def clean(text: str) -> str:
    """Text that every part can store: what is no character becomes a question mark."""
    return text.encode("utf-8", "replace").decode()


def _accepted(issued: list[Issued]) -> Issued | None:
    return next((each for each in issued if each.accepted_at), None)


def _expired(handoff: Handoff) -> bool:
    return clock.now() >= datetime.fromisoformat(handoff.expires_at)


def _now() -> str:
    return clock.now().isoformat(timespec="microseconds")
