"""The hand with which state is saved and restored: docker commands against an environment's engine, large data by files."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings

from apps.environments.containers import commands, explain, routing, running
from apps.environments.models import Environment
from apps.environments.snapshots.errors import SnapshotDiskFull, SnapshotFailed
from apps.environments.stages import stack
from apps.environments.stages.stand import passed_on

ASK_SECONDS = 60.0
COPY_SECONDS = 4 * 3600.0
_FULL = ("no space left on device", "disk quota exceeded", "file too large")


@dataclass(frozen=True)
class Container:
    name: str
    service: str
    state: str
    image: str  # its id
    variables: dict[str, str]
    volumes: tuple[str, ...]  # those with a name
    needs: tuple[str, ...]  # the services on which it depends
    program: tuple[str, ...] = ()  # what it runs

    @property
    def is_running(self) -> bool:
        return self.state in ("running", "paused", "restarting")

    @property
    def is_postgres(self) -> bool:
        """As the official image, and what is built on it, says of itself. One that does not say so is copied as a volume: that
        is as if the machine had gone down at that moment, which its server can mend."""
        return "PGDATA" in self.variables

    @property
    def is_redis(self) -> bool:
        return any(word.rpartition("/")[2] in ("redis-server", "valkey-server") for word in self.program)

    @property
    def is_proxy(self) -> bool:
        """Whether it is what stands before a stack; where traffic goes, which its volume holds, is no state."""
        return self.service == routing.ADDED_PROXY


class Hand:
    """`check` is asked a few times a second and may raise to end the work; `progress` is told in words."""

    def __init__(
        self,
        environment: Environment,
        *,
        check: Callable[[], None] = lambda: None,
        progress: Callable[[str], None] = lambda words: None,
    ) -> None:
        self.environment, self.check, self.progress = environment, check, progress
        self.variables = {**passed_on(), **stack.engine_variables(environment)}

    def run(
        self,
        command: Sequence[str],
        *,
        timeout: float = ASK_SECONDS,
        stdin: str = "",
        source: Path | None = None,
        sink: Path | None = None,
    ) -> str:
        """Run a command and return its stdout; from the file `source`, into the file `sink`, where they are given.

        Raises SnapshotFailed with its last line, SnapshotDiskFull.
        """
        self.check()
        with ExitStack() as open_files:
            read = open_files.enter_context(source.open("rb")) if source else None
            written = open_files.enter_context(sink.open("wb")) if sink else None
            try:
                return running.run(
                    command,
                    environment=self.variables,
                    folder=Path(settings.BASE_DIR),
                    timeout=timeout,
                    stdin=stdin,
                    check=self.check,
                    source=read,
                    sink=written,
                )
            except running.CommandFailed as failure:
                raise self._told(failure, sink) from failure

    def _told(self, failure: running.CommandFailed, sink: Path | None) -> SnapshotFailed:
        lines = [stack.masker(self.environment)(line) for line in failure.lines]
        if any(words in line.lower() for words in _FULL for line in lines):
            return SnapshotDiskFull(sink.parent if sink else f"the engine of {self.environment.slug}")
        last = f" {lines[-1]}" if lines else ""
        return SnapshotFailed(f"{failure.message}{last}", hint=explain.hint(lines) or failure.hint)

    def succeeds(self, command: Sequence[str]) -> bool:
        """Whether it ends well; for what is done as far as it can be."""
        try:
            self.run(command)
        except SnapshotFailed:
            return False
        return True

    def containers(self) -> list[Container]:
        """Those of the environment's stack, whether they run or not, by name."""
        names = self.run(commands.containers_of(self.environment.project_name)).split()
        if not names:
            return []
        return sorted(map(_container, json.loads(self.run(commands.inspect(names)))), key=lambda each: each.name)

    def volumes(self) -> list[str]:
        return sorted(self.run(commands.volumes_of(self.environment.project_name)).split())


def _container(said: dict[str, Any]) -> Container:
    config = said["Config"]
    labels = config.get("Labels") or {}
    variables = dict(each.partition("=")[::2] for each in config.get("Env") or ())
    mounts = [each for each in said.get("Mounts") or () if each["Type"] == "volume"]
    return Container(
        name=said["Name"].lstrip("/"),
        service=labels.get(commands.SERVICE_LABEL, ""),
        state=said["State"]["Status"],
        image=said["Image"],
        variables=variables,
        volumes=tuple(sorted(each["Name"] for each in mounts if not _is_anonymous(each["Name"]))),
        needs=tuple(
            each.partition(":")[0]
            for each in labels.get("com.docker.compose.depends_on", "").split(",")
            if each.partition(":")[0]
        ),
        program=(*(config.get("Entrypoint") or ()), *(config.get("Cmd") or ())),
    )


def _is_anonymous(volume: str) -> bool:
    return len(volume) == 64 and set(volume) <= set("0123456789abcdef")
