"""Random verbs, hands and spoilt files, against a model beside them: the states and the results are as the model says."""

import shutil
import sqlite3
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from apps.bridge.errors import BridgeRefusal
from apps.bridge.protocol import Bridge
from apps.bridge.records import CaseRecord
from apps.bridge.states import FINAL, LAYERS, State, arrow
from tests.bridge.driving import everything, raw, results, transition

TITLES = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
STATUSES = st.sampled_from(["passed", "failed", "skipped"])
MOSTLY_WELL = st.sampled_from(["passed", "passed", "passed", "passed", "failed", "skipped"])
RARELY = st.integers(0, 4).map(lambda number: number == 4)
SHELL_WORDS = {"passed": "pass", "failed": "fail", "skipped": "skip"}


@dataclass
class Model:
    """What should be so."""

    state: State | None = None
    layers: dict[str, str] = field(default_factory=dict)
    cases: dict[tuple[str, str], str] = field(default_factory=dict)  # (layer, title) → status, of the verb
    lines: list[tuple[str, str, str]] = field(default_factory=list)  # (layer, title, status), of shells
    waiting: list[tuple[str, str, str]] = field(default_factory=list)  # lines that no verb has read yet
    document: str = "none"  # handoff.json: none, true, spoilt
    expired: bool = False

    @property
    def running(self) -> str:
        return next((name for name, status in self.layers.items() if status == "running"), "")

    def take_in(self) -> bool:
        """What verbs do first; whether something came that the handoff does not know."""
        came, self.waiting = self.waiting, []
        self.lines += came
        for layer, _title, status in came:
            if status == "failed" and self.layers[layer] == "passed":
                self.layers[layer] = "failed"
        return bool(came)

    def judge(self, blame: bool = False) -> None:
        if name := self.running:
            statuses = [status for (layer, _), status in self.cases.items() if layer == name]
            statuses += [status for layer, _, status in self.lines if layer == name]
            good = "passed" in statuses and "failed" not in statuses and not blame
            self.layers[name] = "passed" if good else "failed"

    def end(self, state: State) -> None:
        self.state, self.document, self.expired = state, "none", False


