"""Operations of a step → a chain of SELECTs, each reading the one before.

The chain is flat, as common table expressions: nesting a hundred operations would exhaust the generator's stack.
Every SELECT calls its input `l`, and a second one `r`; columns always carry it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sqlglot import exp

from apps.engine.arithmetic import NARROW_DIGITS
from apps.engine.expressions import SIDES, Emitter, Values, column, ordering
from apps.engine.nodes import all_of, call
from apps.engine.pruning import Names, Needs, names_in
from apps.engine.types import cast, identifier, number
from apps.language import types
from apps.language.plan import (
    ColumnRef,
    DedupeRows,
    DistinctRows,
    Expression,
    Filter,
    GroupTo,
    JoinTo,
    Operation,
    OrderKey,
    Project,
    Schema,
    SortBy,
    StepTable,
    TakeRows,
    UnionWith,
    WindowCall,
    WindowTo,
)

# Selected where no column is wanted, so that rows can still be counted.
NOTHING = "no columns"
_NUMBERED = frozenset({"row_number", "rank", "dense_rank", "percent_rank", "ntile", "lag", "lead"})
_MATCH = "match"


def table(name: str, alias: str) -> exp.Table:
    return exp.Table(this=identifier(name), alias=exp.TableAlias(this=identifier(alias)))


def scan(sql: str, alias: str) -> exp.Table:
    """A relation that is handed in as SQL, printed as it is."""
    return exp.Table(this=exp.Var(this=sql), alias=exp.TableAlias(this=identifier(alias)))


def common(name: str, query: exp.Expression, *, materialized: bool) -> exp.CTE:
    alias = exp.TableAlias(this=identifier(name))
    return exp.CTE(this=query, alias=alias, materialized=materialized)


def with_ctes(query: exp.Expression, ctes: Sequence[exp.CTE]) -> exp.Expression:
    if ctes:
        query.set("with_", exp.With(expressions=list(ctes)))
    return query


def named(value: exp.Expression, name: str) -> exp.Expression:
    return exp.Alias(this=value, alias=identifier(name))


def reference(name: str, side: int = 0) -> exp.Column:
    return exp.Column(this=identifier(name), table=identifier(SIDES[side]))


def select(columns: Sequence[exp.Expression], source: exp.Expression) -> exp.Select:
    chosen = list(columns) or [named(exp.true(), NOTHING)]
    return exp.Select(expressions=chosen, from_=exp.From(this=source))


def widen(query: exp.Expression, columns: Schema) -> None:
    """Casts the decimals that a query gives to the plan's types, where it may have computed them narrower."""
    if isinstance(query, exp.Union):
        widen(query.this, columns)
        widen(query.expression, columns)
        return
    kinds = {column.name: column.type for column in columns if column.type.precision > NARROW_DIGITS}
    wide = []
    for item in query.expressions:
        value = item.this if isinstance(item, exp.Alias) else item
        kind = kinds.get(item.alias_or_name)
        wide.append(item if kind is None else named(cast(value, kind), item.alias_or_name))
    query.set("expressions", wide)


