"""The values of a run's parameters: typed, defaulted, and held against what the flow allows."""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from apps.engine.compile import constant_sql
from apps.engine.errors import ParameterRefused
from apps.language import types
from apps.language.diagnostics import Diagnostic
from apps.language.plan import Apply, Const, Expression, Parameter, ParamValue, Plan

if TYPE_CHECKING:
    from apps.engine.duck import DuckDBPyConnection


def bind(
    plan: Plan, raw: Mapping[str, str], *, logical_time: datetime, connection: "DuckDBPyConnection"
) -> dict[str, Const]:
    """The values that were given, as constants; the compiler adds the defaults.

    Raises ParameterRefused for an unknown name, a value of another type, one that is missing and has no default,
    and one that `allow` or `between` does not admit, where those may say what only a run knows (`today() - 1d`).
    """
    values: dict[str, Const] = {}
    diagnostics: list[Diagnostic] = []
    if raw or any(parameter.default is None for parameter in plan.params):
        from apps.language.params import parse_values  # with it comes much of the checker: 30 ms

        values, diagnostics = parse_values(plan, raw)
    if diagnostics:
        first = diagnostics[0]
        refused = ParameterRefused(first.message, hint=first.hint, line=first.span.line, column=first.span.column)
        refused.code = first.code
        raise refused
    for parameter in plan.params:
        _check(parameter, plan, values, raw, logical_time, connection)
    return values


def _check(
    parameter: Parameter,
    plan: Plan,
    values: dict[str, Const],
    raw: Mapping[str, str],
    logical_time: datetime,
    connection: "DuckDBPyConnection",
) -> None:
    def value_of(expression: Expression) -> Any:
        sql = constant_sql(expression, plan, params=values, logical_time=logical_time)
        return connection.execute(sql).fetchall()[0][0]

    value = ParamValue(parameter.type, parameter.name)
    shown = raw.get(parameter.name, "its default")
    if parameter.allow is not None and not value_of(Apply(types.BOOL, "in", (value, *parameter.allow))):
        allowed = ", ".join(str(value_of(each)) for each in parameter.allow)
        raise _refused(f"The parameter '{parameter.name}' may not be {shown}.", f"Allowed are: {allowed}.", parameter)
    tests = [("ge", "low", parameter.low), ("le", "high", parameter.high)]
    for function, side, bound in tests:
        if bound is not None and not value_of(Apply(types.BOOL, function, (value, bound))):
            relation = "lower than" if side == "low" else "higher than"
            raise _refused(
                f"The parameter '{parameter.name}' may not be {shown}: that is {relation} {value_of(bound)}.",
                "Choose a value within the bounds that the flow states.",
                parameter,
            )


def _refused(message: str, hint: str, parameter: Parameter) -> ParameterRefused:
    return ParameterRefused(message, hint=hint, line=parameter.span.line, column=parameter.span.column)
