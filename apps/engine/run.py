# ruff: noqa: S608 (names and paths are quoted where they enter the SQL)
"""One run of a flow, in this process: text → plan → stages → checks → publication.

    parse, check      the text, with the columns of its sources
    bind              parameters and their limits
    compile           one SQL statement a stage
    stages            each written to the attempt's staging folder, in order
    checks            as soon as their steps are there; a failed one ends the run
    publish           all outputs, or none (manifest.py)

Killed anywhere before the publication, the old outputs stand and only staging is left, which the next attempt of
the run removes. Killed in it, `manifest.recover` finishes it.
"""

import shutil
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from apps.engine import lookups, manifest, misfits, preview, sandbox, sinks, sources
from apps.engine.compile import compile_plan
from apps.engine.duck import DuckDBPyConnection, Error, OutOfRangeException
from apps.engine.errors import CheckFailed, EngineError, TimedOut
from apps.engine.explain import Place, explain
from apps.engine.limits import MIB, Limits
from apps.engine.params import bind
from apps.engine.planning import Planner, plan_of
from apps.engine.profile import Profile
from apps.engine.profile import read as read_profile
from apps.engine.record import Emit, Record, sink_names
from apps.engine.schemas import schema_reader
from apps.engine.sinks import StagedSink
from apps.engine.spec import RunOutcome, RunSpec
from apps.engine.stages import CompiledCheck, CompiledFlow, Stage
from apps.engine.watch import Interrupted, Watch
from apps.language.plan import Plan

Cancelled = Callable[[], bool]


def execute(
    spec: RunSpec,
    emit: Emit,
    cancelled: Cancelled = lambda: False,
    *,
    planner: Planner | None = None,
    observe: manifest.Observer = lambda _point: None,
) -> RunOutcome:
    """Run a flow and publish its outputs. Never raises for what is wrong with the flow, its data or the disk: that
    is the outcome. `emit` gets the events of the contract, the last of them `done`; it is called from two threads,
    one at a time. `cancelled` is asked ten times a second. A run whose key was published before gives that outcome.
    `planner` makes the plan where that is not done here from the text.
    """
    record = Record(emit)
    execution = _Execution(
        spec, record, cancelled, planner or partial(plan_of, spec.text, spec.path), observe, spec.limits
    )
    outcome = _outcome_of(execution, spec, record)
    record.send({"kind": "done", "outcome": outcome.to_json()})
    return outcome


def _outcome_of(execution: "_Execution", spec: RunSpec, record: Record) -> RunOutcome:
    try:
        published = manifest.recover(spec.workspace, spec.run_key)
        if published is not None:
            record.log("An earlier attempt of this run had published its outputs; nothing was done twice.")
            return published
        return execution.run()
    except Interrupted as stop:
        return _stopped(stop, execution, record)
    except Exception as error:  # noqa: BLE001  the border: whatever happened becomes the run's outcome
        if execution.watch is not None and execution.watch.reason is not None:
            return _stopped(Interrupted(execution.watch.reason), execution, record)
        place = Place(spec.workspace, execution.limits, execution.plan, execution.computing)
        explained = execution.blame(explain(error, place))
        if type(explained) is EngineError:
            traceback.print_exc()  # to the worker's log: whoever mends it needs the place
        record.log(explained.message, level="error")
        record.stop("failed")
        return record.outcome("failed", explained)


def _stopped(stop: Interrupted, execution: "_Execution", record: Record) -> RunOutcome:
    if stop.reason == "cancelled":
        record.log("The run was cancelled; no output was replaced.", level="warning")
        record.stop("cancelled")
        return record.outcome("cancelled")
    late = TimedOut(
        f"The flow took longer than its timeout of {execution.timeout_seconds:g} seconds and was stopped.",
        hint="Raise the flow's timeout, or see which step takes the time; no output was replaced.",
    )
    record.log(late.message, level="error")
    record.stop("failed")
    return record.outcome("failed", late)


