"""Columns as plain data, for the way between two processes."""

from typing import Any

from apps.language.plan import Column, Schema
from apps.language.types import Kind, Type


def to_json(schema: Schema) -> list[list[Any]]:
    """The columns as plain data; `from_json` reads them."""
    return [[column.name, _type_to_json(column.type)] for column in schema]


def from_json(data: list[list[Any]]) -> Schema:
    return tuple(Column(name, _type_from_json(found)) for name, found in data)


def _type_to_json(found: Type) -> dict[str, Any]:
    return {
        "kind": found.kind.value,
        "precision": found.precision,
        "scale": found.scale,
        "item": None if found.item is None else _type_to_json(found.item),
        "fields": [[name, _type_to_json(field)] for name, field in found.fields],
    }


def _type_from_json(data: dict[str, Any]) -> Type:
    return Type(
        Kind(data["kind"]),
        precision=int(data["precision"]),
        scale=int(data["scale"]),
        item=None if data["item"] is None else _type_from_json(data["item"]),
        fields=tuple((str(name), _type_from_json(field)) for name, field in data["fields"]),
    )
