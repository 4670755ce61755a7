"""Where the sources of a stack come from: which addresses are taken, and the git commands that fetch them, as values.

Nothing of a repository is run by git: no hooks, no filters, no submodules, no prompts, and no protocol that starts programs.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from apps.common.errors import FlowControlError

FETCHED = "refs/flowcontrol/fetched"
FETCH_SECONDS = 300.0
ASK_SECONDS = 30.0
# https://host/path · ssh://user@host/path · user@host:path · file:///path · /path
_HOST = r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]{1,5})?"
_PATH = r"[A-Za-z0-9._~+%@/-]+"
_URL = re.compile(
    rf"https://{_HOST}/{_PATH}"
    rf"|ssh://(?:[A-Za-z0-9_][A-Za-z0-9._-]*@)?{_HOST}/{_PATH}"
    rf"|[A-Za-z0-9_][A-Za-z0-9._-]*@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?:(?!-){_PATH}"
    rf"|file:///{_PATH}|/{_PATH}"
)
_BRANCH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+/-]*")
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


class SourceInvalid(FlowControlError):  # noqa: N818  it is what the person reads
    """A source of hooks cannot be as it was asked for."""

    code = "hook_invalid"


def check_repository(url: str) -> str:
    """The address, if git is to be given it. Raises SourceInvalid."""
    if not _URL.fullmatch(url) or ".." in PurePosixPath(url).parts or len(url) > 500:
        raise SourceInvalid(
            f"'{url[:100]}' is no address of a repository that is taken.",
            hint="Write https://host/path, ssh://user@host/path, user@host:path or an absolute path; a token is given as a secret.",
        )
    return url


def check_branch(name: str) -> str:
    """The branch, if it is a name as git allows them. Raises SourceInvalid."""
    wrong = ("..", "//", "/.", "@{", ".lock/")
    if not _BRANCH.fullmatch(name) or any(each in name for each in wrong) or name.endswith(("/", ".", ".lock")):
        raise SourceInvalid(f"'{name[:100]}' is no name of a branch.", hint="Such as main, or release/2.")
    return name


def check_compose_path(path: str) -> str:
    """The path of a compose file in the repository. Raises SourceInvalid."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith(("/", "-")) or ".." in parts or not re.fullmatch(r"[A-Za-z0-9._/ -]{1,300}", path):
        raise SourceInvalid(
            f"'{path[:100]}' is no path in a repository.", hint="Such as compose.yaml, or deploy/compose.yaml."
        )
    return path


# --- commands ------------------------------------------------------------------------------------------

_SAFE = (
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "core.fsmonitor=false"),
    *("-c", "fetch.recurseSubmodules=false"),
    *("-c", "submodule.recurse=false"),
    *("-c", "fetch.fsckObjects=true"),
    *("-c", "gc.auto=0"),
    *("-c", "maintenance.auto=false"),
)


def ask_branch(url: str, branch: str) -> tuple[str, ...]:
    """Says "<commit>\trefs/heads/<branch>"; nothing where there is no such branch."""
    return ("git", *_SAFE, "ls-remote", "--quiet", "--", url, f"refs/heads/{branch}")


def make_store(store: Path) -> tuple[str, ...]:
    return ("git", *_SAFE, "init", "--quiet", "--bare", "--template=", "--", str(store))


def fetch(store: Path, url: str, branch: str) -> tuple[str, ...]:
    """The newest commit of the branch, without its history."""
    return (
        *("git", *_SAFE, f"--git-dir={store}", "fetch", "--quiet", "--no-tags", "--depth=1"),
        *("--no-recurse-submodules", "--no-write-fetch-head", "--", url, f"+refs/heads/{branch}:{FETCHED}"),
    )


def fetched_commit(store: Path) -> tuple[str, ...]:
    return ("git", *_SAFE, f"--git-dir={store}", "rev-parse", "--verify", "--quiet", f"{FETCHED}^{{commit}}")


def read_tree(store: Path, tree: Path, commit: str) -> tuple[str, ...]:
    return ("git", *_SAFE, f"--git-dir={store}", f"--work-tree={tree}", "read-tree", commit)


def write_tree(store: Path, tree: Path) -> tuple[str, ...]:
    """The files themselves: plain, as they were committed. Nothing of the repository is run."""
    return ("git", *_SAFE, f"--git-dir={store}", f"--work-tree={tree}", "checkout-index", "--all", "--force", "--quiet")


def commit_in(said: str) -> str:
    """The commit that git names first; "" where it names none."""
    found = _COMMIT.match(said.strip())
    return found[0] if found else ""


# What git says (in English: LC_ALL is set), what that means, what to do.
_MEANT = (
    (
        r"not resolve host",
        "its host is not found",
        "See that the address is right, and that this machine may reach it.",
    ),
    (
        r"could not read (Username|Password)|Authentication failed|Permission denied|terminal prompts disabled|HTTP 40[13]",
        "it does not let us in",
        "Name a secret that opens it: user:token for https, a private key for ssh.",
    ),
    (
        r"[Nn]ot found|does not exist|does not appear to be a git repository|not read from remote",
        "it is not there, or does not let us in",
        "See that the address is right; a private repository needs a secret that opens it.",
    ),
    (r"dubious ownership", "it belongs to another user of that machine", "Let it belong to the user of the worker."),
    (
        r"Host key verification failed",
        "its host has another key than before",
        "See why; then remove it from known_hosts.",
    ),
    (r"refused|timed out|unreachable", "its host does not answer", "Try again later: redeliver it."),
    (r"not allowed", "git may not use that protocol", "Write https, ssh or a path."),
)


def explain(url: str, lines: Sequence[str]) -> tuple[str, str]:
    """(what is wrong, what to do) of what git said last; ("", "") where it said nothing that is known."""
    said = "\n".join(lines)
    for pattern, meaning, hint in _MEANT:
        if re.search(pattern, said):
            return f"{url} could not be read: {meaning}.", hint
    return "", ""


# --- what git gets to know -----------------------------------------------------------------------------


def environment(
    url: str, credential: str = "", *, key: Path | None = None, hosts: Path | None = None
) -> dict[str, str]:
    """Variables for git: none of the machine's settings, no prompt, and `credential` ("user:token", or a token) for this
    server alone, never as an argument. `key` is a file with a private key, `hosts` keeps the keys of servers."""
    found = {
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "true",
        "SSH_ASKPASS": "true",
        "GIT_ALLOW_PROTOCOL": "https:ssh:file",
        "GIT_LFS_SKIP_SMUDGE": "1",
        "GIT_SSH_COMMAND": " ".join(_ssh(key, hosts)),
        "GIT_HTTP_LOW_SPEED_LIMIT": "1000",
        "GIT_HTTP_LOW_SPEED_TIME": "60",
        "LC_ALL": "C.UTF-8",
    }
    if credential and url.startswith("https://"):
        pair = credential if ":" in credential else f"x-access-token:{credential}"
        parts = urlsplit(url)
        found |= {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"http.https://{parts.netloc}/.extraHeader",
            "GIT_CONFIG_VALUE_0": "Authorization: Basic " + base64.b64encode(pair.encode()).decode(),
        }
    return found


def _ssh(key: Path | None, hosts: Path | None) -> list[str]:
    """Paths of ours, without spaces or quotes: see `fetching.place`."""
    words = ["ssh", "-oBatchMode=yes", "-oConnectTimeout=20", "-oStrictHostKeyChecking=accept-new"]
    words += [f"-oUserKnownHostsFile={hosts}"] if hosts else []
    return words + ([f"-oIdentityFile={key}", "-oIdentitiesOnly=yes"] if key else [])