@settings(max_examples=40, stateful_step_count=30, suppress_health_check=list(HealthCheck))
class Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.data = Path(tempfile.mkdtemp(prefix="bridge-"))
        self.bridge = Bridge(self.data, "dev")
        self.model = Model()
        self.stale = False  # results came since the handoff was issued
        self.places: dict[str, int] = {}

    def teardown(self) -> None:
        shutil.rmtree(self.data)

    @property
    def active(self) -> bool:
        return self.model.state is not None and self.model.state not in FINAL

    @contextmanager
    def refused(self, really: bool):
        """The body is refused just if the model says so; and a refusal changes nothing."""
        before = everything(self.data)
        try:
            yield
        except BridgeRefusal as error:
            assert really, f"refused: {error.code}"  # noqa: PT017
            assert everything(self.data) == before
        else:
            assert not really, "this should have been refused"

    @initialize()
    def begin(self):
        self.init()

    # --- forward ------------------------------------------------------------------------------

    @rule(steps=st.integers(1, 6), title=TITLES, status=MOSTLY_WELL)
    def go_forward(self, steps, title, status):
        """The verbs of a session in which all goes well: chance alone seldom comes far."""
        for _ in range(steps):
            self.one_forward(title, status)
            self.it_is_as_the_model_says()

    def one_forward(self, title, status):
        model = self.model
        if not self.active:
            self.init()
        elif model.state == State.INITIALISED:
            self.layer("L0")
        elif model.state == State.RECOVERING:
            self.repair(False)
        elif model.state in (State.SHELL_RUNNING, State.APP_RUNNING) and not self.recorded_in(model.running):
            self.case(title, status)
        elif model.state in (State.SHELL_RUNNING, State.HANDOFF_OFFERED):
            first = model.state == State.SHELL_RUNNING or model.document != "true" or model.expired or self.stale
            self.offer(False) if first else self.accept()
        elif model.state == State.HANDOFF_ACCEPTED and max(model.layers) < "L5":
            self.layer("L5")
        else:
            self.complete()

    def recorded_in(self, layer):
        return not layer or any(place == layer for place, _ in self.model.cases)

    # --- verbs --------------------------------------------------------------------------------

    @rule()
    def init(self):
        with self.refused(self.active):
            self.bridge.init()
        if not self.active:
            self.model, self.stale = Model(State.INITIALISED), False

    @rule(name=st.sampled_from(LAYERS))
    def layer(self, name):
        state, layers = self.model.state, self.model.layers
        allowed = self.active and state not in (State.HANDOFF_OFFERED, State.RECOVERING)
        allowed = allowed and (name == self.model.running or not layers or name > max(layers))
        with self.refused(not allowed):
            self.bridge.begin_layer(name)
        if allowed:
            self.model.take_in()
            if name != self.model.running:
                self.model.judge()
                layers[name] = "running"
            moves = {State.INITIALISED: State.SHELL_RUNNING, State.HANDOFF_ACCEPTED: State.APP_RUNNING}
            self.model.state = moves.get(state, state)

    @rule(title=TITLES, status=STATUSES)
    def case(self, title, status):
        allowed = self.model.state in (State.SHELL_RUNNING, State.APP_RUNNING) and self.model.running
        with self.refused(not allowed):
            self.bridge.record(CaseRecord(title, status))
        if allowed:
            self.model.take_in()
            self.model.cases[self.model.running, title] = status

    @rule(title=TITLES.filter(bool), status=STATUSES, data=st.data())
    def shell_writes(self, title, status, data):
        if not self.active or not self.model.layers or self.model.state == State.RECOVERING:
            return
        layer = data.draw(st.sampled_from(sorted(self.model.layers)))
        session = self.bridge.status().session.id
        self.stale |= self.model.take_in()
        escaped = title.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")
        with (self.data / f"bridge/spool/{session}.1.0").open("a", newline="") as file:
            file.write(f"\n1\t{session}\t{layer}\t{SHELL_WORDS[status]}\t0\ts\t{escaped}\t\t.\n")
        self.model.waiting.append((layer, title, status))

    @rule(late=st.booleans())
    def offer(self, late):
        allowed = self.model.state in (State.SHELL_RUNNING, State.HANDOFF_OFFERED)
        with self.refused(not allowed):
            self.bridge.offer(seconds=0 if late else 3600)
        if allowed:
            came = self.model.take_in() or self.stale
            issued = self.model.state == State.SHELL_RUNNING or self.model.expired or came
            self.model.judge()
            self.model.state, self.model.document, self.stale = State.HANDOFF_OFFERED, "true", False
            self.model.expired = late if issued else self.model.expired

    @rule()
    def accept(self):
        model = self.model
        allowed = model.state == State.HANDOFF_OFFERED and model.document == "true" and not model.expired
        allowed = allowed and not model.waiting and not self.stale
        with self.refused(not allowed):
            self.bridge.accept()
        if allowed:
            self.model.state, self.model.document = State.HANDOFF_ACCEPTED, "none"

    @rule()
    def start(self):
        allowed = self.model.state in (State.HANDOFF_ACCEPTED, State.APP_RUNNING)
        with self.refused(not allowed):
            self.bridge.start_app()
        if allowed:
            self.model.take_in()
            self.model.state = State.APP_RUNNING

    @rule()
    def complete(self):
        model = self.model
        before = (dict(model.layers), list(model.lines), list(model.waiting))
        if self.active and model.state != State.RECOVERING:
            model.take_in()
            model.judge()
        failed = "failed" in model.layers.values()
        well = model.state in (State.HANDOFF_ACCEPTED, State.APP_RUNNING)
        again = model.state in (State.COMPLETED, State.FAILED)
        allowed = again or (self.active and model.state != State.RECOVERING and (failed or well))
        with self.refused(not allowed):
            self.bridge.complete()
        if not allowed:
            model.layers, model.lines, model.waiting = before
        elif not again:
            self.model.end(State.FAILED if failed else State.COMPLETED)

    @rule(verb=st.sampled_from([State.FAILED, State.ABORTED]), sure=RARELY)
    def stop(self, verb, sure):
        if not sure:
            return
        again = self.model.state == verb
        allowed = again or (self.active and (self.model.state != State.RECOVERING or verb == State.ABORTED))
        with self.refused(not allowed):
            self.bridge.abort() if verb == State.ABORTED else self.bridge.fail("for a test")
        if allowed and not again:
            self.model.take_in()
            self.model.judge(blame=True)
            self.model.end(verb)

    @rule(finish=RARELY)
    @precondition(lambda self: self.model.state is not None)
    def repair(self, finish):
        was_active = self.active
        self.bridge.repair(finish=finish)
        assert self.bridge.verify() == [] or self.model.waiting
        self.model.state = self.bridge.status().session.state
        self.stale |= self.model.take_in() if was_active else False
        if self.model.state == State.HANDOFF_OFFERED:
            # A new one is issued where it had run out or was outdated; else it is as it was.
            self.stale = self.model.expired = False
            self.model.document = "true"
            self.bridge.repair()
        elif self.model.state in FINAL and was_active:
            self.model.judge(blame=True)
            self.model.end(self.model.state)
        else:
            self.model.document = "none"

    # --- hands --------------------------------------------------------------------------------

    @rule(cut=st.integers(0, 300))
    @precondition(lambda self: self.model.document == "true")
    def spoil_the_handoff(self, cut):
        path = self.data / "handoff.json"
        path.write_bytes(path.read_bytes()[:cut])
        self.model.document = "spoilt"

    @rule()
    @precondition(lambda self: self.model.document == "true")
    def lose_the_handoff(self):
        (self.data / "handoff.json").unlink()
        self.model.document = "gone"

    @rule(aim=st.sampled_from(sorted(set(State) - {State.RECOVERING})))
    @precondition(lambda self: self.active and self.model.state != State.RECOVERING)
    def a_hand_takes_no_arrow_that_is_not_there(self, aim):
        source = self.model.state
        if arrow(source, aim) is None:
            try:
                raw(self.data, transition(aim))
            except sqlite3.IntegrityError:
                return
            raise AssertionError(f"{source} → {aim} was taken by hand")

    @rule(really=RARELY)
    @precondition(lambda self: self.active and self.model.state != State.RECOVERING)
    def a_repair_is_killed(self, really):
        if not really:
            return
        raw(self.data, transition(State.RECOVERING))
        self.model.state = State.RECOVERING

    # --- what always holds ----------------------------------------------------------------------

    @invariant()
    def it_is_as_the_model_says(self):
        if self.model.state is None:
            return
        status = self.bridge.status()
        if self.active:
            self.stale |= self.model.take_in()
        assert status.session.state == self.model.state
        assert {each.name: each.status for each in status.layers} == self.model.layers
        found = sorted((each["layer"], each["title"], each["status"]) for each in self.bridge.results()["cases"])
        verb = [(layer, title, status) for (layer, title), status in self.model.cases.items()]
        assert found == sorted([*verb, *self.model.lines])
        assert [each.seq for each in status.transitions] == list(range(1, len(status.transitions) + 1))

    @invariant()
    def an_end_has_its_results(self):
        if self.model.state in FINAL:
            assert results(self.data)["state"] == self.model.state


TestMachine = Machine.TestCase
