"""Operations on columns: where, derive, select, drop, rename, cast."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from apps.language import plan as p
from apps.language import tree as t
from apps.language.checking.calls import cast_hint
from apps.language.checking.findings import a, guess
from apps.language.checking.places import Relation
from apps.language.checking.steps import Done, Handlers, StepState
from apps.language.checking.walking import columns_in
from apps.language.diagnostics import Span
from apps.language.functions.conversion import can_cast
from apps.language.types import Kind

Columns = dict[str, p.Expression]


def where(state: StepState, operation: t.Where) -> Done:
    test = state.expressions.boolean(operation.test, state.place())
    state.ordered = False
    return p.Filter(test, span=operation.span), state.relation


def derive(state: StepState, operation: t.Derive) -> Done:
    result = passed_on(state.relation)
    result.update(assigned(state, operation.columns, may_lack_names=False))
    return project(state, result, operation.span)


def select(state: StepState, operation: t.Select) -> Done:
    return project(state, assigned(state, operation.columns, may_lack_names=True), operation.span, closed=True)


def drop(state: StepState, operation: t.Drop) -> Done:
    result = passed_on(state.relation)
    for name in operation.columns:
        if known(state, name):
            result.pop(name.name, None)
    if not result and state.relation.columns and not state.relation.open:
        hint = "select the columns that are to stay"
        state.error("E420", f"step '{state.name}' would have no columns left", operation.span, hint)
    return project(state, result, operation.span)


def rename(state: StepState, operation: t.Rename) -> Done:
    new_names: dict[str, t.Name] = {}
    for new, old in operation.pairs:
        if old.name in new_names:
            state.error("E208", f"column '{old.name}' is renamed twice", old.span)
        elif known(state, old):
            new_names[old.name] = new
    result: Columns = {}
    for name, value in passed_on(state.relation).items():
        new_name = new_names[name].name if name in new_names else name
        if new_name in result:
            collided(state, new_name, new_names.get(name) or new_names[_old(new_names, new_name)])
        result[new_name] = value
    return project(state, result, operation.span)


def _old(new_names: Mapping[str, t.Name], name: str) -> str:
    return next(old for old, new in new_names.items() if new.name == name)


def collided(state: StepState, name: str, new: t.Name) -> None:
    hint = "choose another name, or drop the other column first"
    state.error("E208", f"there is a column '{name}' already", new.span, hint)


def cast(state: StepState, operation: t.CastColumns) -> Done:
    result = passed_on(state.relation)
    seen: set[str] = set()
    for name, target in operation.columns:
        if name.name in seen:
            state.error("E208", f"column '{name.name}' is cast twice", name.span)
        seen.add(name.name)
        if not known(state, name):
            continue
        value = replace(result.get(name.name) or column(state.relation, name.name), span=name.span)
        if not can_cast(value.type, target):
            code = "E908" if Kind.JSON in (value.type.kind, target.kind) else "E313"
            message = f"{a(value.type)} cannot become {a(target)}"
            state.error(code, message, name.span, cast_hint(value.type, target))
        result[name.name] = value if value.type == target else p.Apply(target, "cast", (value,), span=name.span)
    return project(state, result, operation.span)


# --- tools ---------------------------------------------------------------------------------


def column(relation: Relation, name: str) -> p.Expression:
    found = relation.get(name)
    assert found is not None
    return p.ColumnRef(found.type, name)


def passed_on(relation: Relation) -> Columns:
    """The columns as they are."""
    return {each.name: p.ColumnRef(each.type, each.name) for each in relation.columns}


def known(state: StepState, name: t.Name) -> bool:
    """Whether a bare name is a column; if not, that is an error."""
    if state.relation.get(name.name) is not None:
        return True
    hint = guess(name.name, state.relation.names, "columns here")
    state.error("E203", f"unknown column '{name.name}' in step '{state.name}'", name.span, hint)
    return False


def assigned(state: StepState, columns: Iterable[t.Assign], *, may_lack_names: bool) -> Columns:
    """Named expressions, typed over the operation's input; a name given twice is an error."""
    result: Columns = {}
    for assign in columns:
        name = state.name_of(assign, may_lack=may_lack_names)
        value = state.expressions.check(assign.value, state.place())
        if name is None:
            continue
        given_once(state, name, result, assign)
        result[name] = value
    return result


def given_once(state: StepState, name: str, given: Iterable[str], assign: t.Assign) -> None:
    if name in given:
        span = assign.name_span if assign.name is not None and assign.name_span.end else assign.value.span
        state.error("E208", f"the name '{name}' is given twice", span, "in one operation each name is given once")


def project(state: StepState, columns: Columns, span: Span, *, closed: bool = False) -> Done:
    """An operation whose whole output is written out."""
    schema = tuple(p.Column(name, state.column_type(name, value)) for name, value in columns.items())
    carry_order(state, columns)
    return p.Project(tuple(columns.items()), span=span), Relation(schema, state.relation.open and not closed)


def carry_order(state: StepState, columns: Columns) -> None:
    """Keeps the sort before in force if its columns are still there, under whatever name."""
    state.ordered = False
    names = {value.name: name for name, value in reversed(columns.items()) if isinstance(value, p.ColumnRef)}
    kept = []
    for key in state.order:
        used = columns_in(key.value)
        if all(names.get(name) == name for name in used):
            kept.append(key)
        elif isinstance(key.value, p.ColumnRef) and key.value.name in names:
            kept.append(replace(key, value=replace(key.value, name=names[key.value.name])))
        else:
            state.lost_sort = True
            kept = []
            break
    state.order = tuple(kept)


HANDLERS: Handlers = {
    t.Where: where, t.Derive: derive, t.Select: select, t.Drop: drop, t.Rename: rename, t.CastColumns: cast,
}  # fmt: skip
