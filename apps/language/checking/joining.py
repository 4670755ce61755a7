"""Operations that read a second table: joins, lookup, union."""

from apps.language import plan as p
from apps.language import tree as t
from apps.language.checking.columns import given_once
from apps.language.checking.findings import guess, listing
from apps.language.checking.places import Relation
from apps.language.checking.steps import Done, Handlers, StepState, finish_sort
from apps.language.functions.conversion import common_type, convert

_KEEPS_ORDER = ("left", "inner", "semi", "anti", "lookup")


def join(state: StepState, operation: t.Join) -> Done:
    right = state.table(operation.right)
    alias = operation.alias or operation.right
    test = _test(state, operation, alias.name, right)
    bring = _brought(state, operation, alias.name, right)
    state.ordered = False
    if operation.kind not in _KEEPS_ORDER:
        finish_sort(state)
        state.order = ()
    schema = (*state.relation.columns, *(p.Column(name, value.type) for name, value in bring.items()))
    result = Relation(schema, state.relation.open)
    if operation.kind == "asof":
        hint = "until then: an inner join on the range, then `dedupe by … keep last …`"
        state.error("E903", "`asof join` is not supported yet", operation.span, hint)
        return None, result
    return p.JoinTo(operation.kind, operation.right.name, test, tuple(bring.items()), span=operation.span), result


def _test(state: StepState, operation: t.Join, alias: str, right: Relation) -> p.Expression | None:
    if operation.on is None:
        if operation.kind != "cross":
            hint = f"say which rows belong together: on id == {alias}.id"
            state.error("E413", f"`{_name(operation)}` needs `on`", operation.span, hint)
        return None
    test = state.expressions.boolean(operation.on, state.place(aliases={alias: right}))
    if operation.kind == "cross":
        hint = "a cross join pairs each row with each: use `inner join … on …`"
        state.error("E413", "`cross join` takes no `on`", operation.on.span, hint)
        return None
    return test


def _name(operation: t.Join) -> str:
    return "lookup" if operation.kind == "lookup" else f"{operation.kind} join"


def _brought(state: StepState, operation: t.Join, alias: str, right: Relation) -> dict[str, p.ColumnRef]:
    """The columns that arrive, by the names that they get."""
    if operation.kind in ("semi", "anti") and operation.bring:
        message = f"`{_name(operation)}` only tests for a match: it brings nothing"
        state.error("E413", message, operation.bring[0].span, "`inner join` or `left join` bring columns")
        return {}
    result: dict[str, p.ColumnRef] = {}
    for assign in operation.bring:
        name = assign.name or (assign.value.name if isinstance(assign.value, t.Name | t.Field) else None)
        value = _column(state, assign, alias, right)
        if name is None or value is None:
            continue
        given_once(state, name, result, assign)
        if name in state.relation.by_name and name not in result:
            hint = f"rename it: bring {alias}_{name} = {alias}.{value.name}"
            span = assign.name_span if assign.name_span.end else assign.value.span
            state.error("E208", f"there is a column '{name}' already", span, hint)
        result[name] = value
    return result


def _column(state: StepState, assign: t.Assign, alias: str, right: Relation) -> p.ColumnRef | None:
    """`c.segment`, a column of the joined table. Everything else is an error."""
    value = assign.value
    match value:
        case t.Field(base=t.Name(name=base), name=name) if base == alias:
            column = right.get(name)
            if column is not None:
                return p.ColumnRef(column.type, name, side=1, span=value.span)
            hint = guess(name, right.names, f"columns of '{alias}'")
            state.error("E203", f"unknown column '{alias}.{name}' in step '{state.name}'", value.span, hint)
        case t.Name(name=name):
            known = right.by_name.get(name) is not None
            hint = f"write {alias}.{name}" if known else guess(name, right.names, f"columns of '{alias}'")
            message = f"`bring` names columns of the joined input '{alias}'"
            state.error("E209", message, value.span, hint)
        case t.Field(base=t.Name(name=base)):
            message = f"'{base}' is not the joined input here"
            state.error("E209", message, value.span, f"it is called '{alias}': bring {alias}.{value.name}")
        case _:
            hint = "bring the columns, then `derive` from them"
            state.error("E413", "`bring` takes columns, not expressions", value.span, hint)
    return None


def union(state: StepState, operation: t.Union) -> Done:
    other = state.table(operation.other)
    finish_sort(state)
    state.order, state.ordered = (), False
    if not _same_names(state, operation, other):
        return None, Relation(state.relation.columns, state.relation.open or other.open)
    columns: list[tuple[str, p.Expression, p.Expression]] = []
    schema = []
    for column in state.relation.columns:
        below = other.get(column.name)
        if below is None:  # only where one of the two is not known in full
            continue
        mine = p.ColumnRef(column.type, column.name, span=operation.span)
        theirs = p.ColumnRef(below.type, below.name, side=1, span=operation.span)
        common = common_type([column.type, below.type])
        if common is None:
            message = f"column '{column.name}' is {column.type} here and {below.type} in '{operation.other.name}'"
            state.error("E316", message, operation.other.span, f"cast one of them: | cast {column.name}: {below.type}")
            common = column.type
        columns.append((column.name, convert(mine, common), convert(theirs, common)))
        schema.append(p.Column(column.name, common))
    lowered = p.UnionWith(operation.other.name, tuple(columns), span=operation.span)
    return lowered, Relation(tuple(schema), state.relation.open or other.open)


def _same_names(state: StepState, operation: t.Union, other: Relation) -> bool:
    mine, theirs = state.relation.by_name, other.by_name
    missing = [] if other.open else [name for name in mine if name not in theirs]
    extra = [] if state.relation.open else [name for name in theirs if name not in mine]
    if not missing and not extra:
        return True
    words = []
    if missing:
        words.append(f"'{operation.other.name}' lacks {listing(missing)}")
    if extra:
        words.append(f"'{state.name}' lacks {listing(extra)}")
    hint = "select the same columns on both sides, or derive what is missing"
    state.error("E316", f"a union matches columns by name: {'; '.join(words)}", operation.other.span, hint)
    return False


HANDLERS: Handlers = {t.Join: join, t.Union: union}
