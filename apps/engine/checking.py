"""Expectations → SELECTs that give one row: how many rows fail, and how many there are."""

from apps.engine.expressions import Emitter
from apps.engine.nodes import all_of, binary, call, count_rows, count_where, equal, is_there, when
from apps.engine.relations import reference
from apps.engine.sql import Call, Cast, Exists, Not, Number, Select, Sql, Subquery, Table
from apps.language.plan import Check


def emit(check: Check, relation: Table, other: Table | None, emitter: Emitter) -> Select:
    """`failed_rows, total_rows` over `relation` (alias `l`); `other` has the alias `r`.

    An expectation that is null passes. unique: every row whose key another row has fails, keys with a null aside.
    references: a null refers to nothing and passes. table: fails with one row of one.
    """
    match check.kind:
        case "row":
            assert check.test is not None
            return _counted(relation, Not(emitter(check.test)))
        case "unique":
            return _unique(check, relation)
        case "references":
            assert other is not None
            return _references(check, relation, other)
        case "table":
            assert check.test is not None
            return _result(relation, when(Not(emitter(check.test)), Number(1), Number(0)), Number(1))


def _result(source: Sql, failed: Sql, total: Sql) -> Select:
    return Select((("failed_rows", Cast(failed, "BIGINT")), ("total_rows", Cast(total, "BIGINT"))), source)


def _counted(source: Sql, fails: Sql) -> Select:
    return _result(source, count_where(fails), count_rows())


def _unique(check: Check, relation: Table) -> Select:
    keys = tuple(reference(name) for name in check.columns)
    names = [f"k{place}" for place in range(len(keys))]
    groups = Select((("n", count_rows()), *zip(names, keys, strict=True)), relation, group=keys)
    rows = reference("n")
    repeated = all_of([binary(">", rows, Number(1)), *(is_there(reference(name)) for name in names)])
    failed = call("sum", when(repeated, rows, Number(0)))
    return _result(Subquery(groups, "l"), _or_zero(failed), _or_zero(call("sum", rows)))


def _references(check: Check, relation: Table, other: Table) -> Select:
    pairs = zip(check.columns, check.other_columns, strict=True)
    same = all_of([equal(reference(mine), reference(theirs, 1)) for mine, theirs in pairs])
    found = Exists(Select((("found", Number(1)),), other, where=same))
    return _counted(relation, all_of([*(is_there(reference(name)) for name in check.columns), Not(found)]))


def _or_zero(value: Call) -> Sql:
    return call("coalesce", value, Number(0))
