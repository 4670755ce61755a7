"""Operations over several rows: group, window, sort, take, distinct, dedupe; and those that are not supported yet."""

from collections.abc import Iterator

from apps.language import plan as p
from apps.language import tree as t
from apps.language.checking.columns import Columns, given_once
from apps.language.checking.places import Place, Relation
from apps.language.checking.steps import Done, Handlers, StepState, finish_sort
from apps.language.checking.walking import walk_plan
from apps.language.types import Kind


def group(state: StepState, operation: t.GroupBy) -> Done:
    keys: Columns = {}
    for assign in operation.keys:
        name = state.name_of(assign, may_lack=True)
        value = state.expressions.check(assign.value, state.place())
        _can_tell_apart(state, value)
        if name is not None:
            given_once(state, name, keys, assign)
            keys[name] = value
    key_schema = tuple(p.Column(name, state.column_type(name, value)) for name, value in keys.items())
    place = state.place(
        reach="group",
        keys=Relation(key_schema, state.relation.open),
        key_of={value.name: name for name, value in keys.items() if isinstance(value, p.ColumnRef)},
        row_order=state.order,
    )
    columns = _columns(state, operation.columns, place, keys)
    if _orders_rows(columns):
        state.use_order()
    finish_sort(state)
    state.order, state.ordered = (), False
    schema = (*key_schema, *(p.Column(name, state.column_type(name, value)) for name, value in columns.items()))
    return p.GroupTo(tuple(keys.items()), tuple(columns.items()), span=operation.span), Relation(schema)


def _columns(state: StepState, assigns: tuple[t.Assign, ...], place: Place, taken: Columns) -> Columns:
    """The columns in braces, which have names of their own."""
    columns: Columns = {}
    for assign in assigns:
        name = state.name_of(assign, may_lack=False)
        value = state.expressions.check(assign.value, place)
        if name is not None:
            given_once(state, name, (*taken, *columns), assign)
            columns[name] = value
    return columns


def _orders_rows(columns: Columns) -> bool:
    """Whether an aggregate takes the rows in the order of the sort before."""
    return any(isinstance(node, p.Aggregate) and node.order for value in columns.values() for node in walk_plan(value))


def _can_tell_apart(state: StepState, value: p.Expression) -> None:
    if value.type.kind is Kind.JSON:
        hint = "group by a text or a number instead"
        state.error("E908", "telling json values apart is not supported yet", value.span, hint)


def window(state: StepState, operation: t.WindowBy) -> Done:
    partition = state.row_values(operation.partition)
    for value in partition:
        _can_tell_apart(state, value)
    order = state.keys(operation.order)
    if operation.has_frame:
        _check_frame(state, operation)
    place = state.place(reach="window", window_order=bool(operation.order))
    columns = _columns(state, operation.columns, place, {})
    for assign in operation.columns:
        name = assign.name
        if name in state.relation.by_name:
            span = assign.name_span if assign.name_span.end else assign.span
            hint = "a window adds columns: choose another name, or drop the other column first"
            state.error("E208", f"there is a column '{name}' already", span, hint)
    state.ordered = False
    frame = (operation.low, operation.high) if operation.has_frame else None
    schema = [*state.relation.columns]
    schema += [
        p.Column(name, state.column_type(name, value))
        for name, value in columns.items()
        if name not in state.relation.by_name
    ]
    lowered = p.WindowTo(partition, order, frame, tuple(columns.items()), span=operation.span)
    return lowered, Relation(tuple(schema), state.relation.open)


def _check_frame(state: StepState, operation: t.WindowBy) -> None:
    low, high = operation.low, operation.high
    if not operation.order:
        hint = "give the window an order: `window by … order … rows … { … }`"
        state.error("E315", "`rows` needs an order", operation.span, hint)
    if low is not None and high is not None and low > high:
        hint = f"from the lower to the higher: rows {high}..{low}"
        state.error("E421", f"the frame {low}..{high} is empty", operation.span, hint)


def sort(state: StepState, operation: t.Sort) -> Done:
    finish_sort(state)
    keys = state.keys(operation.keys)
    state.order, state.ordered, state.idle_sort, state.lost_sort = keys, True, operation.span, False
    return p.SortBy(keys, span=operation.span), state.relation


def take(state: StepState, operation: t.Take) -> Done:
    by = state.row_values(operation.by)
    for value in by:
        _can_tell_apart(state, value)
    order = state.use_order()
    if not order:
        lost = (
            "the columns of the sort before are gone: sort again" if state.lost_sort else "put a `| sort …` before it"
        )
        state.findings.warning("W605", f"without a sort `take {operation.count}` takes any rows", operation.span, lost)
    state.ordered = state.ordered and not by and bool(order)
    return p.TakeRows(operation.count, by, order, span=operation.span), state.relation


def distinct(state: StepState, operation: t.Distinct) -> Done:
    for column in state.relation.columns:
        if column.type.kind is Kind.JSON:
            hint = "drop it first, or group by the others"
            state.error(
                "E908", f"telling json values apart is not supported yet: '{column.name}'", operation.span, hint
            )
    state.ordered = False
    return p.DistinctRows(span=operation.span), state.relation


def dedupe(state: StepState, operation: t.Dedupe) -> Done:
    by = state.row_values(operation.by)
    for value in by:
        _can_tell_apart(state, value)
    order = state.keys(operation.order)
    state.ordered = False
    return p.DedupeRows(by, operation.keep, order, span=operation.span), state.relation


# --- not supported yet ---------------------------------------------------------------------

_LATER = {
    t.Unnest: ("unnest", "until then: have the lists flattened before they reach the source"),
    t.Pivot: ("pivot", "until then: group { a = sum(if(key == 1, x, 0)), b = … }"),
    t.Unpivot: ("unpivot", "until then: a `select` for each column, and `union`"),
    t.Sample: ("sample", "until then: where hash64(to_text(id)) % 100 == 0 takes about one in a hundred"),
    t.Fill: ("fill", "until then: derive x = x ?? 0, or a window with last(x)"),
    t.Sql: ("sql", "until then: write it with the other operations"),
}
_KEEPS_COLUMNS = (t.Sample, t.Fill)


def later(state: StepState, operation: t.Operation) -> Done:
    """Answers with what is missing and how to do without; the columns after it are not known."""
    name, hint = _LATER[type(operation)]
    state.error("E903", f"`{name}` is not supported yet", operation.span, hint)
    state.order, state.ordered, state.idle_sort = (), False, None
    keeps = isinstance(operation, _KEEPS_COLUMNS)
    return None, state.relation if keeps else Relation(state.relation.columns, open=True)


def inputs(operations: tuple[t.Operation, ...]) -> Iterator[t.Name]:
    """The other tables that operations read."""
    for operation in operations:
        match operation:
            case t.Join(right=name) | t.Union(other=name):
                yield name


HANDLERS: Handlers = {
    t.GroupBy: group, t.WindowBy: window, t.Sort: sort, t.Take: take, t.Distinct: distinct, t.Dedupe: dedupe,
    **dict.fromkeys(_LATER, later),
}  # fmt: skip
