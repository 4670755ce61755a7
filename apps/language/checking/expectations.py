"""Expectations: what must be true of a step's rows, each as a check that the engine can count."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Literal

from apps.language import plan as p
from apps.language import tree as t
from apps.language import types
from apps.language.checking import constants, operators
from apps.language.checking.expressions import Expressions
from apps.language.checking.findings import a, guess
from apps.language.checking.places import NOTHING, Place, Relation
from apps.language.checking.walking import walk
from apps.language.checking.written import written
from apps.language.diagnostics import Span
from apps.language.functions import AGGREGATES
from apps.language.functions.conversion import common_type, convert, is_unknown

Kind = Literal["row", "unique", "references", "table"]
Severity = Literal["fail", "warn"]

_TABLE_RULES = ("row_count", "freshness")


class Expectations:
    """Checks the expectations of one flow. `tables` are its sources and steps."""

    def __init__(self, expressions: Expressions, tables: Mapping[str, Relation]) -> None:
        self.expressions = expressions
        self.findings = expressions.findings
        self.tables = tables

    def check(self, expect: t.Expect, relation: Relation) -> list[p.Check]:
        checks = []
        for rule in expect.rules:
            found = self._rule(rule, expect.step.name, relation)
            if found is not None:
                checks.append(found)
        return checks

    def _rule(self, rule: t.Rule, step: str, relation: Relation) -> p.Check | None:
        severity = self._severity(rule)
        share = self._share(rule)
        test = rule.test
        while isinstance(test, t.Group):
            test = test.inner
        place = Place(relation, f"step '{step}'")
        kind: Kind = "row"
        columns: tuple[str, ...] = ()
        other, other_columns = "", columns
        expression: p.Expression | None = None
        match test:
            case t.Call(name="not_null"):
                columns = self._columns(test, relation, step)
                expression = self._all_there(columns, relation, test.span)
            case t.Call(name="unique"):
                kind, columns = "unique", self._columns(test, relation, step)
            case t.Call(name="references"):
                kind = "references"
                columns, other, other_columns = self._reference(test, relation, step)
            case t.Call(name="in_set"):
                expression = self._in_set(test, place)
            case t.Call(name="matches"):
                expression = self._matches(test, place)
            case _:
                kind, expression = self._free(test, place)
        if kind == "table" and share is not None:
            message = "`max` is a share of the rows, but this rule is about the whole table"
            self.findings.error("E414", message, rule.span, "leave `max` out: the table passes or fails as a whole")
        if severity is None:
            return None
        return p.Check(
            step, kind, written(rule.test), expression, columns, severity, share, other, other_columns, span=rule.span
        )

    def _severity(self, rule: t.Rule) -> Severity | None:
        severity = rule.severity or "fail"
        if severity == "fail" or severity == "warn":  # as mypy reads it
            return severity
        hint = "for now: fail or warn, and a `where` in a step of its own for rows to leave out"
        self.findings.error("E904", f"the severity {severity} is not supported yet", rule.span, hint)
        return None

    def _share(self, rule: t.Rule) -> Decimal | None:
        if rule.max_percent is None:
            return None
        percent = Decimal(rule.max_percent.replace("_", ""))
        if not 0 <= percent <= 100:
            self.findings.error("E414", f"{rule.max_percent}% is not between 0% and 100%", rule.span, "max 0.5%")
            return None
        return percent / 100

    # --- rules with names --------------------------------------------------------------------

    def _columns(self, call: t.Call, relation: Relation, step: str) -> tuple[str, ...]:
        """The arguments as names of columns."""
        found: list[str] = []
        if not call.args:
            self.findings.error("E414", f"`{call.name}` needs columns", call.span, f"{call.name}(order_id)")
        for arg in call.args:
            if not isinstance(arg, t.Name):
                hint = "derive a column in the step, or write the test itself: `… is not null`"
                self.findings.error("E414", f"`{call.name}` takes names of columns", arg.span, hint)
            elif relation.get(arg.name) is None:
                self._unknown_column(arg.name, relation, f"step '{step}'", arg.span)
            elif arg.name in found:
                self.findings.error("E208", f"column '{arg.name}' is given twice", arg.span)
            else:
                found.append(arg.name)
        return tuple(found)

    def _unknown_column(self, name: str, relation: Relation, what: str, span: Span) -> None:
        hint = guess(name, relation.names, "columns here")
        self.findings.error("E203", f"unknown column '{name}' in {what}", span, hint)

    def _all_there(self, columns: tuple[str, ...], relation: Relation, span: Span) -> p.Expression | None:
        tests: list[p.Expression] = []
        for name in columns:
            column = relation.get(name)
            assert column is not None
            value = p.ColumnRef(column.type, name, span=span)
            missing = p.Apply(types.BOOL, "is_null", (value,), span=span)
            tests.append(p.Apply(types.BOOL, "not", (missing,), span=span))
        if not tests:
            return None
        result = tests[0]
        for test in tests[1:]:
            result = p.Apply(types.BOOL, "and", (result, test), span=span)
        return result

    def _in_set(self, call: t.Call, place: Place) -> p.Expression | None:
        match call.args:
            case (value, t.ListLiteral(items=items)) if items:
                return self.expressions.check(t.In(value, items, span=call.span), place)
        self.findings.error("E414", "`in_set` takes a value and a list", call.span, 'in_set(status, ["paid", "open"])')
        return None

    def _matches(self, call: t.Call, place: Place) -> p.Expression | None:
        if len(call.args) != 2 or not isinstance(call.args[1], t.Text):
            hint = 'matches(email, "^[^@]+@[^@]+$")'
            self.findings.error("E414", "`matches` takes a value and a pattern in quotes", call.span, hint)
            return None
        problem = constants.pattern_problem(call.args[1].value)
        if problem:
            self.findings.error("E312", problem[0], call.args[1].span, problem[1])
            return None
        value = self.expressions.check(call.args[0], place)
        if value.type.kind not in (types.TEXT.kind, types.NULL.kind):
            message = f"the first argument of 'matches' is a text, not {a(value.type)}"
            self.findings.error("E302", message, value.span, "to_text(…) makes a text of it: derive it in the step")
            return None
        pattern = self.expressions.check(call.args[1], place)
        return p.Apply(types.BOOL, "regex_match", (convert(value, types.TEXT), pattern), span=call.span)

    def _reference(self, call: t.Call, relation: Relation, step: str) -> tuple[tuple[str, ...], str, tuple[str, ...]]:
        """`references(customer_id, customers.id)`."""
        match call.args:
            case (t.Name(name=name) as mine, t.Field(base=t.Name(name=table), name=other) as theirs):
                pass
            case _:
                hint = "references(customer_id, customers.id)"
                message = "`references` takes a column and a column of a source or step"
                self.findings.error("E414", message, call.span, hint)
                return (), "", ()
        target = self.tables.get(table)
        if target is None:
            hint = guess(table, self.tables, "sources and steps")
            self.findings.error("E202", f"unknown source or step '{table}'", theirs.base.span, hint)
            return (), "", ()
        column, referred = relation.get(name), target.get(other)
        if column is None:
            self._unknown_column(name, relation, f"step '{step}'", mine.span)
        if referred is None:
            self._unknown_column(other, target, f"'{table}'", theirs.span)
        if column and referred and common_type([column.type, referred.type]) is None:
            message = f"'{name}' is {column.type}, but '{table}.{other}' is {referred.type}"
            self.findings.error("E304", message, call.span, "cast one of the two")
        return (name,), table, (other,)

    # --- any test ----------------------------------------------------------------------------

    def _free(self, test: t.Expr, place: Place) -> tuple[Kind, p.Expression]:
        """A true/false expression: of each row, or with aggregates of the whole table."""
        if not _is_of_table(test):
            return "row", self.expressions.boolean(test, place)
        whole = Place(place.relation, place.what, reach="table", keys=NOTHING)
        value = self.expressions.check(test, whole)
        if isinstance(test, t.Call) and test.name in _TABLE_RULES and not is_unknown(value.type):
            hint = "row_count() > 0" if test.name == "row_count" else "freshness(ts) <= 2h"
            self.findings.error("E414", f"`{test.name}` gives a value to compare", test.span, hint)
            return "table", convert(p.Const(types.NULL, None, span=test.span), types.BOOL)
        return "table", operators.boolean(self.expressions, value, whole)


def _is_of_table(test: t.Expr) -> bool:
    names = {node.name for node in walk(test) if isinstance(node, t.Call)}
    return any(name in AGGREGATES or name in _TABLE_RULES for name in names)
