"""The words of a layered test: layer, case, result, and the place that a case is run for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

LAYERS = ("L0", "L1", "L2", "L3", "L5")

# What a layer asks, by the kind of environment: development looks from the shell up, staging from the services up.
LAYER_NAMES: dict[str, dict[str, str]] = {
    "dev": {"L0": "visual", "L1": "core", "L2": "environment", "L3": "operation", "L5": "application"},
    "staging": {"L0": "basic", "L1": "system", "L2": "integration", "L3": "performance", "L5": "production"},
}

Status = Literal["passed", "failed", "skipped"]
Kind = Literal["executable", "check", "pytest", "broken"]

WHOLE = "the file as a whole"  # title of the one failure more: a crash, a plan that was not met, no end in time
LONGEST = {"source": 500, "title": 300, "message": 4_000, "output": 65_536}  # characters of a result's texts

DEFAULT_TIMEOUT_SECONDS = 60.0


def layer_name(layer: str, environment: str) -> str:
    """The name of a layer in an environment; one that is not known is read as staging is."""
    return LAYER_NAMES.get(environment, LAYER_NAMES["staging"]).get(layer, layer)


@dataclass(frozen=True, slots=True)
class Place:
    """What cases are run for. Everything that a case may know of the portal is in here."""

    environment: str  # its slug
    data: Path  # the portal's data folder
    settings: Mapping[str, Any] = field(default_factory=dict)  # for Python checks
    variables: Mapping[str, str] = field(default_factory=dict)  # more environment variables, for processes


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that can be run; it may have many results. `layer` and `source` name it."""

    layer: str
    source: str  # a path below the folder of checks, or module:function
    title: str
    kind: Kind
    environments: tuple[str, ...] = ()  # slugs; () is all of them
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    retries: int = 0  # how many times more, when it failed
    path: Path | None = None  # executable and pytest
    run: Callable[..., Any] | None = None  # check
    about: str = ""  # what it looks at, for the catalogue
    problem: str = ""  # broken: why it cannot be run, and what to do

    def is_for(self, environment: str) -> bool:
        return not self.environments or environment in self.environments


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a case, or of one point of it.

    Whatever a case says, a result can be stored and shown: its texts are of bounded length, without NUL characters and
    halves of surrogate pairs, which neither a database nor a file takes.
    """

    layer: str
    source: str
    title: str  # not twice in a source
    status: Status
    seconds: float = 0.0
    attempts: int = 1
    flaky: bool = False  # it passed, but only after a retry
    message: str = ""  # why it failed or was skipped
    output: str = ""  # head and tail of what it said
    order: int = 1  # its place among the results of its source

    def __post_init__(self) -> None:
        for name, longest in LONGEST.items():
            object.__setattr__(self, name, shortened(storable(getattr(self, name)), longest))


def storable(text: str) -> str:
    """The text without what no database or file takes."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def shortened(text: str, longest: int) -> str:
    """Head and tail of a text that is too long: how it began and how it ended say most."""
    if len(text) <= longest:
        return text
    note = f"\n… {len(text) - longest:,} characters left out …\n" if longest > 1_000 else " … "
    tail = (longest - len(note)) // 2
    return text[: longest - len(note) - tail] + note + text[-tail:]


def result_of(case: Case, status: Status, message: str = "", **more: Any) -> Result:
    """A result that stands for the whole case."""
    return Result(case.layer, case.source, more.pop("title", case.title), status, message=message, **more)
