"""Docker command lines as values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

Command = tuple[str, ...]

VERSION: Command = ("docker", "version", "--format", "{{json .}}")
INFO: Command = ("docker", "info", "--format", "{{json .}}")
COMPOSE_VERSION: Command = ("docker", "compose", "version", "--short")
PROJECT_LABEL = "com.docker.compose.project"
SERVICE_LABEL = "com.docker.compose.service"
ONE_OFF_LABEL = "com.docker.compose.oneoff"  # True for `compose run`


@dataclass(frozen=True)
class Compose:
    """The compose commands of one stack. `settings` is a file of variables; without one compose reads `.env` by itself.
    Of several files the first says where relative paths start, and the later ones add to it."""

    project: str
    files: tuple[Path, ...]
    settings: Path | None = None
    folder: Path | None = None  # where relative paths start instead

    def _command(self, *words: str, every_profile: bool = False) -> Command:
        options = ["--project-name", self.project]
        for file in self.files:
            options += ["--file", str(file)]
        if self.folder:
            options += ["--project-directory", str(self.folder)]
        if self.settings:
            options += ["--env-file", str(self.settings)]
        if every_profile:
            options += ["--profile", "*"]
        return ("docker", "compose", *options, "--progress", "plain", *words)

    def config(self) -> Command:
        """The whole description with its variables filled in, as JSON."""
        return self._command("config", "--format", "json")

    def description(self) -> Command:
        """The whole description as it is written: variables not filled in, paths as they are, as JSON."""
        return self._command(
            "config", "--format", "json", "--no-interpolate", "--no-path-resolution", every_profile=True
        )

    def hashes(self) -> Command:
        """`SERVICE HASH` a line: what the label config-hash of an up-to-date container holds."""
        return self._command("config", "--hash", "*")

    def services(self) -> Command:
        """The names of all services that the files know, one a line, whichever profiles are on."""
        return self._command("config", "--services", every_profile=True)

    def build(self, services: Sequence[str] = ()) -> Command:
        return self._command("build", *services)

    def up(self) -> Command:
        """Create and start what is not there or differs. Images are there: they were built, or are fetched."""
        return self._command("up", "--detach", "--no-build", "--remove-orphans")

    def up_alone(self, services: Sequence[str]) -> Command:
        """The same for some services only: what they depend on is left as it is."""
        return self._command("up", "--detach", "--no-build", "--no-deps", *services)

    def one_more(self, service: str, number: int) -> Command:
        """Start containers of a service until there are `number`, beside those that run: none of those is touched."""
        return self._command(
            "up", "--detach", "--no-build", "--no-deps", "--no-recreate", "--scale", f"{service}={number}", service
        )

    def containers(self) -> Command:
        """All containers of the stack, a JSON object a line."""
        return self._command("ps", "--all", "--no-trunc", "--format", "json", every_profile=True)

    def logs(self, services: Sequence[str] = (), *, lines: int, follow: bool = False, prefix: bool = True) -> Command:
        words = ["logs", "--no-color", "--tail", str(lines)]
        words += ["--follow"] if follow else []
        words += [] if prefix else ["--no-log-prefix"]
        return self._command(*words, *services, every_profile=True)

    def execute(self, service: str, *words: str) -> Command:
        """A command in a running container of the service, without a terminal."""
        return self._command("exec", "--no-TTY", service, *words)

    def down(self) -> Command:
        """Stop and remove containers and networks. Volumes stay."""
        return self._command("down", "--remove-orphans", "--timeout", "15", every_profile=True)


def containers_of(project: str) -> Command:
    """Names of a project's containers, whatever compose thinks of them: one a line."""
    return ("docker", "ps", "--all", "--filter", f"label={PROJECT_LABEL}={project}", "--format", "{{.Names}}")


def services_there(project: str) -> Command:
    """`NAME SERVICE ONE-OFF` of each container of a project."""
    labels = (SERVICE_LABEL, ONE_OFF_LABEL)
    words = " ".join(f'{{{{.Label "{label}"}}}}' for label in labels)
    return (
        "docker",
        "ps",
        "--all",
        "--filter",
        f"label={PROJECT_LABEL}={project}",
        "--format",
        f"{{{{.Names}}}} {words}",
    )


def networks_of(project: str) -> Command:
    return ("docker", "network", "ls", "--filter", f"label={PROJECT_LABEL}={project}", "--format", "{{.Name}}")


def volumes_of(project: str) -> Command:
    return ("docker", "volume", "ls", "--filter", f"label={PROJECT_LABEL}={project}", "--format", "{{.Name}}")


def publishers(port: int) -> Command:
    """`NAME PROJECT` of each container that publishes a port of this machine."""
    label = f'{{{{.Label "{PROJECT_LABEL}"}}}}'
    return ("docker", "ps", "--filter", f"publish={port}", "--format", f"{{{{.Names}}}} {label}")


