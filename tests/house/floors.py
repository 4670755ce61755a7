"""The floors, as the contract in pyproject.toml has them."""

import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent


def contracts() -> list[dict[str, Any]]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        found: list[dict[str, Any]] = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    return found


def floors() -> dict[str, int]:
    """Room → floor: 0 is the lowest, neighbours share a number."""
    layers = next(each["layers"] for each in contracts() if each.get("containers") == ["apps"])
    return {room: floor for floor, rooms in enumerate(reversed(layers)) for room in rooms.split(" | ")}


def may_know(room: str, other: str) -> bool:
    """Whether `room` may name something of `other`: itself, or a room on a lower floor."""
    at = floors()
    return room == other or at[other] < at[room]
