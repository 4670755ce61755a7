"""What a hook starts: fetch the branch, make a release of it, deploy it.

Each stage can be done again. Every attempt fetches into a folder of its own and renames what it got to its commit, so
that a killed one leaves nothing that looks whole. The build and the deployment are jobs of their own, named on the row in
the transaction that makes them: the next attempt goes on with them instead of starting others.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.db.models import TextField
from django.db.models.functions import Cast

from apps.audit.actors import Actor
from apps.common import clock
from apps.common.errors import FlowControlError
from apps.deployments import actions, executor
from apps.deployments.hooks import repositories
from apps.deployments.hooks.models import Fetch
from apps.deployments.models import Release
from apps.environments import variables
from apps.environments.actions import EnvironmentBusy
from apps.environments.stages import stack
from apps.environments.stages.attempt import Attempt
from apps.environments.stages.model import Outcome, Stage, StageFailed
from apps.environments.stages.stand import Stand, passed_on
from apps.jobs import leases
from apps.jobs.leases import Lease
from apps.jobs.states import State

KEPT_TREES = 5  # of each source, beside those that a release names
AGAIN_SECONDS = 10.0  # while somebody else changes the environment
PATIENCE = timedelta(hours=1)  # until a fetch gives up waiting for that
LOOK_SECONDS = 0.5


class Later(Exception):  # noqa: N818
    """Not now: somebody else is at work there."""


class Superseded(Exception):  # noqa: N818
    """A later fetch of the same source does what this one would."""


def execute(pk: int, *, worker: str = "") -> Fetch | None:
    """Do the fetch `pk` if it is to be had. Returns its row as it is after this attempt, None where there was nothing to do."""
    lease = leases.claim(Fetch, pk, worker=worker)
    if lease is None:
        return None
    job = Fetch.objects.select_related("environment", "source").get(pk=pk)
    with lease:
        FetchAttempt(lease, job).perform()
    job.refresh_from_db()
    return job


class FetchStand(Stand):
    """What the stages of a fetch stand on. Its commands are git's, which get to know nothing of the environment."""

    job: Fetch

    def __init__(self, job: Fetch, lease: Lease) -> None:
        # Not Stand's own: that is about a stack's files, which are only being fetched.
        self.job, self.environment, self.by = job, job.environment, job.requested_by
        self.lease, self.source = lease, job.source
        self.folder = Path(settings.BASE_DIR)
        self.files, self.files_folder = (), None
        self.tell = lambda fraction, message: None
        self.masked = stack.masker(job.environment)
        self.switches = {}
        self._variables = {name: each for name, each in passed_on().items() if not name.startswith("DOCKER_")}

    def git(self, command: tuple[str, ...], timeout: float, more: dict[str, str]) -> str:
        """What git says. Raises StageFailed with git's own reason."""
        before = self._variables
        self._variables = {**before, **more}
        try:
            return self.run(command, timeout=timeout)
        except StageFailed as failure:
            message, hint = repositories.explain(self.source.repository, failure.tail)
            raise StageFailed(message or failure.message, hint=hint or failure.hint, tail=failure.tail) from failure
        finally:
            self._variables = before


class FetchAttempt(Attempt):
    job: Fetch

    def __init__(self, lease: Lease, job: Fetch) -> None:
        super().__init__(lease, job, self._said)

    def perform(self) -> None:
        try:
            super().perform()
        except Superseded as error:
            self.lease.finish(State.CANCELLED, str(error))
        except Later as error:
            self._wait(str(error))

    def stand(self) -> FetchStand:
        return FetchStand(self.job, self.lease)

    def stage(self, name: str) -> Stage:
        return BY_NAME[name]

    def _said(self) -> str:
        self.job.refresh_from_db()
        return f"{self.job.commit[:12]} is deployed by deployment {self.job.deployment_id}."

    def _wait(self, why: str) -> None:
        if clock.now() - self.job.created_at > PATIENCE:
            self.lease.finish(State.FAILED, f"{why} It did not end within {PATIENCE.total_seconds() / 60:g} minutes.")
            return
        # Waiting is no failed attempt.
        self.lease.give_back(f"Waits: {why}", delay=AGAIN_SECONDS, max_attempts=self.job.max_attempts + 1)


