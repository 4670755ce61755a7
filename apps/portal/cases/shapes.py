"""Whether a JSON document has the fields that are promised. A small language, for documents of our own:

a type, or a union of types     a value of it
{"name": shape, …}              an object with at least these fields
[shape]                         a list of such values
"""

from types import UnionType
from typing import Any

Shape = type | UnionType | dict[str, Any] | list[Any]


def check_shape(value: Any, shape: Shape, where: str = "the document") -> None:
    """Raises AssertionError naming the first place that is not as promised."""
    if isinstance(shape, dict):
        assert isinstance(value, dict), f"{where} is {_kind(value)}, promised is an object"
        for name, inner in shape.items():
            assert name in value, f"{where} leaves out {name}"
            check_shape(value[name], inner, f"{where}.{name}")
    elif isinstance(shape, list):
        assert isinstance(value, list), f"{where} is {_kind(value)}, promised is a list"
        for number, each in enumerate(value):
            check_shape(each, shape[0], f"{where}[{number}]")
    else:
        # True is an int to Python, and a number to nobody who reads JSON.
        fits = isinstance(value, shape) and not (isinstance(value, bool) and not isinstance(True, _only(shape)))
        assert fits, f"{where} is {_kind(value)}, promised is {getattr(shape, '__name__', shape)}"


def _only(shape: Any) -> Any:
    return bool if bool in getattr(shape, "__args__", (shape,)) else ()


def _kind(value: Any) -> str:
    return "null" if value is None else type(value).__name__
