"""What the stages of one attempt stand on: the job's lease, the stack's settings, and a way to run commands."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from django.conf import settings

from apps.environments.containers import running
from apps.environments.containers.running import CommandFailed
from apps.environments.stages import stack
from apps.environments.stages.model import Change, StageFailed, Stopped
from apps.jobs.leases import Lease

Tell = Callable[[float, str], None]


class Stand:
    """Given to each stage of an attempt. Raises StageFailed when it is made from wrong settings."""

    def __init__(self, job: Change, lease: Lease) -> None:
        self.job, self.environment, self.by = job, job.environment, job.requested_by
        self.folder: Path = settings.BASE_DIR  # of the project: relative paths of compose files start there
        self.lease = lease
        # The files that describe the stack, and the folder in which their relative paths start (None: the first one's).
        self.files, self.files_folder = self.describe()
        self.tell: Tell = lambda fraction, message: None  # set anew for each stage
        self.masked = stack.masker(job.environment)
        self.switches: Mapping[str, str] = stack.settings_of(job)
        self._variables: Mapping[str, str] = {
            **passed_on(),
            **self.switches,
            **stack.secret_variables(job.environment),
            **stack.engine_variables(job.environment),
        }

    @property
    def added(self) -> tuple[Path, ...]:
        """What is added to the files, where it is there."""
        found = stack.added_file(self.environment)
        return (found,) if found.exists() else ()

    def describe(self) -> tuple[tuple[Path, ...], Path | None]:
        return stack.files_of(self.environment)

    @property
    def variables(self) -> dict[str, str]:
        """The process environment of commands: never in an argument, never shown."""
        return dict(self._variables)

    # --- what stages do

    def run(
        self,
        command: Sequence[str],
        *,
        timeout: float,
        stdin: str = "",
        quiet: bool = False,
        hear: Callable[[str], None] | None = None,
    ) -> str:
        """Run a command and return its stdout; the lines of its stderr go to the log, unless `quiet`, or to `hear`.

        Raises StageFailed with its last lines where it ends badly, or within `timeout` seconds not at all, and Stopped.
        """
        try:
            return running.run(
                command,
                environment=self._variables,
                folder=self.folder,
                timeout=timeout,
                stdin=stdin,
                hear=hear or ((lambda line: None) if quiet else self.say),
                check=self.check,
            )
        except CommandFailed as failure:
            raise StageFailed(failure.message, hint=failure.hint, tail=failure.lines) from failure

    def say(self, line: str) -> None:
        """One line for the job's log."""
        self.lease.events.add("log", {"line": self.masked(line)})

    def progress(self, fraction: float, message: str = "") -> None:
        """How far the stage is (0 to 1), and what it waits for."""
        self.tell(fraction, self.masked(message))

    def check(self) -> None:
        """Raise Stopped when the work is to stop. Asked while waiting."""
        if self.lease.should_stop():
            raise Stopped

    def wait(self, seconds: float) -> None:
        """Sleep, but raise Stopped at once when the work is to stop."""
        if self.lease.wait(seconds):
            raise Stopped


# What a docker command may see of this process: where things are and who we are, nothing that is a secret of ours.
PASSED_ON = (
    *("PATH", "HOME", "USER", "LANG", "LC_ALL", "TMPDIR", "SSH_AUTH_SOCK", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"),
    *("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "DOCKER_BUILDKIT"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
)


def passed_on() -> dict[str, str]:
    return {name: os.environ[name] for name in PASSED_ON if name in os.environ}