# --- the stages -------------------------------------------------------------------------------------------


def fetch(stand: FetchStand) -> Outcome:
    """The branch's newest commit is in a folder of its own."""
    _give_way(stand)
    source = stand.source
    url, branch = repositories.check_repository(source.repository), repositories.check_branch(source.branch)
    with _access(stand) as more:
        stand.progress(0.1, f"Asks {source.repository} for {branch}.")
        there = repositories.commit_in(stand.git(repositories.ask_branch(url, branch), repositories.ASK_SECONDS, more))
        if not there:
            raise StageFailed(
                f"{source.repository} has no branch {branch}.", hint="Change the branch of the hook, or push it first."
            )
        commit = there
        if not tree_of(source.name, there).exists():
            commit = _bring(stand, url, branch, more)
    stand.job.commit = commit
    stand.lease.write(commit=commit)
    _clear(stand)
    return Outcome(f"{branch} is at {commit[:12]}.")


def _bring(stand: FetchStand, url: str, branch: str, more: dict[str, str]) -> str:
    """Fetch the commit and put its files into place. Returns the commit: another one, where somebody pushed meanwhile."""
    folder = place(stand.source.name) / f"attempt-{stand.job.pk}-{stand.lease.fence}"
    shutil.rmtree(folder, ignore_errors=True)
    store, tree = folder / "store", folder / "tree"
    tree.mkdir(parents=True)
    try:
        stand.git(repositories.make_store(store), 30.0, more)
        stand.progress(0.3, f"Fetches {branch}.")
        stand.git(repositories.fetch(store, url, branch), repositories.FETCH_SECONDS, more)
        commit = repositories.commit_in(stand.git(repositories.fetched_commit(store), 30.0, more))
        if not commit:
            raise StageFailed(f"What {url} has as {branch} is no commit.")
        index = {**more, "GIT_INDEX_FILE": str(folder / "index")}
        stand.git(repositories.read_tree(store, tree, commit), 60.0, index)
        stand.git(repositories.write_tree(store, tree), repositories.FETCH_SECONDS, index)
        target = tree_of(stand.source.name, commit)
        target.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(OSError):  # another attempt has put the same there
            tree.rename(target)
        return commit
    except OSError as error:
        raise StageFailed(
            f"The files of {branch} cannot be written: {error.strerror}.", hint="Make room in the data folder."
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def build(stand: FetchStand) -> Outcome:
    """A release of what was fetched."""
    job = stand.job
    if job.build is None:
        _give_way(stand)
        _start_build(stand)
    assert job.build is not None
    while not job.build.is_final:
        # Here, where no other worker has begun: this one has the engine, too.
        if executor.execute_build(job.build.pk) is None:
            stand.wait(LOOK_SECONDS)
        stand.check()
        job.build.refresh_from_db()
    if job.build.state != State.SUCCEEDED or job.build.release is None:
        raise StageFailed(job.build.message or "No release was made.", hint=f"See build {job.build_id}.")
    return Outcome(f"{job.build.release} of {job.commit[:12]}.")


def _start_build(stand: FetchStand) -> None:
    job = stand.job
    file = compose_file(stand.source.name, job.commit, stand.source.compose_path)
    note = f"{stand.source.name}: {stand.source.branch} at {job.commit[:12]}"
    try:
        with stand.lease.guarded():
            made = actions.build_release(
                by=_by(job), environment=job.environment, note=note, file=str(file), revision=job.commit
            )
            Fetch.objects.filter(pk=job.pk).update(build=made)
    except EnvironmentBusy as error:
        raise Later(error.message) from error
    job.build = made


def deploy(stand: FetchStand) -> Outcome:
    """The release is on its way. What becomes of it is the deployment's to say."""
    job = stand.job
    assert job.build is not None
    release = job.build.release
    assert release is not None
    if job.deployment is None:
        try:
            with stand.lease.guarded():
                made = actions.start(by=_by(job), environment=job.environment, release=release, by_itself=True)
                Fetch.objects.filter(pk=job.pk).update(deployment=made)
        except EnvironmentBusy as error:
            raise Later(error.message) from error
        except (actions.EnvironmentPinned, actions.GateShut) as error:
            raise StageFailed(error.message, hint=error.hint) from error
        job.deployment = made
    return Outcome(
        f"Deployment {job.deployment.pk} of {release} is {job.deployment.status}.",
        refers_to=f"deployment:{job.deployment.pk}",
    )


BY_NAME = {
    "fetch": Stage("fetch", "Fetch the branch", fetch),
    "build": Stage("build", "Make a release", build),
    "deploy": Stage("deploy", "Deploy it", deploy),
}


# --- what they share -------------------------------------------------------------------------------------


def _by(job: Fetch) -> Actor:
    return Actor(job.requested_by, "system")


def _give_way(stand: FetchStand) -> None:
    """To a later fetch, as long as nothing was made: that one brings the newest commit."""
    later = Fetch.objects.filter(source=stand.source, pk__gt=stand.job.pk).order_by("-id").first()
    if later and later.state in (State.QUEUED, State.RUNNING):
        raise Superseded(f"Fetch {later.pk} came after it, and does the same.")


def place(name: str) -> Path:
    """The folder of a source. No space or quote is in its name, nor may be in the data folder's for keys of ssh."""
    return Path(settings.DATA) / "run" / "sources" / name


def tree_of(name: str, commit: str) -> Path:
    """The files of one commit; never changed once it is there."""
    return place(name) / "trees" / commit


def compose_file(name: str, commit: str, path: str) -> Path:
    """The compose file in what was fetched. Raises StageFailed where there is none, or it leads out of the tree."""
    tree = tree_of(name, commit)
    found = tree / repositories.check_compose_path(path)
    if not found.resolve().is_relative_to(tree.resolve()) or not found.is_file():
        raise StageFailed(
            f"{path} is not in the branch at {commit[:12]}.",
            hint="Change the compose file of the hook, or add it there.",
        )
    return found


def _clear(stand: FetchStand) -> None:
    """Throw away what killed attempts left, and the oldest trees that no release needs."""
    folder = place(stand.source.name)
    for left in folder.glob("attempt-*"):
        if (
            f"-{stand.job.pk}-" in left.name
            or not Fetch.objects.filter(source=stand.source, state=State.RUNNING, pk=_number(left.name)).exists()
        ):
            shutil.rmtree(left, ignore_errors=True)
    trees = sorted((folder / "trees").glob("*"), key=lambda each: each.lstat().st_ctime, reverse=True)
    for tree in trees[KEPT_TREES:]:
        if tree.name != stand.job.commit and not _is_needed(tree):
            shutil.rmtree(tree, ignore_errors=True)


def _number(name: str) -> int:
    number = name.split("-")[1]
    return int(number) if number.isdigit() else 0


def _is_needed(tree: Path) -> bool:
    """Whether a release mounts something of it, or is just being made of it."""
    if Fetch.objects.filter(commit=tree.name, state__in=[State.QUEUED, State.RUNNING]).exists():
        return True
    rows = Release.objects.annotate(text=Cast("description", TextField()))
    return bool(rows.filter(text__contains=tree.name).exists())


@contextlib.contextmanager
def _access(stand: FetchStand) -> Iterator[dict[str, str]]:
    """The variables with which git may open the repository. A key of ssh is in a file only as long as this lasts."""
    source = stand.source
    folder = place(source.name)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        credential = variables.revealed(source.environment, source.credential) if source.credential else ""
    except FlowControlError as error:
        raise StageFailed(error.message, hint=error.hint) from error
    hosts = folder / "known_hosts"
    if not credential or source.repository.startswith("https://"):
        yield repositories.environment(source.repository, credential, hosts=hosts)
        return
    key = folder / f"key-{stand.job.pk}-{stand.lease.fence}"
    try:
        for left in folder.glob("key-*"):
            left.unlink(missing_ok=True)
        with os.fdopen(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(credential.rstrip("\n") + "\n")
        yield repositories.environment(source.repository, key=key, hosts=hosts)
    finally:
        key.unlink(missing_ok=True)
