"""Where an expression stands: the names that it sees there, and what it may do."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

from apps.language import plan as p
from apps.language import tree as t
from apps.language.diagnostics import Span
from apps.language.functions.conversion import UNKNOWN


@dataclass(frozen=True)
class Relation:
    """The columns at one point of a step. An `open` one may have more: what it came from is in error, and names that
    are not known here are not errors of their own."""

    columns: p.Schema
    open: bool = False

    @cached_property
    def by_name(self) -> Mapping[str, p.Column]:
        return {column.name: column for column in self.columns}

    def get(self, name: str) -> p.Column | None:
        found = self.by_name.get(name)
        return p.Column(name, UNKNOWN) if found is None and self.open else found

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)


NOTHING = Relation(())
ANYTHING = Relation((), open=True)

# What an expression may call: nothing over several rows; aggregates of a group, of a window, or of a whole table (in
# an expectation); or anything (the body of a fn, before it is known where it is used).
Reach = Literal["row", "group", "window", "table", "any"]


@dataclass(frozen=True)
class Call:
    """The outermost call of a fn: what is wrong in the body because of its arguments is said here."""

    span: Span


def unknown(span: Span) -> p.Const:
    """What an expression in error becomes."""
    return p.Const(UNKNOWN, None, span=span)


@dataclass(frozen=True)
class Place:
    """`what` names it in messages (`step 'paid'`). `keys` are what a group's expressions see outside aggregates.

    `arguments` are set in the body of a fn alone, which sees nothing else: each is the expression of the call and its
    place, None while the fn is checked by itself. `inside` is the aggregate or window function that it is in.
    """

    relation: Relation
    what: str
    reach: Reach = "row"
    keys: Relation | None = None
    key_of: Mapping[str, str] = field(default_factory=dict)  # input column → the key that it is
    aliases: Mapping[str, Relation] = field(default_factory=dict)
    arguments: "Mapping[str, tuple[t.Expr, Place] | None] | None" = None
    function: str = ""  # the fn whose body this is
    call: Call | None = None
    inside: str = ""
    row_order: tuple[p.OrderKey, ...] = ()
    window_order: bool = False
    constant: str = ""  # why no column may stand here
    params: bool = True

    def within(self, function: str) -> "Place":
        return replace(self, inside=function)

    @property
    def over_rows(self) -> bool:
        """Whether names are columns of single rows here."""
        return self.reach not in ("group", "table") or bool(self.inside)
