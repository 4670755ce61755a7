"""In-file tests: made-up rows of sources, the expected rows of steps, and what of them is missing."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apps.language import plan as p
from apps.language import tree as t
from apps.language.checking.expressions import Expressions
from apps.language.checking.findings import guess, listing
from apps.language.checking.parameters import of_type, params_of, refusal
from apps.language.checking.places import NOTHING, Place, Relation
from apps.language.functions.conversion import is_unknown
from apps.language.values import LiteralError, read


@dataclass
class Cases:
    """Checks the tests of one flow, whose other parts are known."""

    expressions: Expressions
    sources: Mapping[str, Relation]
    steps: Mapping[str, p.StepTable]
    relations: Mapping[str, Relation]  # of the steps
    parameters: Mapping[str, p.Parameter]
    unsure: Collection[str]  # names that are in error elsewhere

    def check(self, test: t.Test) -> p.TestCase:
        params = [self._param(clause, test) for clause in test.clauses if isinstance(clause, t.With)]
        given = self._tables([c for c in test.clauses if isinstance(c, t.Given)], self.sources, "source")
        then = self._tables([c for c in test.clauses if isinstance(c, t.Then)], self.relations, "step")
        if not any(isinstance(clause, t.Then) for clause in test.clauses):
            hint = "add `then STEP` with the rows that are expected"
            self._error("E417", "this test expects nothing", test, hint)
        self._check_complete(test, given, then)
        values = tuple((name, value) for name, value in params if value is not None)
        return p.TestCase(test.title, values, tuple(given), tuple(then), span=test.span)

    def _error(self, code: str, message: str, node: t.Node, hint: str = "") -> None:
        self.expressions.findings.error(code, message, node.span, hint)

    # --- with --------------------------------------------------------------------------------

    def _param(self, clause: t.With, test: t.Test) -> tuple[str, p.Expression | None]:
        parameter = self.parameters.get(clause.name)
        if parameter is None and clause.name in self.unsure:
            return clause.name, None
        if parameter is None:
            known = [*self.parameters]
            self._error("E204", f"unknown parameter '{clause.name}'", clause, guess(clause.name, known, "parameters"))
            return clause.name, None
        first = next(each for each in test.clauses if isinstance(each, t.With) and each.name == clause.name)
        if first is not clause:
            self._error("E417", f"'{clause.name}' is given twice in this test", clause, "keep one of the two")
        place = Place(NOTHING, f"test '{test.title}'", constant="a value in a test is a constant", params=False)
        value = self.expressions.check(clause.value, place)
        value = of_type(value, parameter.type, self.expressions, f"the value of '{clause.name}'", place)
        if isinstance(value, p.Const) and not is_unknown(value.type):
            problem = refusal(parameter, value) if value.value is not None else ""
            if problem:
                message = f"'{clause.name}' does not allow this: {problem}"
                self._error("E411", message, clause.value, "use a value that the parameter allows")
        return clause.name, value

    # --- tables ------------------------------------------------------------------------------

    def _tables(
        self, clauses: Sequence[t.Given | t.Then], known: Mapping[str, Relation], what: str
    ) -> list[p.TestTable]:
        tables: list[p.TestTable] = []
        for clause in clauses:
            name = clause.source if isinstance(clause, t.Given) else clause.step
            relation = known.get(name.name)
            if name.name in self.unsure:
                continue
            if relation is None:
                self._unknown_table(name, known, what)
                continue
            if any(table.name == name.name for table in tables):
                self._error("E417", f"'{name.name}' stands in this test twice", name, "put all its rows into one table")
                continue
            tables.append(self._table(clause.table, name, relation, fill=what == "source"))
        return tables

    def _unknown_table(self, name: t.Name, known: Mapping[str, Relation], what: str) -> None:
        word = "given" if what == "source" else "then"
        if name.name in (self.relations if what == "source" else self.sources):
            hint = "give the sources that the step reads" if what == "source" else "expect the rows of a step"
            self._error("E210", f"`{word}` takes a {what}, and '{name.name}' is none", name, hint)
        else:
            self._error("E202", f"unknown {what} '{name.name}'", name, guess(name.name, known, f"{what}s"))

    def _table(self, table: t.Table, name: t.Name, relation: Relation, *, fill: bool) -> p.TestTable:
        """The table's values. `fill` adds the columns that are left out, as nulls."""
        header = self._header(table, name, relation)
        columns = [column for column in header if column is not None]
        rest = [column for column in relation.columns if fill and column not in columns]
        rows = []
        for row in table.rows:
            if len(row) != len(table.header):
                continue  # the parser has said so
            values = [self._cell(cell, column) for cell, column in zip(row, header, strict=True) if column is not None]
            rows.append((*values, *(None for _ in rest)))
        return p.TestTable(name.name, (*columns, *rest), tuple(rows), span=name.span)

    def _header(self, table: t.Table, name: t.Name, relation: Relation) -> list[p.Column | None]:
        """The columns by their names, None for one in error."""
        found: list[p.Column | None] = []
        for written in table.header:
            column = relation.get(written.name)
            if column is None:
                hint = guess(written.name, relation.names, "its columns")
                self._error("E203", f"unknown column '{written.name}' in '{name.name}'", written, hint)
            elif column in found:
                self._error("E208", f"column '{written.name}' is given twice", written, "keep one of the two")
                column = None
            found.append(column)
        return found

    def _cell(self, cell: t.Cell, column: p.Column) -> Any:
        if cell.text is None or is_unknown(column.type):
            return None
        try:
            return read(cell.text, column.type)
        except LiteralError as problem:
            self._error("E416", f"column '{column.name}': {problem.message}", cell, problem.hint)
            return None

    # --- what is missing ---------------------------------------------------------------------

    def _check_complete(self, test: t.Test, given: Sequence[p.TestTable], then: Sequence[p.TestTable]) -> None:
        """Every source and every parameter that the tested steps need has to have a value: never the real one."""
        sources, params = self._needs([table.name for table in then])
        missing = [name for name in sources if name not in {table.name for table in given}]
        written = {clause.source.name for clause in test.clauses if isinstance(clause, t.Given)}
        missing = [name for name in missing if name not in written]
        if missing:
            hint = f"add `given {missing[0]}` with a table; a table with a header and no rows is an empty source"
            self._error("E415", f"the test '{test.title}' does not give {listing(missing)}", test, hint)
        told = {clause.name for clause in test.clauses if isinstance(clause, t.With)}
        for name in params:
            parameter = self.parameters.get(name)
            if parameter is not None and parameter.default is None and name not in told:
                message = f"the test '{test.title}' gives no value to @{name}, which has no default"
                self._error("E418", message, test, f"add `with {name} = …`")

    def _needs(self, targets: Sequence[str]) -> tuple[list[str], list[str]]:
        """The sources and parameters on which steps depend, in the order in which they are met."""
        pending, seen = list(targets), set(targets)
        sources: dict[str, None] = {}
        params: dict[str, None] = {}
        while pending:
            step = self.steps[pending.pop()]
            params.update(dict.fromkeys(params_of(step)))
            for name in _inputs(step):
                if name in self.sources:
                    sources[name] = None
                elif name in self.steps and name not in seen:
                    seen.add(name)
                    pending.append(name)
        return [*sources], [*params]


def _inputs(step: p.StepTable) -> list[str]:
    others = [
        operation.right if isinstance(operation, p.JoinTo) else operation.other
        for operation in step.operations
        if isinstance(operation, p.JoinTo | p.UnionWith)
    ]
    return [step.input, *others]