@dataclass
class StepBuilder:
    """Builds one step. `finish` gives its last SELECT; `ctes` are those before it.

    Filters and a sort wait until an operation needs them, and then go into its SELECT.
    """

    step: StepTable
    prefix: str  # of the names of the CTEs
    current: str  # the relation that the next operation reads
    values: Values
    needs: Needs
    relation_of: Callable[[str], str]  # of a source or step, the relation that holds its rows
    ctes: list[exp.CTE] = field(default_factory=list)
    probes: list[tuple[JoinTo, str, exp.Select, int]] = field(default_factory=list)  # last, the number of CTEs before
    ordered: bool = False  # rows come in a sort's order
    filters: list[exp.Expression] = field(default_factory=list)
    order: tuple[OrderKey, ...] = ()
    pending: exp.Expression | None = None  # the newest SELECT, not yet named
    columns: tuple[str, ...] = ()  # of `current`, those that are wanted

    def build(self, input_schema: Schema) -> exp.Expression:
        """The step's last SELECT."""
        self.columns = tuple(item.name for item in input_schema if item.name in self.needs.of_input)
        for position, operation in enumerate(self.step.operations):
            wanted = self.needs.after[position]
            self._apply(operation, wanted)
            given = [item.name for item in self.step.schemas[position]]
            if not _waits(operation):
                self.columns = tuple(name for name in given if name in wanted)
        return self._finish()

    # --- the waiting SELECT

    @property
    def emit(self) -> Emitter:
        return Emitter(self.values)

    def _source(self) -> exp.Table:
        """The input of the next SELECT; a SELECT that waits gets its name now."""
        if self.pending is not None:
            self.current = f"{self.prefix}/{len(self.ctes) + 1}"
            self.ctes.append(common(self.current, self.pending, materialized=False))
            self.pending = None
        return table(self.current, SIDES[0])

    def _select(self, columns: Sequence[exp.Expression], *, keep_order: bool = False) -> exp.Select:
        """A SELECT over the input with the filters that wait, and with the sort when it is to be kept."""
        query = select(columns, self._source())
        if self.filters:
            query.set("where", exp.Where(this=all_of(self.filters)))
            self.filters = []
        if self.order and keep_order:
            query.set("order", ordering(self.order, self.emit))
        self.ordered = (self.ordered and keep_order) or bool(self.order and keep_order)
        self.order = ()
        return query

    def _all(self, wanted: Names | None = None) -> list[exp.Expression]:
        return [reference(name) for name in self.columns if wanted is None or name in wanted]

    def _settle(self) -> None:
        """Put the filters that wait into a SELECT of their own."""
        if self.filters:
            order, ordered = self.order, self.ordered
            self.order = ()
            self.pending = self._select(self._all(), keep_order=True)
            self.order, self.ordered = order, ordered

    def _finish(self) -> exp.Expression:
        if self.pending is not None and not self.filters and not self.order:
            return self.pending
        return self._select(self._all(self.needs.after[-1] if self.needs.after else None), keep_order=True)

    # --- operations

    def _apply(self, operation: Operation, wanted: Names) -> None:
        match operation:
            case Filter(test=test):
                self.filters.append(self.emit.test(test))
            case Project(columns=columns):
                chosen = [named(self.emit(value), name) for name, value in columns if name in wanted]
                self.pending = self._select(chosen, keep_order=True)
            case JoinTo():
                self._match(operation, wanted)
            case GroupTo():
                self._group(operation, wanted)
            case WindowTo():
                self._window(operation, wanted)
            case UnionWith():
                self._union(operation, wanted)
            case _:
                self._arrange(operation, wanted)

    def _arrange(self, operation: SortBy | TakeRows | DistinctRows | DedupeRows, wanted: Names) -> None:
        match operation:
            case SortBy(keys=keys):
                self._settle()
                self.order, self.ordered = keys, False
            case TakeRows(by=()):
                self._take(operation, wanted)
            case TakeRows(by=by, order=order, count=count):
                self._first_of_each(by, order, count, wanted)
            case DedupeRows(by=by):
                self._first_of_each(by, _dedupe_order(operation), 1, wanted)
            case DistinctRows():
                query = self._select(self._all())
                query.set("distinct", exp.Distinct())
                self.pending = query

    def _take(self, operation: TakeRows, wanted: Names) -> None:
        query = self._select(self._all(wanted), keep_order=True)
        query.set("limit", exp.Limit(expression=number(operation.count)))
        if operation.order:
            query.set("order", ordering(operation.order, self.emit))
            self.ordered = True
        self.pending = query

    def _match(self, operation: JoinTo, wanted: Names) -> None:
        match operation.kind:
            case "lookup":
                self._lookup(operation, wanted)
            case "semi" | "anti":
                self._semi(operation)
            case _:
                self._join(operation, wanted)

    def _right(self, name: str) -> exp.Table:
        return table(self.relation_of(name), SIDES[1])

    def _brought(self, operation: JoinTo, wanted: Names) -> list[tuple[str, exp.Expression]]:
        return [(name, reference(value.name, 1)) for name, value in operation.bring if name in wanted]

    def _join(self, operation: JoinTo, wanted: Names) -> None:
        self._settle()
        brought = [named(value, name) for name, value in self._brought(operation, wanted)]
        query = self._select([*self._all(wanted), *brought])
        right = self._right(operation.right)
        if operation.kind == "cross":
            join = exp.Join(this=right, kind="CROSS")
        else:
            assert operation.test is not None
            sides = {"inner": {"kind": "INNER"}, "left": {"side": "LEFT"}, "full": {"side": "FULL"}}[operation.kind]
            join = exp.Join(this=right, on=self.emit(operation.test), **sides)
        query.set("joins", [join])
        self.pending = query

    def _semi(self, operation: JoinTo) -> None:
        """A filter: the rows that have a match, or have none. The order of the rows stays."""
        assert operation.test is not None
        inner = select([number(1)], self._right(operation.right))
        inner.set("where", exp.Where(this=self.emit(operation.test)))
        exists: exp.Expression = exp.Exists(this=inner)
        self.filters.append(exp.Not(this=exists) if operation.kind == "anti" else exists)

    def _lookup(self, operation: JoinTo, wanted: Names) -> None:
        """A scalar subquery: DuckDB joins it as SINGLE, which costs what a left join does and refuses a second match."""
        assert operation.test is not None
        self._settle()
        source = self._source()
        brought = self._brought(operation, wanted)
        values = [value for _, value in brought]
        value = exp.true() if not values else values[0] if len(values) == 1 else _packed(values)
        inner = select([value], self._right(operation.right))
        inner.set("where", exp.Where(this=self.emit(operation.test)))
        label = ", ".join(sorted(names_in([operation.test])))
        self.probes.append((operation, label, self._probe(operation, source), len(self.ctes)))
        match = exp.Subquery(this=inner)
        if len(values) == 1:
            self.pending = self._select([*self._all(wanted), named(match, brought[0][0])])
            return
        self.pending = self._select([*self._all(wanted), named(match, _MATCH)])
        if values:
            fields = [
                named(call("struct_extract", reference(_MATCH), exp.Literal.string(f"v{position}")), name)
                for position, (name, _) in enumerate(brought)
            ]
            self.pending = self._select([*self._all(wanted), *fields])

    def _probe(self, operation: JoinTo, source: exp.Table) -> exp.Select:
        assert operation.test is not None
        names = sorted(names_in([operation.test]))
        keys: list[exp.Expression] = [reference(name) for name in names] if names else [exp.true()]
        words = [cast(key, types.TEXT) for key in keys]
        label = words[0] if len(words) == 1 else call("concat_ws", exp.Literal.string(", "), *words)
        left = select(keys, source.copy())
        left.set("distinct", exp.Distinct())
        joined = exp.Subquery(this=left, alias=exp.TableAlias(this=identifier(SIDES[0])))
        query = select([label, exp.Count(this=exp.Star())], joined)
        query.set("joins", [exp.Join(this=self._right(operation.right), on=self.emit(operation.test), kind="INNER")])
        query.set("group", exp.Group(expressions=[key.copy() for key in keys]))
        query.set("having", exp.Having(this=exp.GT(this=exp.Count(this=exp.Star()), expression=number(1))))
        query.set("limit", exp.Limit(expression=number(3)))
        return query

    def _group(self, operation: GroupTo, wanted: Names) -> None:
        keys = dict(operation.keys)

        def of_group(name: ColumnRef) -> exp.Expression:
            # Outside of an aggregate a name is a key's; the checker has typed both alike.
            key = keys.get(name.name)
            return column(name) if key is None else self.emit(key)

        emit = Emitter(self.values, columns=of_group)
        chosen = [named(self.emit(value), name) for name, value in operation.keys if name in wanted]
        chosen += [named(emit(value), name) for name, value in operation.columns if name in wanted]
        query = self._select(chosen)
        if operation.keys:
            query.set("group", exp.Group(expressions=[self.emit(value) for _, value in operation.keys]))
        else:
            # Makes it one row even where no aggregate is wanted.
            query.set("having", exp.Having(this=exp.GTE(this=exp.Count(this=exp.Star()), expression=number(0))))
        self.pending = query

    def _window(self, operation: WindowTo, wanted: Names) -> None:
        emit = self.emit

        def over(node: WindowCall, call: exp.Expression) -> exp.Expression:
            return exp.Window(
                this=call,
                partition_by=[emit(key) for key in operation.partition],
                order=ordering(operation.order, emit) if operation.order else None,
                spec=None if node.function in _NUMBERED else _frame(operation),
            )

        windows = Emitter(self.values, over=over)
        added = dict(operation.columns)
        kept = [reference(name) for name in self.columns if name in wanted and name not in added]
        new = [named(windows(value), name) for name, value in operation.columns if name in wanted]
        self.pending = self._select([*kept, *new])

    def _first_of_each(self, by: Sequence[Expression], order: Sequence[OrderKey], count: int, wanted: Names) -> None:
        """Rows numbered within each `by`; DuckDB turns this into an aggregate where it can."""
        rank = exp.Window(
            this=call("row_number"),
            partition_by=[self.emit(key) for key in by],
            order=ordering(order, self.emit) if order else None,
        )
        query = self._select(self._all(wanted))
        query.set("qualify", exp.Qualify(this=exp.LTE(this=rank, expression=number(count))))
        self.pending = query

    def _union(self, operation: UnionWith, wanted: Names) -> None:
        emit = self.emit
        theirs_emit = Emitter(self.values, columns=lambda name: reference(name.name))
        pairs = [(name, mine, theirs) for name, mine, theirs in operation.columns if name in wanted]
        mine = self._select([named(emit(value), name) for name, value, _ in pairs])
        right = table(self.relation_of(operation.other), SIDES[0])
        theirs = select([named(theirs_emit(value), name) for name, _, value in pairs], right)
        self.pending = exp.Union(this=mine, expression=theirs, distinct=False)


