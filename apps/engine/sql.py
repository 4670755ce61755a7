"""A small tree of SQL, and how DuckDB wants it written.

Names and texts enter a statement through `Name` and `Text` alone, which quote whatever they hold; only `Raw` is printed
as it is. Nodes are immutable, so that one may stand in several places. Parentheses are the printer's business.
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sql:
    """A node. `str(node)` is its SQL."""


def _beside(value: Sql) -> str:
    """A value next to an operator."""
    return f"({value})" if isinstance(value, _LOOSE) else str(value)


def _list(values: Iterable[Sql]) -> str:
    return ", ".join(map(str, values))


# --- values ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Raw(Sql):
    """SQL from elsewhere."""

    sql: str

    def __str__(self) -> str:
        return self.sql


@dataclass(frozen=True, slots=True)
class Name(Sql):
    name: str

    def __str__(self) -> str:
        return '"' + self.name.replace('"', '""') + '"'


@dataclass(frozen=True, slots=True)
class Column(Sql):
    """A column, always with its table: a bare name could mean an alias of the same SELECT."""

    table: str
    name: str

    def __str__(self) -> str:
        return f"{Name(self.table)}.{Name(self.name)}"


@dataclass(frozen=True, slots=True)
class Text(Sql):
    value: str

    def __str__(self) -> str:
        return "'" + self.value.replace("'", "''") + "'"


@dataclass(frozen=True, slots=True)
class Number(Sql):
    value: int

    def __str__(self) -> str:
        return str(self.value) if self.value >= 0 else f"({self.value})"


@dataclass(frozen=True, slots=True)
class Word(Sql):
    word: str

    def __str__(self) -> str:
        return self.word


NULL, TRUE, FALSE, STAR = Word("NULL"), Word("TRUE"), Word("FALSE"), Word("*")


@dataclass(frozen=True, slots=True)
class Call(Sql):
    """A function or an aggregate: `name([DISTINCT] args [ORDER BY order] [IGNORE NULLS]) [FILTER (WHERE where)]`."""

    name: str
    args: tuple[Sql, ...]
    distinct: bool = False
    order: tuple["Key", ...] = ()
    ignores_nulls: bool = False
    where: Sql | None = None

    def __str__(self) -> str:
        inner = ("DISTINCT " if self.distinct else "") + _list(self.args)
        inner += f" ORDER BY {_list(self.order)}" if self.order else ""
        inner += " IGNORE NULLS" if self.ignores_nulls else ""
        return f"{self.name}({inner})" + (f" FILTER (WHERE {self.where})" if self.where else "")


@dataclass(frozen=True, slots=True)
class Cast(Sql):
    """`type` in DuckDB's spelling. Tolerant: null where it cannot be."""

    value: Sql
    type: str
    tolerant: bool = False

    def __str__(self) -> str:
        return f"{'TRY_CAST' if self.tolerant else 'CAST'}({self.value} AS {self.type})"


@dataclass(frozen=True, slots=True)
class Operator(Sql):
    """Operands with the same sign between them."""

    sign: str
    operands: tuple[Sql, ...]

    def __str__(self) -> str:
        return f" {self.sign} ".join(map(_beside, self.operands))


@dataclass(frozen=True, slots=True)
class Negative(Sql):
    value: Sql

    def __str__(self) -> str:
        return f"-{_beside(self.value)}"


@dataclass(frozen=True, slots=True)
class Not(Sql):
    value: Sql

    def __str__(self) -> str:
        return f"NOT {_beside(self.value)}"


@dataclass(frozen=True, slots=True)
class IsNull(Sql):
    value: Sql
    negated: bool = False

    def __str__(self) -> str:
        return f"{_beside(self.value)} IS {'NOT ' if self.negated else ''}NULL"


@dataclass(frozen=True, slots=True)
class In(Sql):
    value: Sql
    items: tuple[Sql, ...]

    def __str__(self) -> str:
        return f"{_beside(self.value)} IN ({_list(self.items)})"


@dataclass(frozen=True, slots=True)
class Between(Sql):
    value: Sql
    low: Sql
    high: Sql

    def __str__(self) -> str:
        return f"{_beside(self.value)} BETWEEN {_beside(self.low)} AND {_beside(self.high)}"


@dataclass(frozen=True, slots=True)
class Case(Sql):
    """With a subject the branches hold values that it may have, else tests."""

    branches: tuple[tuple[Sql, Sql], ...]
    otherwise: Sql | None = None
    subject: Sql | None = None

    def __str__(self) -> str:
        head = f"CASE {self.subject}" if self.subject else "CASE"
        branches = "".join(f" WHEN {test} THEN {value}" for test, value in self.branches)
        return head + branches + (f" ELSE {self.otherwise}" if self.otherwise else "") + " END"


