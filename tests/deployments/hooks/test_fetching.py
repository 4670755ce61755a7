"""From a push to a deployment: real repositories, and the real engine where one is."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from apps.audit.actors import SYSTEM
from apps.deployments import building, executor, queries
from apps.deployments.hooks import fetching, notices
from apps.deployments.hooks.models import Fetch, Notice
from apps.deployments.models import Build
from apps.environments.models import Environment
from apps.environments.stages.model import StageFailed
from apps.jobs import reconciler, registry
from tests.deployments import deploying
from tests.deployments.hooks import hooking
from tests.deployments.hooks.hooking import github, push, take
from tests.environments.containers.projects import needs_engine
from tests.stack.portal import ROOT, free_port, wait_for

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def places(settings, tmp_path):
    settings.DATA = tmp_path / "data"
    settings.SECRETS_KEYS_PATH, settings.SECRETS_KEYS = tmp_path / "secrets_keys", ""


@pytest.fixture
def repository(tmp_path):
    return hooking.Repository(tmp_path / "shop-repository")


@pytest.fixture
def source(repository):
    return hooking.source(repository=repository.folder.as_uri())


def knock():
    body = push()
    return take(body, github(body))


def attempt(monkeypatch, *, stages=("fetch",)):
    """Do the newest fetch as far as these stages; the rest is not what this is about."""
    for name in {"build", "deploy"} - set(stages):
        skip = fetching.Stage(name, name, lambda stand: fetching.Outcome("Not here."))
        monkeypatch.setitem(fetching.BY_NAME, name, skip)
    return fetching.execute(Fetch.objects.order_by("-id").first().pk)


def files(source, commit):
    tree = fetching.tree_of(source.name, commit)
    return {str(each.relative_to(tree)): each.read_text() for each in tree.rglob("*") if each.is_file()}


def left(source):
    return sorted(each.name for each in fetching.place(source.name).iterdir())


def test_the_branch_is_fetched_as_it_is_now(source, repository, monkeypatch):
    knock()
    commit = repository.commit({"compose.yaml": "services: {}", "sub/a b": "ä"})
    job = attempt(monkeypatch)
    assert (job.state, job.commit) == ("succeeded", commit), job.message
    assert files(source, commit) == {"README": "one", "compose.yaml": "services: {}", "sub/a b": "ä"}
    assert left(source) == ["trees"]


def test_a_repository_runs_nothing(source, repository, monkeypatch, tmp_path):
    mark = tmp_path / "ran"
    hook = repository.folder / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {mark}\n")
    hook.chmod(0o755)
    repository.commit(
        {
            ".gitattributes": "* filter=evil\n",
            ".gitmodules": f'[submodule "x"]\n path = x\n url = ext::sh -c "touch% {mark}"\n',
            ".githooks/post-checkout": f"#!/bin/sh\ntouch {mark}\n",
        }
    )
    repository.git("config", "filter.evil.smudge", f"touch {mark}")
    knock()
    assert attempt(monkeypatch).state == "succeeded"
    assert not mark.exists()


def test_a_branch_or_repository_that_is_not_there_is_said(source, repository, monkeypatch):
    type(source).objects.update(branch="gone")
    knocked = push("gone")
    take(knocked, github(knocked))
    assert "has no branch gone" in attempt(monkeypatch).message
    type(source).objects.update(branch="main", repository="/srv/not there".replace(" ", "-"))
    knock()
    job = attempt(monkeypatch)
    row = job.stages.get(name="fetch")
    assert job.state == "failed"
    assert row.message == "/srv/not-there could not be read: it is not there, or does not let us in."
    assert (bool(row.tail), "needs a secret" in row.hint) == (True, True)


def test_what_is_asked_for_while_a_later_one_waits_is_left_to_that(source, monkeypatch):
    knock()
    first = Fetch.objects.get()
    Fetch.objects.update(attempt=1)
    knock()
    done = fetching.execute(first.pk)
    assert done.state == "cancelled"
    assert "came after it" in done.message


def test_trees_that_no_release_needs_go(source, repository, monkeypatch):
    monkeypatch.setattr(fetching, "KEPT_TREES", 1)
    commits = []
    for word in "abc":
        commits.append(repository.commit({"word": word}))
        knock()
        assert attempt(monkeypatch).state == "succeeded"
    assert [each.name for each in (fetching.place(source.name) / "trees").iterdir()] == commits[-1:]


def test_a_compose_file_does_not_lead_out_of_the_tree(source, repository, monkeypatch):
    repository.commit({"x": "y"})
    (repository.folder / "compose.yaml").symlink_to("/etc/passwd")
    (repository.folder / "deep").symlink_to("/etc")
    commit = repository.commit({"z": "y"})
    knock()
    attempt(monkeypatch)
    for path in ("compose.yaml", "deep/passwd", "missing.yaml"):
        with pytest.raises(StageFailed):
            fetching.compose_file(source.name, commit, path)


def test_a_fetch_that_fails_is_told_of(source, monkeypatch):
    with hooking.receiver() as receiver:
        hooking.target(receiver.url)
        type(source).objects.update(repository="/srv/nowhere.git")
        knock()
        attempt(monkeypatch)
        notices.execute(Notice.objects.get().pk)
    told = json.loads(receiver.got[0][2])
    assert (told["type"], told["data"]["source"], told["data"]["deployment"]) == (
        "on_deploy_failure",
        "shop-main",
        None,
    )


def test_a_stack_of_ours_is_built_from_what_was_fetched_and_says_so(db):
    job = Build.objects.create(
        environment=Environment.objects.get(slug="dev"),
        file="/fetched/compose.yaml",
        revision="a" * 40,
        requested_by="ann",
    )
    stand = building.BuildStand(job, None)
    assert stand.files == (Path("/fetched/compose.yaml"),)
    assert (stand.variables["FLOWCONTROL_REVISION"], stand.sources) == ("a" * 12, "a" * 40)


KILLED = """
import os, sys, django
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "flowcontrol.settings")
from django.conf import settings
settings.DATABASES["default"]["NAME"] = sys.argv[2]
settings.LEASE_SECONDS, settings.HEARTBEAT_SECONDS = 2, 0.7
django.setup()
from apps.deployments.hooks import fetching
from apps.environments.containers import running
start = running.subprocess.Popen
def popen(command, **how):
    print("git", command[-1] if len(command) < 20 else "fetch", flush=True)
    if any(each.startswith("+refs/") for each in command):
        command = ["sh", "-c", "sleep 600"]
    return start(command, **how)
