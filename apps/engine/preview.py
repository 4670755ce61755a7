# ruff: noqa: S608 (names and paths are quoted where they enter the SQL)
"""The first rows of an output or of a step, as text, for people."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from apps.common import files
from apps.engine import manifest, sources
from apps.engine.errors import EngineError, SourceMissing, SourceUnreadable
from apps.engine.limits import MIB, Limits

if TYPE_CHECKING:
    from apps.engine.duck import DuckDBPyConnection

LIMIT = 50
CELL = 2_000  # characters of one value


@dataclass(frozen=True, slots=True)
class Preview:
    """`rows` hold the values as text, None for null, in the order of `columns`; `types` as DuckDB calls them."""

    columns: list[str]
    types: list[str]
    rows: list[list[str | None]]

    @classmethod
    def from_json(cls, text: str) -> Self:
        return cls(**json.loads(text))


def read(path: Path, limit: int = LIMIT) -> tuple[list[str], list[list[str | None]]]:
    """Columns and first rows of a csv, jsonl or parquet file, or of the parts in a folder.

    The connection sees the file's folder alone. Raises SourceMissing, or SourceUnreadable if it is none of these.
    """
    from apps.engine import duck, sandbox

    file = _first_file(path)
    home = path if path.is_dir() else path.parent
    with sandbox.connect(home, Limits(256 * MIB, 0, 1)) as connection:
        try:
            preview = rows_of(connection, reader(file), limit)
        except duck.Error as error:
            raise SourceUnreadable(
                f"'{path.name}' cannot be shown: {str(error).partition(chr(10))[0].replace(str(home), '')}",
                hint="Download it to see what it holds.",
            ) from error
    return preview.columns, preview.rows


def reader(file: Path, csv_dialect: str = "header = true") -> str:
    """The relation that reads one file of ours as it is."""
    name = sources.file_name(file)
    match Path(file.name.removesuffix(".gz")).suffix:
        case ".csv":
            return f"read_csv({name}, all_varchar = true, {csv_dialect})"
        case ".jsonl" | ".json":
            return f"read_json({name}, format = 'auto', sample_size = 1000)"
        case ".parquet":
            return f"read_parquet({name}, hive_partitioning = false)"
        case other:
            raise SourceUnreadable(
                f"A file that ends in '{other}' cannot be shown.", hint="Download it to see what it holds."
            )


def rows_of(connection: "DuckDBPyConnection", relation: str, limit: int = LIMIT) -> Preview:
    """The first rows of a relation. Values longer than CELL characters are cut."""
    connection.execute(f"SELECT * FROM {relation} LIMIT 0")
    described = connection.description or []
    names = [str(column[0]) for column in described]
    shown = ", ".join(f"left(CAST({sources.identifier(name)} AS VARCHAR), {CELL})" for name in names)
    rows = connection.execute(f"SELECT {shown} FROM {relation} LIMIT {limit}").fetchall()
    return Preview(names, [str(column[1]) for column in described], [list(row) for row in rows])


def keep(workspace: Path, run_key: str, name: str, preview: Preview) -> None:
    """Keep a step's preview with its run."""
    files.write_atomic(_place(workspace, run_key, name), json.dumps(asdict(preview), ensure_ascii=False))


def kept(workspace: Path, run_key: str, name: str) -> Preview | None:
    """A step's preview as its run kept it; None if there is none."""
    try:
        return Preview.from_json(_place(workspace, run_key, name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def is_kept(workspace: Path, run_key: str, name: str) -> bool:
    """Whether the run has kept rows of the step."""
    return _place(workspace, run_key, name).is_file()


def _place(workspace: Path, run_key: str, name: str) -> Path:
    safe = "".join(letter if letter.isalnum() or letter in "_-" else f"%{ord(letter):x}" for letter in name)
    return manifest.run_folder(workspace, run_key) / "preview" / f"{safe}.json"


def _first_file(path: Path) -> Path:
    if path.is_file():
        return path
    if not path.is_dir():
        raise SourceMissing(f"'{path.name}' is not there any more.", hint="Run the flow again.")
    found: Sequence[Path] = sorted(file for file in path.rglob("*") if file.is_file() and not file.name.startswith("."))
    if not found:
        raise EngineError(f"'{path.name}' holds no rows.", hint="The flow's last run gave none.")
    return found[0]
