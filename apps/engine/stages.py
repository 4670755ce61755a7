"""What the compiler hands to the runtime: stages in order, each one SQL statement.

A stage gives the rows of one step. Its `sql` computes wide decimals in 64 bits and fails where a value does not fit;
then `careful_sql` gives the result (or the error that the flow deserves). The runtime writes them (`COPY (sql) TO …`) and, where `table` is set, makes a
view of that name over the file it wrote, since later stages and checks read the rows by it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from apps.engine.counting import Count
from apps.language.diagnostics import Span
from apps.language.plan import Check, Schema, SinkTable
from apps.language.types import Kind, Type


@dataclass(frozen=True, slots=True)
class LookupProbe:
    """How to say which keys a lookup found more than once.

    A lookup is a join that DuckDB refuses when a key matches twice ("More than one row returned by a subquery"), but
    it does not say which. When that happened, run `sql` of the stage's probes: the first that gives rows is to blame.
    It gives up to three rows (the key as text, its number of matches) and reads what the stage reads.
    """

    step: str
    right: str  # the source or step in which the lookup looked
    label: str  # the columns of the step that make the key, `customer_id, day`
    sql: str
    span: Span = field(compare=False, repr=False, default=Span())


@dataclass(frozen=True, slots=True)
class Stage:
    """One SELECT statement and what it stands for.

    `name` is unique in the flow: `checkpoint:STEP`, `sink:STEP`, and `sink:STEP:2` for a second sink of a step.
    """

    name: str
    kind: Literal["checkpoint", "sink"]
    step: str  # the step whose rows the statement gives
    sql: str
    reads: tuple[str, ...]  # sources and steps (by their `table`) that it reads, each once
    steps: tuple[str, ...]  # steps computed in it, in order; empty for a sink that only copies a checkpoint
    cte_names: Mapping[str, str]  # step → its CTE, of the steps that have one; the last has none
    counts: Mapping[str, Count]  # how the rows of each step but the last are counted; its are the statement's rows
    columns: Schema  # of the rows it gives
    ordered: bool  # the rows come in an order that is to be kept
    table: str = ""  # the name (not quoted) by which later stages and checks read the rows; empty if none does
    careful_sql: str = (
        ""  # to be run when DuckDB refuses `sql` with an out-of-range error; empty: there is no other way
    )
    sink: SinkTable | None = None
    probes: tuple[LookupProbe, ...] = ()

    def count(
        self, step: str, *, given: int, materialized: Mapping[str, int | None], entering: Mapping[str, int | None]
    ) -> int | None:
        """The rows of a step, None if they are not known: from those that the statement gave, those of the CTEs by
        name, and those that entered a group, by the name of the CTE that groups (empty for the statement itself)."""
        if step == self.steps[-1]:
            return given
        count = self.counts[step]
        match count.how:
            case "cte":
                return materialized.get(self.cte_names[step])
            case "entering":
                return entering.get(self.cte_names.get(count.of, ""))
            case "like":
                return self.count(count.of, given=given, materialized=materialized, entering=entering)

    @property
    def fits_parquet(self) -> bool:
        """Whether a parquet file keeps the rows as they are. It cuts durations to milliseconds: then a temporary table
        called `table` has to hold them."""
        return not any(_has_duration(column.type) for column in self.columns)


def _has_duration(type_: Type) -> bool:
    parts = [type_.item] if type_.item else [field for _, field in type_.fields]
    return type_.kind is Kind.DURATION or any(_has_duration(part) for part in parts)


@dataclass(frozen=True, slots=True)
class CompiledCheck:
    """`sql` gives one row (failed_rows, total_rows); it may run once the stages named in `after` have."""

    check: Check
    sql: str
    after: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CompiledFlow:
    stages: tuple[Stage, ...]
    checks: tuple[CompiledCheck, ...] = field(default=())
