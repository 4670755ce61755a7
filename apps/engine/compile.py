"""A checked plan → SQL for DuckDB, one statement a stage. Pure: it reads and runs nothing.

Every name, value and path of a flow enters the SQL as a node of a tree, never as a piece of text. Relations handed
in by the caller (`scans`) are the one exception: they are the caller's own SQL.
"""

import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from apps.engine import checking
from apps.engine.arithmetic import is_risky
from apps.engine.clashes import CLASH, clashes
from apps.engine.counting import counts_of
from apps.engine.cutting import Cut, cut, names_of, needs_of, wanted_of
from apps.engine.errors import EngineError
from apps.engine.expressions import Emitter, Values
from apps.engine.pruning import Needs, expressions_of, parts_of
from apps.engine.relations import StepBuilder, reference, select, table, widen
from apps.engine.rows import fetchable
from apps.engine.sql import Cte, Name, Raw, Select, Statement, Table
from apps.engine.stages import CompiledCheck, CompiledFlow, LookupProbe, Stage
from apps.engine.types import cast
from apps.language.plan import Apply, Check, Expression, Plan, Schema, SinkTable, SourceTable, StepTable

# A tree is printed by recursion, two frames a level, and the language allows 200 levels, each of which may be three
# here. Frames of Python functions do not lie on the processor's stack.
sys.setrecursionlimit(max(sys.getrecursionlimit(), 5_000))


class NamesClash(EngineError):  # noqa: N818  as the others in errors.py
    """Two columns differ only in capital letters."""

    code = CLASH


def compile_plan(
    plan: Plan,
    *,
    params: Mapping[str, Any],
    logical_time: datetime,
    scans: Mapping[str, str],
    targets: Collection[str] = (),
) -> CompiledFlow:
    """The stages of a plan, in order, and its checks.

    `scans` gives for each source a relation in SQL (`read_csv(…)`, a quoted table). `params` are values by name
    (Const or Python); one that is missing takes its default. `logical_time` is what `now()` says. `targets` are steps
    whose rows are to be kept whole whatever reads them.

    Raises ParameterMissing for a parameter without value and default, NamesClash for columns that differ only in case.
    """
    for clash in clashes(plan):
        raise NamesClash(
            clash.message[0].upper() + clash.message[1:] + ".",
            hint=clash.hint,
            line=clash.span.line,
            column=clash.span.column,
        )
    cuts = cut(plan, targets)
    values = Values.of(plan, params, logical_time)
    compiler = _Compiler(plan, values, scans, cuts, needs_of(plan, cuts, targets))
    stages = tuple(stage for item in cuts for stage in compiler.stages_of(item))
    return CompiledFlow(stages, tuple(compiler.check(check) for check in plan.checks))


def constant_sql(expression: Expression, plan: Plan, *, params: Mapping[str, Any], logical_time: datetime) -> str:
    """`SELECT …` of one row and one column: the value of an expression without columns, in its type (a timestamptz as
    UTC's clock shows it)."""
    emit = Emitter(Values.of(plan, params, logical_time))
    return str(Select((("value", fetchable(cast(emit(expression), expression.type), expression.type)),)))


def check_sql(
    check: Check,
    relation: str,
    plan: Plan,
    *,
    params: Mapping[str, Any],
    logical_time: datetime,
    other: str = "",
) -> str:
    """`SELECT failed_rows, total_rows` of one check over a relation in SQL; `other` is what `references` looks into."""
    emit = Emitter(Values.of(plan, params, logical_time))
    return str(checking.emit(check, Table(Raw(relation), "l"), Table(Raw(other), "r") if other else None, emit))


def quoted(name: str) -> str:
    """A name as SQL, quoted whatever it holds."""
    return str(Name(name))


@dataclass(frozen=True, slots=True)
class _Statement:
    sql: str
    reads: tuple[str, ...]
    ordered: bool
    probes: tuple[LookupProbe, ...]


def _is_risky(step: StepTable) -> bool:
    parts = parts_of(value for operation in step.operations for value in expressions_of(operation))
    return any(is_risky(part) for part in parts if isinstance(part, Apply))


