"""One test run, from its claim to its end: layer by layer, in order, each case recorded when it has ended.

Killed at any line, the row says `running` with a lease that runs out; the worker that takes it up skips the layers that
have ended and, in the one that was running, the cases whose results are there. Rows come first, the bridge after them:
what a dead worker had not told the bridge is told it again, and told twice it counts once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from django.conf import settings

from apps.bridge.errors import BridgeRefusal
from apps.bridge.records import CaseRecord
from apps.common import clock
from apps.jobs import leases
from apps.jobs.leases import Lease
from apps.jobs.states import State
from apps.testruns import catalogue, passage, queries, record
from apps.testruns.cases.model import Case, Place, Result, layer_name
from apps.testruns.cases.runner import run_layer
from apps.testruns.models import CaseResult, LayerResult, Status, TestRun

Ended = tuple[Case, Sequence[Result]]


def execute(pk: int, *, worker: str = "") -> TestRun | None:
    """Do the test run `pk` if it is to be had. Returns its row as it is after this attempt, None where there was nothing
    to do."""
    lease = leases.claim(TestRun, pk, worker=worker)
    if lease is None:
        return None
    run = TestRun.objects.select_related("environment").get(pk=pk)
    with lease:
        _Attempt(lease, run).perform()
    run.refresh_from_db()
    return run


class _Attempt:
    def __init__(self, lease: Lease, run: TestRun) -> None:
        self.lease, self.run = lease, run
        self.slug = run.environment.slug
        self.place = Place(self.slug, settings.DATA)
        self.layers = list(run.layer_results.all())
        self.quarantined = queries.quarantined_keys(run.environment)

    def perform(self) -> None:
        try:
            self._open_session()
            for layer in self.layers:
                if self.lease.should_stop():
                    break
                self._pass_through(layer)
            self._end()
        except BridgeRefusal as refusal:
            self.lease.finish(State.FAILED, f"{refusal.message} {refusal.cure}")

    # --- the session

    def _open_session(self) -> None:
        session = self.run.session or passage.begin(settings.DATA, self.run)
        if not self.run.session and self.lease.write(session=session):
            self.run.session = session
        self.bridge = passage.bridge_of(settings.DATA, self.run)
        passage.make_up(self.run)
        self._inherit()

    def _inherit(self) -> None:
        """Take over the results of layers that a shell framework has run before it offered the session."""
        status = self.bridge.status()
        done = {each.name for each in status.layers if each.status != "running"}
        waiting = [row for row in self.layers if row.status == Status.QUEUED and row.layer in done]
        if not waiting or passage.is_ours(status.session.token):
            return
        passage.hand_over(self.bridge, self.run)
        for layer in waiting:
            found = [each for each in passage.inherited(self.bridge) if each.layer == layer.layer]
            results = [_inherited(each) for each in found]
            with self.lease.guarded():
                layer.planned, layer.started_at = len(results), clock.now()
                record.add(self.run, layer, [(_told_by_shell(each), [each]) for each in results], self.quarantined)
                record.judge(layer)
            self._tell_layer(layer)

    # --- layers

    def _pass_through(self, layer: LayerResult) -> None:
        if layer.status in (Status.PASSED, Status.FAILED, Status.SKIPPED):
            return
        below = next(
            (each for each in self.layers if each.status == Status.FAILED and each.position < layer.position), None
        )
        if below is not None and not self.run.keep_going:
            self._skip(layer, below)
            return
        self._run(layer)

    def _skip(self, layer: LayerResult, below: LayerResult) -> None:
        with self.lease.guarded():
            layer.status, layer.message = Status.SKIPPED, f"Not run, because {below.layer} failed."
            layer.save()
        self._tell_layer(layer)

    def _run(self, layer: LayerResult) -> None:
        found = catalogue.cases(layer.layer, self.slug)
        known = self._enter(layer, len(found))
        waiting = [case for case in found if case.source[: record.LONGEST["source"]] not in known]
        if self._run_cases(layer, waiting):
            return
        if not found:
            self._note(layer, [_nothing(layer.layer)])
        with self.lease.guarded():
            record.judge(layer)
        self.bridge.end_layer(layer.layer)
        self._tell_layer(layer)

    def _enter(self, layer: LayerResult, planned: int) -> set[str]:
        """Begin the layer, or go on with it: the sources whose results are there, told to the bridge again."""
        passage.enter_layer(self.bridge, self.run, layer.layer)
        with self.lease.guarded():
            layer.status, layer.planned = Status.RUNNING, planned
            layer.started_at = layer.started_at or clock.now()
            record.count(layer)
        self._tell_layer(layer)
        known = list(self.run.case_results.filter(layer=layer.layer).defer("output"))
        passage.tell(self.bridge, known)
        return {row.source for row in known}

    def _run_cases(self, layer: LayerResult, waiting: Sequence[Case]) -> bool:
        """Run them and write their results as they end. Returns whether the run is to stop."""
        ended: list[Ended] = []

        def note() -> bool:
            """Asked a few times a second, in this thread."""
            if ended:
                self._note(layer, ended)
                ended.clear()
            return self.lease.should_stop()

        if waiting:
            run_layer(
                layer.layer,
                waiting,
                self.place,
                parallel=settings.TEST_WORKERS,
                on_done=lambda case, results: ended.append((case, list(results))),
                should_stop=note,
            )
        return note()

    def _note(self, layer: LayerResult, batch: Sequence[Ended]) -> None:
        with self.lease.guarded():
            rows = record.add(self.run, layer, batch, self.quarantined)
        passage.tell(self.bridge, rows)
        self.lease.events.add("cases", {"layer": layer.layer, "number": len(rows)})
        self.lease.events.progress(self._progress())

    def _progress(self) -> float:
        """Layers count alike: nobody knows how long the next will take."""
        shares = [
            1.0 if each.finished_at or each.status == Status.SKIPPED else each.ended / max(1, each.planned)
            for each in self.layers
        ]
        return sum(shares) / max(1, len(shares))

    def _tell_layer(self, layer: LayerResult) -> None:
        self.lease.events.add("layer", {"layer": layer.layer, "status": layer.status})
        self.lease.events.progress(self._progress())

    # --- the end

    def _end(self) -> None:
        if self.lease.lost:
            return
        if self.lease.cancel_requested():
            by = TestRun.objects.values_list("cancel_requested_by", flat=True).get(pk=self.run.pk)
            passage.stop(settings.DATA, self.run, f"cancelled by {by}", wanted=True)
            self.lease.finish(State.CANCELLED, f"Cancelled by {by}.", on_final=self._audited())
            return
        passage.complete(self.bridge, self.run)
        failed = [each for each in self.layers if each.status == Status.FAILED]
        state = State.FAILED if failed else State.SUCCEEDED
        self.lease.finish(state, sentence(self.layers, self.slug), on_final=self._audited())

    def _audited(self) -> Callable[[TestRun], None]:
        """What the bridge did goes into the audit with the run's end: no transaction spans two databases, so it is read
        before, and each transition is known by its session and number."""
        passed = passage.transitions(settings.DATA, self.run)

        return lambda run: passage.audit_transitions(run, passed)


def sentence(layers: Sequence[LayerResult], slug: str) -> str:
    """How it went, in a sentence or two."""
    failed = [each for each in layers if each.status == Status.FAILED]
    skipped = [each.layer for each in layers if each.status == Status.SKIPPED]
    if not failed:
        passed, untried = sum(each.passed for each in layers), sum(each.skipped for each in layers)
        return f"Every layer passed: {passed} case{'' if passed == 1 else 's'}, {untried} skipped."
    parts = [f"{each.layer} {layer_name(each.layer, slug)} failed: {_why(each)}" for each in failed]
    return " ".join([*parts, f"{', '.join(skipped)} not run." if skipped else ""]).strip()


def _why(layer: LayerResult) -> str:
    counting = layer.failed - layer.quarantined
    if not counting:
        return layer.message
    total = layer.passed + layer.failed + layer.skipped
    name = CaseResult.objects.filter(
        test_run=layer.test_run_id, layer=layer.layer, status=Status.FAILED, is_quarantined=False
    )
    first = name.order_by("position").values_list("title", flat=True).first()
    return f"{counting} of {total} cases, the first: {first}."


def _inherited(told: CaseRecord) -> Result:
    """A result that a shell framework has told the bridge."""
    return Result(
        told.layer,
        told.source or "shell",
        told.title,
        told.status,
        told.seconds,
        told.attempts,
        told.flaky,
        told.message,
    )


def _told_by_shell(result: Result) -> Case:
    """A case that is not ours to run: it has ended."""
    return Case(result.layer, result.source, result.title, "broken")


def _nothing(layer: str) -> Ended:
    """The result of a layer without a case: that is an error, never a silent pass."""
    (result,) = run_layer(layer, [], Place("", settings.DATA)).results
    return _told_by_shell(result), [result]
