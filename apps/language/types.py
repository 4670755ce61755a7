"""The types of the flow language. Values of a column, a parameter and an expression have one each."""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    NULL = "null"  # only the literal null; it fits every type
    BOOL = "bool"
    INT = "int"  # 64 bit, overflow is an error
    DOUBLE = "double"
    DECIMAL = "decimal"
    TEXT = "text"
    DATE = "date"
    TIME = "time"
    TIMESTAMP = "timestamp"  # without a zone, microseconds
    TIMESTAMPTZ = "timestamptz"
    DURATION = "duration"
    JSON = "json"
    LIST = "list"
    STRUCT = "struct"


@dataclass(frozen=True, slots=True)
class Type:
    """One type. `precision` and `scale` belong to decimal, `item` to list, `fields` to struct."""

    kind: Kind
    precision: int = 0
    scale: int = 0
    item: "Type | None" = None
    fields: tuple[tuple[str, "Type"], ...] = ()

    def __str__(self) -> str:
        """The type as it is written in a flow: `decimal(12, 2)`, `list(text)`, `struct(a: int)`."""
        match self.kind:
            case Kind.DECIMAL:
                return f"decimal({self.precision}, {self.scale})"
            case Kind.LIST:
                return f"list({self.item})"
            case Kind.STRUCT:
                return "struct(" + ", ".join(f"{name}: {type_}" for name, type_ in self.fields) + ")"
            case _:
                return self.kind.value

    @property
    def is_numeric(self) -> bool:
        return self.kind in (Kind.INT, Kind.DOUBLE, Kind.DECIMAL)


NULL = Type(Kind.NULL)
BOOL = Type(Kind.BOOL)
INT = Type(Kind.INT)
DOUBLE = Type(Kind.DOUBLE)
TEXT = Type(Kind.TEXT)
DATE = Type(Kind.DATE)
TIME = Type(Kind.TIME)
TIMESTAMP = Type(Kind.TIMESTAMP)
TIMESTAMPTZ = Type(Kind.TIMESTAMPTZ)
DURATION = Type(Kind.DURATION)
JSON = Type(Kind.JSON)

MAX_PRECISION = 38


def decimal(precision: int, scale: int) -> Type:
    return Type(Kind.DECIMAL, precision=precision, scale=scale)


def list_of(item: Type) -> Type:
    return Type(Kind.LIST, item=item)


def struct(*fields: tuple[str, Type]) -> Type:
    return Type(Kind.STRUCT, fields=fields)
