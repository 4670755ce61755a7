"""Operations of a step → a chain of SELECTs, each reading the one before.

The chain is flat, as common table expressions: DuckDB follows a hundred of them more easily than a hundred nested queries.
Every SELECT calls its input `l`, and a second one `r`; columns always carry it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from apps.engine.arithmetic import NARROW_DIGITS
from apps.engine.expressions import SIDES, Emitter, Values, column, ordering
from apps.engine.nodes import all_of, binary, call, count_rows
from apps.engine.pruning import Names, Needs, names_in
from apps.engine.sql import (
    TRUE,
    Column,
    Cte,
    Exists,
    Join,
    Name,
    Not,
    Number,
    Over,
    Query,
    Select,
    Sql,
    Struct,
    Subquery,
    Table,
    Text,
    Union,
)  # fmt: skip
from apps.engine.types import cast
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


Columns = Sequence[tuple[str, Sql]]  # name and value


def table(name: str, alias: str) -> Table:
    return Table(Name(name), alias)


def reference(name: str, side: int = 0) -> Column:
    return Column(SIDES[side], name)


def select(columns: Columns, source: Sql) -> Select:
    return Select(tuple(columns) or ((NOTHING, TRUE),), source)


def widen(query: Query, columns: Schema) -> Query:
    """Casts the decimals that a query gives to the plan's types, where it may have computed them narrower."""
    if isinstance(query, Union):
        return Union(_widened(query.upper, columns), _widened(query.lower, columns))
    return _widened(query, columns)