running.subprocess.Popen = popen
fetching.execute(int(sys.argv[1]))
"""


def test_killed_in_the_middle_of_a_fetch_the_next_worker_brings_it_to_its_end(
    source, repository, monkeypatch, settings
):
    from django.db import connection

    if connection.vendor != "sqlite":
        pytest.skip("the second process opens this test's database as a file")
    commit = repository.commit({"word": "one"})
    knock()
    job = Fetch.objects.get()
    environment = {**os.environ, "FLOWCONTROL_DATA": str(settings.DATA), "FLOWCONTROL_LOGS": str(settings.DATA)}
    name = str(connection.settings_dict["NAME"])
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(job.pk), name], cwd=ROOT, env=environment, stdout=subprocess.PIPE
    )
    try:
        folder = fetching.place(source.name)
        wait_for(lambda: list(folder.glob("attempt-*/store/HEAD")) or process.poll() is not None, 60, "a store")
        assert process.poll() is None
        time.sleep(0.3)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert not (folder / "trees").exists()
    kind = registry.kind("fetch")
    wait_for(lambda: Fetch.objects.get().is_lost, 20, "its lease to run out")
    reconciler.settle(kind, Fetch.objects.get())
    job = attempt(monkeypatch)
    assert (job.state, job.commit, job.attempt) == ("succeeded", commit, 2)
    assert left(source) == ["trees"], "nothing of the killed attempt is left"


# --- to the end, on the engine -------------------------------------------------------------------------


@pytest.fixture
def shop(tmp_path, repository):
    needs_engine()
    made = deploying.make(tmp_path)
    made.prepare(free_port())
    web = {**made.services["web"]}
    yield made, web
    made.remove()


def compose(web, word):
    return json.dumps({"services": {"web": {**web, "environment": {"WORD": word}}}})


def test_a_push_is_built_deployed_and_told_of(shop, repository):
    made, web = shop
    hooking.source(repository=repository.folder.as_uri(), environment=made.environment, branch="main")
    with hooking.receiver() as receiver:
        hooking.target(receiver.url, environment=made.environment)
        for word in ("pushed", "again"):
            commit = repository.commit({"compose.yaml": compose(web, word)})
            answer = knock()
            job = fetching.execute(answer.document["fetch"])
            assert job.state == "succeeded", [(row.name, row.status, row.message) for row in job.stages.all()]
            done = executor.execute_deployment(job.deployment_id)
            assert done.status == "succeeded", done.message
            assert (done.requested_by, done.release.revision) == ("hook:shop-main", commit)
        assert queries.in_force(made.environment) == done.release
        for notice in Notice.objects.order_by("id"):
            notices.execute(notice.pk)
        told = [json.loads(body) for _, _, body in receiver.got]
    assert [each["type"] for each in told] == ["on_deploy_success"] * 2
    assert (told[1]["data"]["source"], told[1]["data"]["revision"]) == ("shop-main", commit)


def test_a_release_is_made_once_when_the_worker_dies_after_the_build(shop, repository):
    made, web = shop
    hooking.source(repository=repository.folder.as_uri(), environment=made.environment)
    repository.commit({"compose.yaml": compose(web, "pushed")})
    job = Fetch.objects.get(pk=knock().document["fetch"])
    with pytest.MonkeyPatch.context() as patch:

        def die(stand):
            raise SystemExit

        patch.setitem(fetching.BY_NAME, "deploy", fetching.Stage("deploy", "Deploy it", die))
        with contextlib.suppress(SystemExit):
            fetching.execute(job.pk)
    Fetch.objects.update(lease_expires_at=job.created_at)
    reconciler.settle(registry.kind("fetch"), Fetch.objects.get())
    done = fetching.execute(job.pk)
    assert (done.state, Build.objects.count()) == ("succeeded", 1), done.message


def test_it_waits_while_somebody_else_changes_the_environment(shop, repository):
    made, web = shop
    hooking.source(repository=repository.folder.as_uri(), environment=made.environment)
    one = made.say("one")
    repository.commit({"compose.yaml": compose(web, "pushed")})
    from apps.deployments import actions as deployments

    deployment = deployments.start(by=SYSTEM, environment=made.environment, release=one)
    job = fetching.execute(knock().document["fetch"])
    assert (job.state, "Waits: " in job.message) == ("queued", True), job.message
    made.perform(deployment)
    Fetch.objects.update(available_at=None)
    job = fetching.execute(job.pk)
    assert job.state == "succeeded", job.message


def test_a_pinned_environment_is_left_alone(shop, repository):
    made, web = shop
    hooking.source(repository=repository.folder.as_uri(), environment=made.environment)
    made.deploy(made.say("one"))
    two = made.say("two")
    made.deploy(two)
    made.rollback()
    repository.commit({"compose.yaml": compose(web, "pushed")})
    job = fetching.execute(knock().document["fetch"])
    assert job.state == "failed"
    assert "is pinned to" in job.message
    assert job.deployment is None