@dataclass(frozen=True, slots=True)
class Array(Sql):
    items: tuple[Sql, ...]

    def __str__(self) -> str:
        return f"[{_list(self.items)}]"


@dataclass(frozen=True, slots=True)
class Struct(Sql):
    fields: tuple[tuple[str, Sql], ...]

    def __str__(self) -> str:
        return "{" + ", ".join(f"{Text(name)}: {value}" for name, value in self.fields) + "}"


@dataclass(frozen=True, slots=True)
class Key(Sql):
    """What is sorted by. Nulls are last in both directions."""

    value: Sql
    descending: bool = False

    def __str__(self) -> str:
        return f"{_beside(self.value)} {'DESC' if self.descending else 'ASC'} NULLS LAST"


@dataclass(frozen=True, slots=True)
class Over(Sql):
    """`frame` is (low, high) in rows around the current one; None is unbounded."""

    call: Sql
    partition: tuple[Sql, ...] = ()
    order: tuple[Key, ...] = ()
    frame: tuple[int | None, int | None] | None = None

    def __str__(self) -> str:
        parts = [f"PARTITION BY {_list(self.partition)}"] if self.partition else []
        parts += [f"ORDER BY {_list(self.order)}"] if self.order else []
        if self.frame:
            low, high = self.frame
            parts.append(f"ROWS BETWEEN {_bound(low, 'PRECEDING')} AND {_bound(high, 'FOLLOWING')}")
        return f"{self.call} OVER ({' '.join(parts)})"


def _bound(offset: int | None, outward: str) -> str:
    if offset is None:
        return f"UNBOUNDED {outward}"
    if offset == 0:
        return "CURRENT ROW"
    return f"{abs(offset)} {'PRECEDING' if offset < 0 else 'FOLLOWING'}"


# --- queries ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Table(Sql):
    """A relation with its alias: a `Name`, or `Raw` SQL that may stand after FROM."""

    relation: Sql
    alias: str

    def __str__(self) -> str:
        return f"{self.relation} AS {Name(self.alias)}"


@dataclass(frozen=True, slots=True)
class Subquery(Sql):
    query: Sql
    alias: str = ""

    def __str__(self) -> str:
        return f"({self.query})" + (f" AS {Name(self.alias)}" if self.alias else "")


@dataclass(frozen=True, slots=True)
class Exists(Sql):
    query: Sql

    def __str__(self) -> str:
        return f"EXISTS ({self.query})"


@dataclass(frozen=True, slots=True)
class Join(Sql):
    """`kind`: INNER, LEFT, FULL or CROSS."""

    kind: str
    right: Sql
    test: Sql | None

    def __str__(self) -> str:
        return f"{self.kind} JOIN {self.right}" + (f" ON {self.test}" if self.test else "")


@dataclass(frozen=True, slots=True)
class Select(Sql):
    """`columns` are (name, value)."""

    columns: tuple[tuple[str, Sql], ...]
    source: Sql | None = None
    distinct: bool = False
    join: Join | None = None
    where: Sql | None = None
    group: tuple[Sql, ...] = ()
    having: Sql | None = None
    qualify: Sql | None = None
    order: tuple[Key, ...] = ()
    limit: int | None = None

    def __str__(self) -> str:
        chosen = ", ".join(f"{value} AS {Name(name)}" for name, value in self.columns)
        parts = [f"SELECT {'DISTINCT ' if self.distinct else ''}{chosen}"]
        parts += [f"FROM {self.source}"] if self.source else []
        parts += [str(self.join)] if self.join else []
        parts += [f"WHERE {self.where}"] if self.where else []
        parts += [f"GROUP BY {_list(self.group)}"] if self.group else []
        parts += [f"HAVING {self.having}"] if self.having else []
        parts += [f"QUALIFY {self.qualify}"] if self.qualify else []
        parts += [f"ORDER BY {_list(self.order)}"] if self.order else []
        parts += [f"LIMIT {self.limit}"] if self.limit is not None else []
        return " ".join(parts)


@dataclass(frozen=True, slots=True)
class Union(Sql):
    """All rows of both."""

    upper: Select
    lower: Select

    def __str__(self) -> str:
        return f"{self.upper} UNION ALL {self.lower}"


Query = Select | Union


@dataclass(frozen=True, slots=True)
class Cte(Sql):
    name: str
    query: Query
    materialized: bool

    def __str__(self) -> str:
        return f"{Name(self.name)} AS {'' if self.materialized else 'NOT '}MATERIALIZED ({self.query})"


@dataclass(frozen=True, slots=True)
class Statement(Sql):
    query: Query
    ctes: tuple[Cte, ...] = ()

    def __str__(self) -> str:
        return (f"WITH {_list(self.ctes)} " if self.ctes else "") + str(self.query)


_LOOSE = (Operator, Negative, Not, IsNull, In, Between)