def remove(names: Sequence[str]) -> Command:
    """Kill and remove containers; their anonymous volumes too."""
    return ("docker", "rm", "--force", "--volumes", *names)


def rename(name: str, new: str) -> Command:
    return ("docker", "rename", name, new)


def start(names: Sequence[str]) -> Command:
    return ("docker", "start", *names)


def restart_policy(name: str, policy: str) -> Command:
    """Say when the engine starts a container by itself: no, always, unless-stopped, on-failure[:times]."""
    return ("docker", "update", "--restart", policy, name)


def stop(name: str, *, seconds: int) -> Command:
    return ("docker", "stop", "--time", str(seconds), name)


def last_lines(container: str, lines: int) -> Command:
    return ("docker", "logs", "--tail", str(lines), container)


def inspect_image(*images: str) -> Command:
    return ("docker", "image", "inspect", *images)


def pull(image: str) -> Command:
    return ("docker", "pull", "--quiet", image)


def tag(image: str, name: str) -> Command:
    return ("docker", "tag", image, name)


def inspect(names: Sequence[str]) -> Command:
    return ("docker", "inspect", "--type", "container", *names)


# --- state: volumes and what is in them ------------------------------------------------------------------

HELPER_LABEL = "flowcontrol.snapshot"  # on containers and volumes that a save or a restore makes for itself
VOLUME_FOLDER = "/flowcontrol-volume"  # where a helper has the volume that it is for


def labelled_volumes(name: str) -> Command:
    """The volumes that restores have made for one environment, one a line; those kept aside among them."""
    return ("docker", "volume", "ls", "--filter", f"label={HELPER_LABEL}={name}", "--format", "{{.Name}}")


def helpers(name: str) -> Command:
    """The helper containers of one environment, one a line."""
    return ("docker", "ps", "--all", "--filter", f"label={HELPER_LABEL}={name}", "--format", "{{.Names}}")


def running_users_of(volume: str) -> Command:
    """The containers of whatever project that run with the volume and are not paused, one a line."""
    return ("docker", "ps", "--filter", f"volume={volume}", "--filter", "status=running", "--format", "{{.Names}}")


def pause(names: Sequence[str]) -> Command:
    return ("docker", "pause", *names)


def unpause(names: Sequence[str]) -> Command:
    return ("docker", "unpause", *names)


def helper(name: str, volume: str, image: str, label: str, *, program: Sequence[str] = ("true",)) -> Command:
    """A container that has one volume and nothing else: it is made and never started, for `docker cp` to reach into; or it
    is started for one program."""
    return (
        *("docker", "create", "--name", name, "--label", f"{HELPER_LABEL}={label}", "--network", "none"),
        *("--user", "0:0", "--workdir", "/", "--no-healthcheck"),
        *("--mount", f"type=volume,source={volume},target={VOLUME_FOLDER},volume-nocopy"),
        *("--entrypoint", program[0], image, *program[1:]),
    )


def copy_out(helper_name: str) -> Command:
    """All of its volume, as a tar on stdout. The folder itself is in it: who owns it counts."""
    return ("docker", "cp", f"{helper_name}:{VOLUME_FOLDER}", "-")


def copy_in(helper_name: str) -> Command:
    """A tar that `copy_out` made on stdin into its volume; owners as they are in the tar."""
    return ("docker", "cp", "-", f"{helper_name}:/")


# Takes everything out of a helper's volume, without a shell.
EMPTY: Command = ("find", VOLUME_FOLDER, "-mindepth", "1", "-maxdepth", "1", "-exec", "rm", "-rf", "{}", "+")


def start_and_wait(name: str) -> Command:
    """Start a container and stay with it; the status is that of its program."""
    return ("docker", "start", "--attach", name)


def make_volume(name: str, label: str) -> Command:
    """Make a volume; one that is there is as well."""
    return ("docker", "volume", "create", "--label", f"{HELPER_LABEL}={label}", name)


def remove_volumes(names: Sequence[str]) -> Command:
    return ("docker", "volume", "rm", "--force", *names)


def in_container(container: str, *words: str, reads: bool = False) -> Command:
    """A command in a running container; `reads` gives it our stdin."""
    return ("docker", "exec", *(("--interactive",) if reads else ()), container, *words)


def once(image: str, label: str, *words: str) -> Command:
    """A program of an image that reads our stdin, in a container that is gone afterwards."""
    return (
        *("docker", "run", "--rm", "--interactive", "--pull", "never", "--network", "none"),
        *("--label", f"{HELPER_LABEL}={label}", "--entrypoint", words[0], image, *words[1:]),
    )
