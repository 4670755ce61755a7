"""A whole flow: its names, the order of its steps, and one part after the other."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

from apps.language import plan as p
from apps.language import tree as t
from apps.language.checking import columns, gathering, header, joining, usage
from apps.language.checking.cases import Cases
from apps.language.checking.endpoints import Endpoints, check_targets, warn_of_replaced_sources
from apps.language.checking.expectations import Expectations
from apps.language.checking.expressions import Expressions, Names
from apps.language.checking.findings import Findings, guess
from apps.language.checking.ordering import Order, in_order
from apps.language.checking.parameters import param_type, parameter
from apps.language.checking.places import ANYTHING, NOTHING, Place, Relation
from apps.language.checking.schemas import SchemaReader
from apps.language.checking.steps import Handlers, check_step
from apps.language.checking.walking import walk
from apps.language.functions import CALLABLE
from apps.language.functions.conversion import UNKNOWN

HANDLERS: Handlers = {**columns.HANDLERS, **gathering.HANDLERS, **joining.HANDLERS}

# Where names of one kind stand together, by the keyword that gives them.
_NAMESPACES = {"source": "table", "step": "table", "param": "parameter", "fn": "fn"}
# Errors in names: what seems to be idle may be what was meant.
_HIDES_USE = ("E201", "E202", "E204", "E205", "E210", "E213")

Named = TypeVar("Named", t.Source, t.Step, t.Param, t.Function)


class FlowChecker:
    """Checks one tree. `check` is called once and gives the plan, which is whole only if there is no error."""

    def __init__(self, tree: t.FlowFile, read_schema: SchemaReader) -> None:
        self.tree = tree
        self.findings = Findings()
        self.endpoints = Endpoints(self.findings, read_schema)
        self.tables: dict[str, Relation] = {}
        self.steps: dict[str, t.Step] = {}
        self.sources: dict[str, t.Source] = {}
        # Names that mean nothing certain: given twice, or by a statement that could not be read. What uses them is
        # not to blame.
        self.unsure: dict[str, set[str]] = {}
        for keyword, name in tree.broken:
            self.unsure.setdefault(_NAMESPACES[keyword], set()).add(name)

    def check(self) -> p.Plan:
        settings = header.settings(self.tree.header, self.findings)
        self._collect_tables()
        params = {param.name: param for param in self._unique(t.Param, "parameter")}
        functions = {function.name: function for function in self._unique(t.Function, "fn")}
        expressions = self._expressions(params, functions, settings)
        parameters = [parameter(param, expressions.names.params[name], expressions) for name, param in params.items()]
        self._check_functions(functions, expressions)
        sources = [self._source(source) for source in self.sources.values()]
        steps = self._check_steps(expressions)
        checks = self._check_expectations(expressions)
        sinks = self._check_sinks(sources)
        if not self.tree.broken and not self.findings.has(*_HIDES_USE):
            usage.warn_of_idle(self.tree, self.findings, expressions.names, self.sources, self.steps, functions)
        tests = self._check_tests(expressions, parameters, steps)
        return p.Plan(
            self.tree.header.name, settings, tuple(parameters), tuple(sources), tuple(steps), tuple(checks),
            tuple(sinks), tuple(tests),
        )  # fmt: skip

    def _statements(self, kind: type[Any]) -> Iterator[Any]:
        return (statement for statement in self.tree.statements if isinstance(statement, kind))

    # --- names -------------------------------------------------------------------------------

    def _unique(self, kind: type[Named], what: str) -> list[Named]:
        """The statements of a kind, the first of each name."""
        found: dict[str, Named] = {}
        for statement in self._statements(kind):
            if statement.name in found:
                self._twice(what, statement, found[statement.name])
            elif kind is t.Function and statement.name in CALLABLE:
                message = f"'{statement.name}' is a function of the language"
                self.findings.error("E213", message, _name_span(statement), "choose another name for the fn")
            else:
                found[statement.name] = statement
        return list(found.values())

    def _twice(self, what: str, second: Any, first: Any) -> None:
        line = _name_span(first).line
        message = f"there is a {what} '{second.name}' already, in line {line}"
        self.unsure.setdefault("table" if what in ("source", "step") else what, set()).add(second.name)
        self.findings.error("E201", message, _name_span(second), "choose another name")

    def _collect_tables(self) -> None:
        """Sources and steps share their names: both are what a step reads."""
        first: dict[str, t.Source | t.Step] = {}
        for statement in self._statements(t.Source | t.Step):  # type: ignore[arg-type]
            what = "source" if isinstance(first.get(statement.name), t.Source) else "step"
            if statement.name in first:
                self._twice(what, statement, first[statement.name])
                continue
            first[statement.name] = statement
            if isinstance(statement, t.Source):
                self.sources[statement.name] = statement
            else:
                self.steps[statement.name] = statement
        self.tables.update(dict.fromkeys(self.unsure.get("table", ()), ANYTHING))

    # --- parameters and fns ------------------------------------------------------------------

    def _expressions(
        self, params: Mapping[str, t.Param], functions: Mapping[str, t.Function], settings: p.Settings
    ) -> Expressions:
        bodies = {
            name: frozenset(node.name for node in walk(function.body) if isinstance(node, t.Name))
            for name, function in functions.items()
        }
        names = Names({}, functions, bodies, timezone=settings.timezone)
        expressions = Expressions(names, self.findings)
        names.params = dict.fromkeys(self.unsure.get("parameter", ()), UNKNOWN)
        names.params |= {name: param_type(param, expressions) for name, param in params.items()}
        names.unsure = self.unsure.get("fn", set())
        return expressions

    def _check_functions(self, functions: Mapping[str, t.Function], expressions: Expressions) -> None:
        """Each fn by itself, after those that it calls, so that what is wrong in a body is said once and there."""
        calls = {
            name: [node.name for node in walk(function.body) if isinstance(node, t.Call) and node.name in functions]
            for name, function in functions.items()
        }
        order = in_order(calls)
        self._report_cycles(order, functions, "E207", "fn", "a fn cannot call itself, nor in a circle")
        expressions.names.broken.update(order.in_cycles)
        for name in order.names:
            function = functions[name]
            repeated = [arg for arg, count in Counter(function.args).items() if count > 1]
            before = self.findings.error_count
            if repeated:
                message = f"fn '{name}' has two arguments '{repeated[0]}'"
                self.findings.error("E208", message, _name_span(function), "name each argument once")
            if name not in order.in_cycles:
                bound = dict.fromkeys(function.args)
                place = Place(NOTHING, f"fn '{name}'", reach="any", arguments=bound, function=name)
                expressions.check(function.body, place)
            if self.findings.error_count > before:
                expressions.names.broken.add(name)

    def _report_cycles(self, order: Order, nodes: Mapping[str, Any], code: str, what: str, hint: str) -> None:
        told: set[str] = set()
        for cycle in order.cycles:
            if told & set(cycle):
                continue  # a circle with a shortcut is one thing to mend
            told.update(cycle)
            first = nodes[cycle[0]]
            path = " → ".join((*cycle, cycle[0]))
            self.findings.error(code, f"{what} '{cycle[0]}' depends on itself: {path}", _name_span(first), hint)

    # --- sources, steps, sinks -----------------------------------------------------------------

    def _source(self, source: t.Source) -> p.SourceTable:
        table, relation = self.endpoints.source(source)
        self.tables[source.name] = ANYTHING if source.name in self.unsure.get("table", ()) else relation
        return table

    def _check_steps(self, expressions: Expressions) -> list[p.StepTable]:
        reads = {name: [each.name for each in _inputs(step)] for name, step in self.steps.items()}
        for name, step in self.steps.items():
            for table in _inputs(step):
                self._must_exist(table, f"step '{name}'")
        order = in_order({name: [each for each in names if each in self.steps] for name, names in reads.items()})
        self._report_cycles(order, self.steps, "E206", "step", "a step reads what is made before it: break the circle")
        for name in order.in_cycles:
            self.tables[name] = ANYTHING
        checked = []
        for name in order.names:
            lowered, relation = check_step(self.steps[name], expressions, self.tables, HANDLERS)
            self.tables[name] = ANYTHING if name in self.unsure.get("table", ()) else relation
            checked.append(lowered)
        return checked

    def _must_exist(self, name: t.Name, where: str) -> None:
        if name.name not in self.sources and name.name not in self.steps and name.name not in self.tables:
            hint = guess(name.name, [*self.sources, *self.steps], "sources and steps")
            self.findings.error("E202", f"unknown source or step '{name.name}' in {where}", name.span, hint)

    def _step(self, name: t.Name, what: str) -> Relation | None:
        """The columns of the step that a statement is about."""
        if name.name in self.unsure.get("table", ()):
            return None
        if name.name in self.steps:
            return self.tables[name.name]
        if name.name in self.sources:
            hint = f"make a step of it: step {name.name}_rows = {name.name}"
            self.findings.error("E210", f"`{what}` takes a step, and '{name.name}' is a source", name.span, hint)
        else:
            hint = guess(name.name, self.steps, "steps")
            self.findings.error("E202", f"unknown step '{name.name}'", name.span, hint)
        return None

    def _check_expectations(self, expressions: Expressions) -> list[p.Check]:
        expectations = Expectations(expressions, self.tables)
        checks = []
        for expect in self._statements(t.Expect):
            relation = self._step(expect.step, "expect")
            checks += expectations.check(expect, ANYTHING if relation is None else relation)
        return checks

    def _check_sinks(self, sources: Iterable[p.SourceTable]) -> list[p.SinkTable]:
        sinks = []
        for sink in self._statements(t.Sink):
            relation = self._step(sink.step, "sink")
            lowered = self.endpoints.sink(sink, ANYTHING if relation is None else relation)
            if lowered is not None:
                sinks.append((sink, lowered))
        check_targets(sinks, self.findings)
        warn_of_replaced_sources(sinks, sources, self.findings)
        return [lowered for _, lowered in sinks]

    def _check_tests(
        self, expressions: Expressions, parameters: Iterable[p.Parameter], steps: Iterable[p.StepTable]
    ) -> list[p.TestCase]:
        cases = Cases(
            expressions,
            {name: self.tables[name] for name in self.sources},
            {step.name: step for step in steps},
            {name: self.tables[name] for name in self.steps},
            {each.name: each for each in parameters},
            {name for names in self.unsure.values() for name in names},
        )
        return [cases.check(test) for test in self._statements(t.Test)]


def _inputs(step: t.Step) -> list[t.Name]:
    return [step.input, *gathering.inputs(step.operations)]


def _name_span(statement: Any) -> Any:
    """The name alone where the parser has marked it."""
    span = getattr(statement, "name_span", None)
    return span if span is not None and span.end else statement.span
