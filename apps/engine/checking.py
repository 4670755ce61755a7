"""Expectations → SELECTs that give one row: how many rows fail, and how many there are."""

from sqlglot import exp

from apps.engine.expressions import Emitter
from apps.engine.nodes import all_of, call, count_where, is_there, when
from apps.engine.relations import named, reference, select
from apps.engine.types import number
from apps.language.plan import Check


def emit(check: Check, relation: exp.Table, other: exp.Table | None, emitter: Emitter) -> exp.Select:
    """`failed_rows, total_rows` over `relation` (alias `l`); `other` has the alias `r`.

    An expectation that is null passes. unique: every row whose key another row has fails, keys with a null aside.
    references: a null refers to nothing and passes. table: fails with one row of one.
    """
    match check.kind:
        case "row":
            assert check.test is not None
            return _counted(relation, exp.Not(this=emitter.test(check.test)))
        case "unique":
            return _unique(check, relation)
        case "references":
            assert other is not None
            return _references(check, relation, other)
        case "table":
            assert check.test is not None
            fails = exp.Not(this=emitter.test(check.test))
            return _result(relation, when(fails, number(1), number(0)), number(1))


def _result(source: exp.Expression, failed: exp.Expression, total: exp.Expression) -> exp.Select:
    big = exp.DataType.build("BIGINT")
    columns = [
        named(exp.Cast(this=failed, to=big.copy()), "failed_rows"),
        named(exp.Cast(this=total, to=big.copy()), "total_rows"),
    ]
    return select(columns, source)


def _counted(source: exp.Expression, fails: exp.Expression) -> exp.Select:
    return _result(source, count_where(fails), exp.Count(this=exp.Star()))


def _unique(check: Check, relation: exp.Table) -> exp.Select:
    keys: list[exp.Expression] = [reference(name) for name in check.columns]
    rows = exp.Count(this=exp.Star())
    groups = select([named(rows, "n"), *[named(key, f"k{place}") for place, key in enumerate(keys)]], relation)
    groups.set("group", exp.Group(expressions=[key.copy() for key in keys]))
    there = [is_there(reference(f"k{place}")) for place in range(len(keys))]
    repeated = all_of([exp.GT(this=reference("n"), expression=number(1)), *there])
    failed = when(repeated, reference("n"), number(0))
    source = exp.Subquery(this=groups, alias=exp.TableAlias(this=exp.to_identifier("l", quoted=True)))
    total = call("sum", reference("n"))
    return _result(source, _or_zero(call("sum", failed)), _or_zero(total))


def _references(check: Check, relation: exp.Table, other: exp.Table) -> exp.Select:
    pairs = zip(check.columns, check.other_columns, strict=True)
    same = [exp.EQ(this=reference(mine), expression=reference(theirs, 1)) for mine, theirs in pairs]
    target = select([number(1)], other)
    target.set("where", exp.Where(this=all_of(same)))
    there = [is_there(reference(name)) for name in check.columns]
    return _counted(relation, all_of([*there, exp.Not(this=exp.Exists(this=target))]))


def _or_zero(value: exp.Expression) -> exp.Expression:
    return call("coalesce", value, number(0))