@dataclass(frozen=True)
class _Compiler:
    plan: Plan
    values: Values
    scans: Mapping[str, str]
    cuts: list[Cut]
    needs: Mapping[str, Needs]
    places: dict[str, int] = field(default_factory=dict)  # a number for each name: DuckDB knows no case, flows do
    kept: dict[str, str] = field(default_factory=dict)  # step → the stage that keeps its rows

    def __post_init__(self) -> None:
        self.places.update({name: position for position, name in enumerate(names_of(self.plan), 1)})

    # --- names in SQL

    def cte_name(self, name: str) -> str:
        return f"{self.places[name]}:{name}"

    def table_name(self, step: str) -> str:
        return f"rows of {self.places[step]}:{step}"

    def relation(self, name: str) -> str:
        return self.table_name(name) if name in self.kept else self.cte_name(name)

    # --- stages

    def stages_of(self, item: Cut) -> list[Stage]:
        """A sink that is nobody else's business is written straight from its statement. A step that is read again is
        kept as a checkpoint, or as the parquet file of its own sink, and further sinks copy that."""
        first = next((sink for sink in item.sinks if _can_be_read(sink)), None)
        if not item.keeps:
            return [self._computed(item, item.sinks[0], keeps=False)]
        stages = [self._computed(item, first, keeps=True)]
        self.kept[item.step.name] = stages[0].name
        return stages + [self._copied(item, sink) for sink in item.sinks if sink is not first]

    def _computed(self, item: Cut, sink: SinkTable | None, *, keeps: bool) -> Stage:
        quick, careful = replace(self.values, careful=False), replace(self.values, careful=True)
        risky = any(_is_risky(step) for step in item.steps)
        counts = counts_of(item.steps)
        statement = self._statement(item, quick if risky else careful)
        return Stage(
            name=self._stage_name(item, sink),
            kind="sink" if sink else "checkpoint",
            step=item.step.name,
            sql=statement.sql,
            careful_sql=self._statement(item, careful).sql if risky else "",
            reads=statement.reads,
            steps=tuple(step.name for step in item.steps),
            cte_names={name: self.cte_name(name) for name, count in counts.items() if count.how == "cte"},
            counts=counts,
            columns=self._given(item.step),
            ordered=statement.ordered,
            table=self.table_name(item.step.name) if keeps else "",
            sink=sink,
            probes=statement.probes,
        )

    def _statement(self, item: Cut, values: Values) -> _Statement:
        """Each step but the last is a CTE, materialized where its rows cannot be counted otherwise."""
        ctes, reads = self._scans(item)
        counts = counts_of(item.steps)
        probes: list[LookupProbe] = []
        for step in item.steps:
            reads += [name for name in self.plan.inputs_of(step) if name in self.kept]
            builder = self._builder(step, values)
            query = builder.build(self.plan.schema_of(step.input))
            probes += self._probes(builder, ctes)
            ctes += builder.ctes
            if step is not item.step:
                ctes.append(Cte(self.cte_name(step.name), query, materialized=counts[step.name].how == "cte"))
        if not values.careful:
            query = widen(query, self._given(item.step))
        sql = str(Statement(query, tuple(ctes)))
        return _Statement(sql, tuple(dict.fromkeys(reads)), builder.ordered, tuple(probes))

    def _given(self, step: StepTable) -> Schema:
        """The columns that a step gives: those that somebody wants."""
        needs = self.needs[step.name]
        wanted = needs.after[-1] if needs.after else needs.of_input
        return tuple(column for column in step.columns if column.name in wanted)

    def _copied(self, item: Cut, sink: SinkTable) -> Stage:
        """A sink that copies rows kept before."""
        columns = [(column.name, reference(column.name)) for column in item.step.columns]
        return Stage(
            name=self._stage_name(item, sink),
            kind="sink",
            step=item.step.name,
            sql=str(select(columns, table(self.table_name(item.step.name), "l"))),
            reads=(item.step.name,),
            steps=(),
            cte_names={},
            counts={},
            columns=item.step.columns,
            ordered=item.step.ordered,
            sink=sink,
        )

    def _stage_name(self, item: Cut, sink: SinkTable | None) -> str:
        if sink is None:
            return f"checkpoint:{item.step.name}"
        position = next(index for index, each in enumerate(item.sinks, 1) if each is sink)
        return f"sink:{item.step.name}" if position == 1 else f"sink:{item.step.name}:{position}"

    def _builder(self, step: StepTable, values: Values) -> StepBuilder:
        return StepBuilder(
            step=step,
            prefix=self.cte_name(step.name),
            current=self.relation(step.input),
            values=values,
            needs=self.needs[step.name],
            relation_of=self.relation,
        )

    def _scans(self, item: Cut) -> tuple[list[Cte], list[str]]:
        """The sources that a stage reads, as SELECTs of the wanted columns in the plan's types."""
        read = dict.fromkeys(name for step in item.steps for name in self.plan.inputs_of(step))
        sources = [source for source in self.plan.sources if source.name in read]
        return [self._scan(source) for source in sources], [source.name for source in sources]

    def _scan(self, source: SourceTable) -> Cte:
        wanted = wanted_of(self.plan, dict(self.needs), source.name)
        columns = [
            (column.name, cast(reference(column.name), column.type))
            for column in source.columns
            if column.name in wanted
        ]
        query = select(columns, Table(Raw(self.scans[source.name]), "l"))
        return Cte(self.cte_name(source.name), query, materialized=False)

    def _probes(self, builder: StepBuilder, before: list[Cte]) -> list[LookupProbe]:
        return [
            LookupProbe(
                step=builder.step.name,
                right=operation.right,
                label=label,
                sql=str(Statement(query, (*before, *builder.ctes[:count]))),
                span=operation.span,
            )
            for operation, label, query, count in builder.probes
        ]

    # --- checks

    def check(self, check: Check) -> CompiledCheck:
        after = tuple(self.kept[name] for name in (check.step, check.other) if name in self.kept)
        left, right = self._checked(check.step, "l"), self._checked(check.other, "r") if check.other else None
        query = checking.emit(check, left, right, Emitter(self.values))
        return CompiledCheck(check, str(query), tuple(dict.fromkeys(after)))

    def _checked(self, name: str, alias: str) -> Table:
        return table(self.table_name(name), alias) if name in self.kept else Table(Raw(self.scans[name]), alias)


def _can_be_read(sink: SinkTable) -> bool:
    """Whether what the sink writes can stand for the step's rows: one parquet file keeps types and order."""
    return sink.kind == "parquet" and not sink.partition_by