@dataclass
class _Execution:
    """The state of one run on its way. Everything that is known early is kept for the error message."""

    spec: RunSpec
    record: Record
    cancelled: Cancelled
    planner: Planner
    observe: manifest.Observer
    limits: Limits
    plan: Plan | None = None
    watch: Watch | None = None
    timeout_seconds: float | None = None
    computing: tuple[str, ...] = ()  # the steps of the stage that is running
    found_out: EngineError | None = None  # what an error of DuckDB really was
    previewed: set[str] = field(default_factory=set)
    ran: set[str] = field(default_factory=set)  # stages
    checked: set[int] = field(default_factory=set)

    def run(self) -> RunOutcome:
        workspace = self.spec.workspace
        with manifest.Attempt(workspace, self.spec.run_key, self.spec.attempt) as attempt:
            scratch = attempt.place("temporary")
            with sandbox.connect(workspace, self.limits, scratch=scratch) as connection:
                plan = self._planned(connection)
                staged = sinks.stage(workspace, attempt.place("outputs"), plan.sinks, self.spec.run_key)
                with self._suited(connection, plan, scratch) as suited:
                    self._compute(suited, attempt.place("checkpoints"), staged)
            outputs = [output for sink in staged for output in sink.outputs()]
            self._note_outputs(staged)
            published = attempt.publish(outputs, self.record.outcome("succeeded"), observe=self.observe)
        self.record.publish()
        for output in published.outputs:
            self.record.send({"kind": "output", **output})
            self.record.log(f"Published {output['path']}: {_counted(output['rows'])}, {_size(output['bytes'])}.")
        return published

    # --- before anything is computed

    def _planned(self, connection: DuckDBPyConnection) -> Plan:
        planned = self.planner(schema_reader(self.spec.workspace, connection))
        self.plan = plan = planned.plan
        for warning in planned.warnings:
            self.record.log(warning, level="warning")
        limit = plan.settings.timeout.total_seconds() if plan.settings.timeout else None
        self.timeout_seconds = self.spec.timeout_seconds if self.spec.timeout_seconds is not None else limit
        self.record.plan(plan)
        return plan

    def _suited(self, connection: DuckDBPyConnection, plan: Plan, scratch: Path) -> DuckDBPyConnection:
        """The connection, or another with less memory if the flow itself says that it needs less."""
        given, wanted = self.limits, plan.settings.memory_bytes
        if wanted is not None and wanted < given.memory_bytes:
            self.limits = replace(given, memory_bytes=wanted)
            return sandbox.connect(self.spec.workspace, self.limits, scratch=scratch)
        if wanted is not None and wanted > given.memory_bytes:
            asked, allowed = wanted // MIB, given.memory_bytes // MIB
            self.record.log(f"The flow asks for {asked} MB of memory; it may use {allowed} MB here.", level="warning")
        return connection

    def _compile(self, plan: Plan, connection: DuckDBPyConnection) -> CompiledFlow:
        params = bind(plan, self.spec.params, logical_time=self.spec.logical_time, connection=connection)
        scans = {source.name: sources.scan_sql(self.spec.workspace, source) for source in plan.sources}
        return compile_plan(plan, params=params, logical_time=self.spec.logical_time, scans=scans)

    # --- computing

    def _compute(self, connection: DuckDBPyConnection, folder: Path, staged: list[StagedSink]) -> None:
        assert self.plan is not None
        flow = self._compile(self.plan, connection)
        deadline = None if self.timeout_seconds is None else self.record.started + self.timeout_seconds
        total = max(1, len(flow.stages))

        def progress(share: float) -> None:
            self.record.progress((len(self.ran) + share) / total)

        with Watch(connection, cancelled=self.cancelled, deadline=deadline, progress=progress) as self.watch:
            by_sink = {f"sink:{name}": sink for name, sink in zip(sink_names(self.plan.sinks), staged, strict=True)}
            for number, stage in enumerate(flow.stages):
                self.watch.check()
                self._run_stage(connection, stage, by_sink.get(stage.name), folder / f"{number}.parquet")
                self.ran.add(stage.name)
                self.record.progress(len(self.ran) / total)
                self._run_checks(connection, flow)
            self.watch.check()

    def _run_stage(
        self, connection: DuckDBPyConnection, stage: Stage, sink: StagedSink | None, checkpoint: Path
    ) -> None:
        assert self.plan is not None
        self.computing = stage.steps or (stage.step,)
        of_stage = [name for name in stage.reads if ("source", name) in self.record.parts]
        for name in of_stage:
            self.record.begin("source", name)
        for name in stage.steps:
            self.record.begin("step", name)
        sink_name = stage.name.removeprefix("sink:") if stage.sink else ""
        if sink_name:
            self.record.begin("sink", sink_name)
        written = sink.staged if sink else checkpoint
        started = time.monotonic()
        try:
            rows = self._copy(connection, stage, sink, written)
        except Error as error:
            self.found_out = self._find_out(error, stage, connection)
            raise
        seconds = time.monotonic() - started
        profile = read_profile(connection.get_profiling_information("json"))
        if stage.table and stage.fits_parquet:
            relation = f"read_parquet({sources.quote(str(written))}, hive_partitioning = false)"
            connection.execute(f"CREATE TEMP VIEW {sources.identifier(stage.table)} AS FROM {relation}").fetchall()
        self._note_stage(stage, profile, rows, seconds)
        for name in of_stage:
            self.record.finish("source", name, rows=self._rows_read(connection, name, profile), seconds=None)
        if sink_name:
            self.record.stage(sink_name, rows=rows, seconds=seconds if not stage.steps else None)
        self._preview(connection, stage, sink, written)
        self.computing = ()

    def _find_out(self, error: Error, stage: Stage, connection: DuckDBPyConnection) -> EngineError | None:
        assert self.plan is not None
        tables = [source for source in self.plan.sources if source.name in stage.reads]
        return lookups.explain(error, stage, connection) or misfits.explain(
            error, self.spec.workspace, tables, connection
        )

    def _copy(self, connection: DuckDBPyConnection, stage: Stage, sink: StagedSink | None, written: Path) -> int:
        def copy(sql: str) -> int:
            if sink is not None:
                statement = sink.copy_sql(sql)
            elif stage.fits_parquet:
                statement = f"COPY ({sql}) TO {sources.quote(str(written))} (FORMAT parquet)"
            else:
                statement = f"CREATE TEMP TABLE {sources.identifier(stage.table)} AS {sql}"
            return int(connection.execute(statement).fetchall()[0][0])

        try:
            return copy(stage.sql)
        except OutOfRangeException:
            if not stage.careful_sql:
                raise
        if written.is_dir():  # some files of a partitioned sink may be there
            shutil.rmtree(written)
            written.mkdir()
        return copy(stage.careful_sql)

    def _note_stage(self, stage: Stage, profile: Profile, rows: int, seconds: float) -> None:
        """Share the stage's time among its steps by the time of their operators: good to some percent."""
        materialized = {name: part.rows for name, part in profile.steps.items()}
        spent = self._spent(stage, profile)
        total = sum(spent.values()) or 1.0
        for step in stage.steps:
            count = stage.count(step, given=rows, materialized=materialized, entering=profile.entering)
            share = seconds * spent[step] / total
            self.record.finish("step", step, rows=count, seconds=share)
            shown = _counted(count) if count is not None else "rows not counted (a later step stopped it early)"
            self.record.log(f"{step}: {shown} in {share:.2f} s.", step=step)

    def _spent(self, stage: Stage, profile: Profile) -> dict[str, float]:
        """Processor seconds of each step. Those that are not counted by a CTE of their own share the time of the step
        into which they were fused."""
        together: dict[str, list[str]] = {}
        for step in stage.steps:
            home = step
            while home in stage.counts and stage.counts[home].of:
                home = stage.counts[home].of
            together.setdefault(home, []).append(step)
        spent = {}
        for home, steps in together.items():
            part = profile.steps.get(stage.cte_names.get(home, ""), profile.rest if home == stage.steps[-1] else None)
            spent.update(dict.fromkeys(steps, part.cpu_seconds / len(steps) if part else 0.0))
        return spent

    def _rows_read(self, connection: DuckDBPyConnection, name: str, profile: Profile) -> int | None:
        assert self.plan is not None
        source = next(each for each in self.plan.sources if each.name == name)
        files = sources.find(self.spec.workspace, source.kind, source.path)
        size = sum(file.stat().st_size for file in files)
        self.record.log(
            f"{name}: read {source.path} ({len(files)} file{'s'[: len(files) > 1]}, {_size(size)}).", step=name
        )
        if source.kind == "parquet":  # filters are pushed into the reader, so it does not see all rows
            listed = "[" + ", ".join(sources.file_name(file) for file in files) + "]"
            found = connection.execute(f"SELECT sum(num_rows) FROM parquet_file_metadata({listed})").fetchall()
            return int(found[0][0] or 0)
        firsts = tuple(str(file) for file in files)
        counts = [rows for shown, rows in profile.scanned.items() if shown.startswith(firsts)]
        return None if not counts or None in counts else sum(count for count in counts if count is not None)

    def _preview(self, connection: DuckDBPyConnection, stage: Stage, sink: StagedSink | None, written: Path) -> None:
        if not self.spec.previews or stage.step in self.previewed:
            return
        if stage.table:
            relation = sources.identifier(stage.table)
        elif sink is not None and sink.files():
            relation = preview.reader(sink.files()[0], sources.csv_dialect(dict(sink.sink.options)))
        else:
            return
        self.previewed.add(stage.step)
        preview.keep(self.spec.workspace, self.spec.run_key, stage.step, preview.rows_of(connection, relation))

    # --- checks

    def _run_checks(self, connection: DuckDBPyConnection, flow: CompiledFlow) -> None:
        """Those whose rows are there now. All of them are looked at before a failed one ends the run."""
        failed = None
        for number, each in enumerate(flow.checks):
            if number not in self.checked and self.ran.issuperset(each.after):
                self.checked.add(number)
                failed = self._run_check(connection, each) or failed
        if failed is not None:
            raise failed

    def _run_check(self, connection: DuckDBPyConnection, compiled: CompiledCheck) -> CheckFailed | None:
        check = compiled.check
        self.computing = (check.step,)
        failed_rows, total = connection.execute(compiled.sql).fetchall()[0]
        self.computing = ()
        tolerated = check.max_fraction is not None and failed_rows <= check.max_fraction * total
        fails = failed_rows > 0 and not tolerated and (check.severity == "fail" or check.max_fraction is not None)
        ok = failed_rows == 0 or (check.severity == "fail" and tolerated)
        self.record.check(check.step, check.label, "fail" if fails else check.severity, ok=ok, failed_rows=failed_rows)
        if failed_rows == 0:
            return None
        found = f"expectation on '{check.step}' does not hold: {check.label}"
        found += "" if check.kind == "table" else f" ({failed_rows:,} of {total:,} rows fail it)"
        if not fails:
            self.record.log(found[0].upper() + found[1:] + ".", level="warning", step=check.step)
            return None
        return CheckFailed(
            f"An {found}.",
            hint="No output was replaced. Look at the rows of the step, and correct the data, the flow or the expectation.",
            line=check.span.line,
            column=check.span.column,
        )

    # --- the end

    def _note_outputs(self, staged: list[StagedSink]) -> None:
        assert self.plan is not None
        for name, sink in zip(sink_names(self.plan.sinks), staged, strict=True):
            rows = self.record.parts["sink", name].rows or 0
            self.record.output(name, sink.shown_path, rows, sum(file.stat().st_size for file in sink.files()))

    def blame(self, error: EngineError) -> EngineError:
        """The error with what was found out beside it."""
        return self.found_out or error


def _counted(rows: Any) -> str:
    return "1 row" if rows == 1 else f"{rows:,} rows"


def _size(number: float) -> str:
    for unit in ("bytes", "KB", "MB", "GB"):
        if number < 1000 or unit == "GB":
            return f"{number:,.0f} {unit}" if unit == "bytes" else f"{number:,.1f} {unit}"
        number /= 1000
    raise AssertionError
