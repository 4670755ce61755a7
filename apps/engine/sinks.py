"""A flow's sinks: where each is staged, how it is written, and what it becomes when the run is published."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from apps.engine import paths, targets
from apps.engine.errors import TargetRefused
from apps.engine.manifest import Output
from apps.engine.sources import identifier, quote
from apps.language.plan import SinkTable


@dataclass(frozen=True, slots=True)
class StagedSink:
    """One sink of a run. `staged` is a file, or a folder if the sink is partitioned."""

    sink: SinkTable
    staged: Path
    target: Path  # the path of the sink in the workspace
    run_key: str

    def copy_sql(self, rows: str) -> str:
        """The statement that writes the rows of a SELECT to `staged`."""
        return f"COPY ({rows}) TO {quote(str(self.staged))} ({', '.join(_options(self.sink, self.run_key))})"

    def files(self) -> list[Path]:
        """What has been written, sorted."""
        if not self.sink.partition_by:
            return [self.staged]
        return sorted(path for path in self.staged.rglob("*") if path.is_file())

    def outputs(self) -> list[Output]:
        """What is to be renamed where. An appended part has the run's key in its name: the same whatever the attempt."""
        if self.sink.mode == "replace":
            return [Output(self.staged, self.target)]
        if not self.sink.partition_by:
            return [Output(self.staged, self.target / f"part-{self.run_key}.{self.sink.kind}")]
        return [Output(file, self.target / file.relative_to(self.staged)) for file in self.files()]

    @property
    def shown_path(self) -> str:
        """The path for people, relative to the workspace: the file, or the folder that holds the files."""
        if self.sink.mode == "append" and not self.sink.partition_by:
            return f"{self.sink.path.rstrip('/')}/part-{self.run_key}.{self.sink.kind}"
        return self.sink.path


def stage(workspace: Path, folder: Path, sinks: Sequence[SinkTable], run_key: str) -> list[StagedSink]:
    """A place in `folder` for each sink. Raises TargetRefused, NotWritable or PathRefused before anything is computed."""
    staged = []
    for number, sink in enumerate(sinks):
        target = paths.inside(workspace, sink.path)
        place = folder / (str(number) if sink.partition_by else f"{number}.{sink.kind}{_packed(sink)}")
        if sink.mode == "append":
            targets.check_append(workspace, target)
            targets.check(workspace, target / f"part-{run_key}.{sink.kind}", is_folder=False)
        else:
            targets.check(workspace, target, is_folder=bool(sink.partition_by))
        targets.check_disk(workspace, target, folder)
        if sink.partition_by:
            place.mkdir()
        staged.append(StagedSink(sink, place, target, run_key))
    _check_apart(staged)
    return staged


def _packed(sink: SinkTable) -> str:
    """`.gz` where the sink's own name says so: then what is in it is packed, too."""
    is_file = sink.mode == "replace" and not sink.partition_by
    return ".gz" if is_file and sink.kind != "parquet" and sink.path.endswith(".gz") else ""


def _check_apart(staged: list[StagedSink]) -> None:
    """No sink writes what another one writes, or into the folder that another one writes, whatever links are on the way."""
    places = [(Path(os.path.realpath(each.target)), each.sink.path) for each in staged]
    for number, (one, path) in enumerate(places):
        for other, other_path in places[:number]:
            if one == other or one.is_relative_to(other) or other.is_relative_to(one):
                raise TargetRefused(
                    f"Two sinks would get in each other's way: '{other_path}' and '{path}'.",
                    hint="Give each sink a file or folder of its own.",
                )


def _options(sink: SinkTable, run_key: str) -> list[str]:
    given = dict(sink.options)
    match sink.kind:
        case "csv":
            mark = given.get("quote", '"')
            options = [
                "FORMAT csv",
                f"HEADER {'true' if given.get('header', True) else 'false'}",
                f"DELIMITER {quote(given.get('delimiter', ','))}",
                f"QUOTE {quote(mark)}",
                f"ESCAPE {quote(given.get('escape', mark))}",
            ]
            if "null" in given:
                options.append(f"NULLSTR {quote(given['null'])}")
        case "jsonl":
            options = ["FORMAT json", "ARRAY false"]
        case _:
            options = ["FORMAT parquet", f"COMPRESSION {quote(given.get('compression', 'snappy'))}"]
            if "row_group_size" in given:
                options.append(f"ROW_GROUP_SIZE {given['row_group_size']}")
    if _packed(sink):
        options.append("COMPRESSION gzip")
    if sink.partition_by:
        names = ", ".join(identifier(name) for name in sink.partition_by)
        part = f"part-{run_key}-{{i}}" if sink.mode == "append" else "part-{i}"
        options += [
            f"PARTITION_BY ({names})",
            f"FILENAME_PATTERN {quote(part)}",
            f"FILE_EXTENSION {quote(sink.kind)}",
            "WRITE_PARTITION_COLUMNS true",  # so that each file can be read by itself
            "OVERWRITE_OR_IGNORE true",  # the folder is there, and empty
        ]
    return options