def _waits(operation: Operation) -> bool:
    """Whether the operation is kept for a later SELECT, which still needs all columns that it reads."""
    return isinstance(operation, Filter | SortBy) or (
        isinstance(operation, JoinTo) and operation.kind in ("semi", "anti")
    )


def _packed(values: Sequence[exp.Expression]) -> exp.Expression:
    return exp.Struct(
        expressions=[
            exp.PropertyEQ(this=identifier(f"v{position}"), expression=value) for position, value in enumerate(values)
        ]
    )


def _dedupe_order(operation: DedupeRows) -> list[OrderKey]:
    """`keep last` is the first of the order turned round; a null is never the last."""
    if operation.keep == "first":
        return list(operation.order)
    return [OrderKey(key.value, not key.descending) for key in operation.order]


def _frame(operation: WindowTo) -> exp.WindowSpec | None:
    """Rows around the current one. Without a frame: up to the current row where there is an order, else all."""
    if operation.frame is not None:
        low, high = operation.frame
    elif operation.order:
        low, high = None, 0
    else:
        return None
    start, start_side = _bound(low, "PRECEDING")
    end, end_side = _bound(high, "FOLLOWING")
    return exp.WindowSpec(kind="ROWS", start=start, start_side=start_side, end=end, end_side=end_side)


def _bound(offset: int | None, outward: str) -> tuple[str | exp.Expression, str | None]:
    if offset is None:
        return "UNBOUNDED", outward
    if offset == 0:
        return "CURRENT ROW", None
    return exp.Literal.number(abs(offset)), "PRECEDING" if offset < 0 else "FOLLOWING"