def _widened(query: Select, columns: Schema) -> Select:
    kinds = {column.name: column.type for column in columns if column.type.precision > NARROW_DIGITS}
    wide = ((name, cast(value, kinds[name]) if name in kinds else value) for name, value in query.columns)
    return replace(query, columns=tuple(wide))


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
    ctes: list[Cte] = field(default_factory=list)
    probes: list[tuple[JoinTo, str, Select, int]] = field(default_factory=list)  # last, the number of CTEs before
    ordered: bool = False  # rows come in a sort's order
    filters: list[Sql] = field(default_factory=list)
    order: tuple[OrderKey, ...] = ()
    pending: Query | None = None  # the newest SELECT, not yet named
    columns: tuple[str, ...] = ()  # of `current`, those that are wanted

    def build(self, input_schema: Schema) -> Query:
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

    def _source(self) -> Table:
        """The input of the next SELECT; a SELECT that waits gets its name now."""
        if self.pending is not None:
            self.current = f"{self.prefix}/{len(self.ctes) + 1}"
            self.ctes.append(Cte(self.current, self.pending, materialized=False))
            self.pending = None
        return table(self.current, SIDES[0])

    def _select(self, columns: Columns, *, keep_order: bool = False) -> Select:
        """A SELECT over the input with the filters that wait, and with the sort when it is to be kept."""
        query = select(columns, self._source())
        if self.filters:
            query = replace(query, where=all_of(self.filters))
            self.filters = []
        if self.order and keep_order:
            query = replace(query, order=ordering(self.order, self.emit))
        self.ordered = (self.ordered and keep_order) or bool(self.order and keep_order)
        self.order = ()
        return query

    def _all(self, wanted: Names | None = None) -> list[tuple[str, Sql]]:
        return [(name, reference(name)) for name in self.columns if wanted is None or name in wanted]

    def _settle(self) -> None:
        """Put the filters that wait into a SELECT of their own."""
        if self.filters:
            order, ordered = self.order, self.ordered
            self.order = ()
            self.pending = self._select(self._all(), keep_order=True)
            self.order, self.ordered = order, ordered

    def _finish(self) -> Query:
        if self.pending is not None and not self.filters and not self.order:
            return self.pending
        return self._select(self._all(self.needs.after[-1] if self.needs.after else None), keep_order=True)

    # --- operations

    def _apply(self, operation: Operation, wanted: Names) -> None:
        match operation:
            case Filter(test=test):
                self.filters.append(self.emit(test))
            case Project(columns=columns):
                chosen = [(name, self.emit(value)) for name, value in columns if name in wanted]
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
                self.pending = replace(self._select(self._all()), distinct=True)

    def _take(self, operation: TakeRows, wanted: Names) -> None:
        query = replace(self._select(self._all(wanted), keep_order=True), limit=operation.count)
        if operation.order:
            query = replace(query, order=ordering(operation.order, self.emit))
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

    def _right(self, name: str) -> Table:
        return table(self.relation_of(name), SIDES[1])

    def _brought(self, operation: JoinTo, wanted: Names) -> list[tuple[str, Sql]]:
        return [(name, reference(value.name, 1)) for name, value in operation.bring if name in wanted]

    def _join(self, operation: JoinTo, wanted: Names) -> None:
        self._settle()
        query = self._select([*self._all(wanted), *self._brought(operation, wanted)])
        test = None if operation.test is None else self.emit(operation.test)
        self.pending = replace(query, join=Join(operation.kind.upper(), self._right(operation.right), test))

    def _semi(self, operation: JoinTo) -> None:
        """A filter: the rows that have a match, or have none. The order of the rows stays."""
        found = Exists(self._matching(operation, [("found", TRUE)]))
        self.filters.append(Not(found) if operation.kind == "anti" else found)

    def _matching(self, operation: JoinTo, columns: Columns) -> Select:
        """What matches the row of the input, as a query that refers to it."""
        assert operation.test is not None
        return replace(select(columns, self._right(operation.right)), where=self.emit(operation.test))

    def _lookup(self, operation: JoinTo, wanted: Names) -> None:
        """A scalar subquery: DuckDB joins it as SINGLE, which costs what a left join does and refuses a second match."""
        self._settle()
        source = self._source()
        brought = self._brought(operation, wanted)
        label = ", ".join(sorted(names_in([operation.test])))
        self.probes.append((operation, label, self._probe(operation, source), len(self.ctes)))
        if len(brought) == 1:
            [(name, value)] = brought
            match = Subquery(self._matching(operation, [(name, value)]))
            self.pending = self._select([*self._all(wanted), (name, match)])
            return
        packed = Struct(tuple((f"v{place}", value) for place, (_, value) in enumerate(brought))) if brought else TRUE
        match = Subquery(self._matching(operation, [(_MATCH, packed)]))
        self.pending = self._select([*self._all(wanted), (_MATCH, match)])
        if brought:
            fields = [
                (name, call("struct_extract", reference(_MATCH), Text(f"v{place}")))
                for place, (name, _) in enumerate(brought)
            ]
            self.pending = self._select([*self._all(wanted), *fields])

    def _probe(self, operation: JoinTo, source: Table) -> Select:
        assert operation.test is not None
        keys = [(name, reference(name)) for name in sorted(names_in([operation.test]))]
        words = [cast(key, types.TEXT) for _, key in keys] or [Text("")]
        left = replace(select(keys, source), distinct=True)
        found = select([("key", call("concat_ws", Text(", "), *words)), ("matches", count_rows())], Subquery(left, "l"))
        return replace(
            found,
            join=Join("INNER", self._right(operation.right), self.emit(operation.test)),
            group=tuple(key for _, key in keys) or (TRUE,),
            having=binary(">", count_rows(), Number(1)),
            limit=3,
        )

    def _group(self, operation: GroupTo, wanted: Names) -> None:
        keys = dict(operation.keys)

        def of_group(name: ColumnRef) -> Sql:
            # Outside of an aggregate a name is a key's; the checker has typed both alike.
            key = keys.get(name.name)
            return column(name) if key is None else self.emit(key)

        emit = Emitter(self.values, columns=of_group)
        chosen = [(name, self.emit(value)) for name, value in operation.keys if name in wanted]
        chosen += [(name, emit(value)) for name, value in operation.columns if name in wanted]
        query = self._select(chosen)
        if operation.keys:
            self.pending = replace(query, group=tuple(self.emit(value) for _, value in operation.keys))
        else:
            # Makes it one row even where no aggregate is wanted.
            self.pending = replace(query, having=binary(">=", count_rows(), Number(0)))

    def _window(self, operation: WindowTo, wanted: Names) -> None:
        emit = self.emit
        partition = tuple(emit(key) for key in operation.partition)
        order = ordering(operation.order, emit)

        def over(node: WindowCall, call: Sql) -> Sql:
            return Over(call, partition, order, None if node.function in _NUMBERED else _frame(operation))

        windows = Emitter(self.values, over=over)
        added = dict(operation.columns)
        kept = [item for item in self._all(wanted) if item[0] not in added]
        self.pending = self._select(
            [*kept, *((name, windows(value)) for name, value in added.items() if name in wanted)]
        )

    def _first_of_each(self, by: Sequence[Expression], order: Sequence[OrderKey], count: int, wanted: Names) -> None:
        """Rows numbered within each `by`; DuckDB turns this into an aggregate where it can."""
        rank = Over(call("row_number"), tuple(self.emit(key) for key in by), ordering(order, self.emit))
        self.pending = replace(self._select(self._all(wanted)), qualify=binary("<=", rank, Number(count)))

    def _union(self, operation: UnionWith, wanted: Names) -> None:
        emit = self.emit
        theirs_emit = Emitter(self.values, columns=lambda name: reference(name.name))
        pairs = [(name, mine, theirs) for name, mine, theirs in operation.columns if name in wanted]
        upper = self._select([(name, emit(value)) for name, value, _ in pairs])
        right = table(self.relation_of(operation.other), SIDES[0])
        self.pending = Union(upper, select([(name, theirs_emit(value)) for name, _, value in pairs], right))


def _waits(operation: Operation) -> bool:
    """Whether the operation is kept for a later SELECT, which still needs all columns that it reads."""
    return isinstance(operation, Filter | SortBy) or (
        isinstance(operation, JoinTo) and operation.kind in ("semi", "anti")
    )


def _dedupe_order(operation: DedupeRows) -> list[OrderKey]:
    """`keep last` is the first of the order turned round; a null is never the last."""
    if operation.keep == "first":
        return list(operation.order)
    return [OrderKey(key.value, not key.descending) for key in operation.order]


def _frame(operation: WindowTo) -> tuple[int | None, int | None] | None:
    """Rows around the current one. Without a frame: up to the current row where there is an order, else all."""
    return operation.frame or ((None, 0) if operation.order else None)
