"""An expression as text again, for the label of a check. Deep ones are cut: a label is read, not parsed."""

from apps.language import tree as t
from apps.language.values import show

_DEEPEST = 12
_CUT = "…"


def written(expr: t.Expr, depth: int = 0) -> str:  # noqa: C901  # one line a kind of node
    if depth > _DEEPEST:
        return _CUT

    def inner(part: t.Expr) -> str:
        return written(part, depth + 1)

    def inners(parts: tuple[t.Expr, ...]) -> str:
        return ", ".join(map(inner, parts))

    match expr:
        case t.Null():
            return "null"
        case t.Boolean(value=value):
            return str(value).lower()
        case t.Number(text=text) | t.Moment(text=text):
            return text
        case t.Text(value=value):
            return show(value)
        case t.Duration(amount=amount, unit=unit):
            return f"{amount}{unit}"
        case t.Name(name=name, quoted=quoted):
            return f"`{name}`" if quoted else name
        case t.ParamRef(name=name):
            return f"@{name}"
        case t.Field(base=base, name=name):
            return f"{inner(base)}.{name}"
        case t.Group(inner=part):
            return f"({inner(part)})"
        case t.ListLiteral(items=items):
            return f"[{inners(items)}]"
        case t.StructLiteral(fields=fields):
            return "{ " + ", ".join(f"{name}: {inner(value)}" for name, value in fields) + " }"
        case t.Unary(op=op, operand=operand):
            return f"{op}{' ' if op == 'not' else ''}{inner(operand)}"
        case t.Binary(op=op, left=left, right=right):
            return f"{inner(left)} {op} {inner(right)}"
        case t.Between(value=value, low=low, high=high, negated=negated):
            return f"{inner(value)} {'not ' if negated else ''}between {inner(low)} and {inner(high)}"
        case t.In(value=value, items=items, negated=negated):
            return f"{inner(value)} {'not ' if negated else ''}in [{inners(items)}]"
        case t.IsNull(value=value, negated=negated):
            return f"{inner(value)} is {'not ' if negated else ''}null"
        case t.Call(name=name, args=args):
            return f"{name}({inners(args)})"
        case t.Case(branches=branches, otherwise=otherwise):
            lines = [f"{inner(test)} => {inner(value)}" for test, value in branches]
            lines += [f"else => {inner(otherwise)}"] if otherwise is not None else []
            return "case { " + ", ".join(lines) + " }"
