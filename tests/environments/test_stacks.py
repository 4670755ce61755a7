"""Stacks go up and down on a real engine: what is up to date is left alone, what takes traffic has no gap, and what
goes wrong ends at its stage with the cause."""

import socket
import threading
import time
import urllib.error
import urllib.request

import pytest

from apps.audit.actors import SYSTEM
from apps.environments import actions, executor
from apps.environments.models import Environment, StackJob
from apps.environments.stages import containers, deploy
from tests.environments.bringing import SLEEPER, WEB, Stack, failed, stages
from tests.environments.containers.projects import docker, needs_engine
from tests.stack.portal import free_port

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def stack(tmp_path, settings):
    needs_engine()
    settings.DATA = tmp_path / "data"
    made = Stack(tmp_path / "compose.yaml", {"web": dict(WEB), "db": dict(SLEEPER)})
    yield made
    made.remove()


def test_it_goes_up_and_a_second_time_leaves_all_as_it_is(stack):
    stack.make()
    job = stack.change()
    assert (job.state, stages(job)) == (
        "succeeded",
        {
            "platform": "succeeded",
            "config": "succeeded",
            "build": "skipped",
            "deploy": "succeeded",
            "health": "succeeded",
        },
    )
    before = stack.containers()
    assert len(before) == 2
    assert stack.change().state == "succeeded"
    assert stack.containers() == before


def test_down_leaves_nothing_but_the_volumes_and_names_them(stack):
    stack.services["db"]["volumes"] = ["kept:/kept"]
    stack.more = {"volumes": {"kept": {}}}
    stack.make()
    stack.change()
    job = stack.change("down")
    assert job.state == "succeeded"
    assert f"{stack.project}_kept" in job.stages.get(name="stop").message
    assert stack.containers() == {}
    label = f"label=com.docker.compose.project={stack.project}"
    assert docker("network", "ls", "--quiet", "--filter", label) == ""
    assert docker("volume", "ls", "--quiet", "--filter", label) == f"{stack.project}_kept"


def test_what_has_changed_is_replaced_and_the_rest_is_not(stack):
    stack.make()
    stack.change()
    before = stack.containers()
    stack.services["db"]["environment"] = {"NEW": "1"}
    assert stack.change().state == "succeeded"
    after = stack.containers()
    web, db = f"{stack.project}-web-1", f"{stack.project}-db-1"
    assert after[web] == before[web]
    assert after[db] != before[db]


# --- traffic -----------------------------------------------------------------------------------------


class Load:
    """Asks again and again, one at a time, until told to stop; counts answers by their text."""

    def __init__(self, port):
        self.address = f"http://127.0.0.1:{port}/"
        self.answers, self.failures = [], []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        while not self._stop.is_set() and len(self.answers) + len(self.failures) < 20_000:
            try:
                with urllib.request.urlopen(self.address, timeout=5) as answer:
                    self.answers.append(answer.read().decode().strip())
            except (urllib.error.URLError, OSError) as error:
                self.failures.append(str(error))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()


@pytest.fixture
def routed(stack):
    port = free_port()
    stack.services["web"]["labels"] = {"flowcontrol.route": f"{port}:8000"}
    stack.make()
    assert stack.change().state == "succeeded"
    return stack, port


def word(stack, text):
    stack.services["web"]["environment"] = {"WORD": text}


def test_a_service_that_takes_traffic_is_replaced_without_a_failed_request(routed):
    stack, port = routed
    word(stack, "two")
    with Load(port) as load:
        job = stack.change()
    assert job.state == "succeeded"
    assert load.failures == []
    assert set(load.answers) == {"one", "two"}, "the load saw both, or it proves nothing"
    assert load.answers == sorted(load.answers), "after the switch nobody gets the old one"
    assert len([name for name in stack.containers() if "-web-" in name]) == 1


def test_a_new_one_that_does_not_work_is_removed_and_the_old_one_serves_on(routed):
    stack, port = routed
    before = stack.containers()
    stack.services["web"]["command"] = ["sh", "-c", "echo this is why >&2; exit 3"]
    with Load(port) as load:
        job = stack.change()
    stage = failed(job)
    assert (stage.name, stage.message) == ("deploy", "The new web ended with status 3; the old one still serves.")
    assert "this is why" in stage.tail
    assert (load.failures, set(load.answers)) == ([], {"one"})
    assert stack.containers() == before


def test_the_proxy_knows_its_target_after_it_was_killed(routed):
    stack, port = routed
    word(stack, "two")
    stack.change()
    docker("kill", f"{stack.project}-flowcontrol-proxy-1")
    docker("start", f"{stack.project}-flowcontrol-proxy-1")
    with Load(port) as load:
        _until(lambda: load.answers)
    assert set(load.answers) == {"two"}


def test_killed_between_the_start_of_the_new_and_the_switch_the_next_attempt_goes_on(routed, monkeypatch):
    stack, port = routed
    word(stack, "two")
    monkeypatch.setattr(deploy, "point", lambda *_: (_ for _ in ()).throw(SystemExit))
    with pytest.raises(SystemExit):
        stack.change()
    monkeypatch.undo()
    assert len([name for name in stack.containers() if "-web-" in name]) == 2
    job = StackJob.objects.latest("pk")
    StackJob.objects.filter(pk=job.pk).update(state="queued", lease_expires_at=None)
    with Load(port) as load:
        done = executor.execute(job.pk)
    assert (done.state, done.attempt) == ("succeeded", 2)
    assert load.failures == []
    assert len([name for name in stack.containers() if "-web-" in name]) == 1


def _until(what, seconds=20):
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


# --- what goes wrong ---------------------------------------------------------------------------------


def test_a_file_that_is_no_yaml_is_told_with_its_line(stack):
    stack.make()
    stack.write = lambda: stack.file.write_text("services:\n  web:\n    image: busybox:1\n     command: x\n")
    stage = failed(stack.change())
    assert stage.name == "config"
    assert stage.message == f"{stack.file}, line 4: mapping values are not allowed in this context"


def test_a_property_that_is_misspelt_is_told_with_its_line(stack):
    stack.make()
    stack.write = lambda: stack.file.write_text("services:\n  web:\n    image: busybox:1\n    comand: x\n")
    stage = failed(stack.change())
    assert stage.message.startswith(f"{stack.file}, line 4: ")
    assert "comand" in stage.message


def test_a_variable_without_a_value_is_told_and_nothing_is_started(stack):
    stack.services["web"]["environment"] = {"WORD": "${WROD}"}
    stack.make()
    stage = failed(stack.change())
    assert (stage.name, "WROD" in stage.message) == ("config", True)
    assert "environment variable set shop WROD VALUE" in stage.hint
    assert stack.containers() == {}


def test_an_image_that_is_not_to_be_had_is_told(stack):
    stack.services["web"] = {"image": "localhost:1/no-such-image:1"}
    stack.make()
    stage = failed(stack.change())
    assert stage.name == "deploy"
    assert stage.tail
    assert "image" in stage.hint


def test_an_image_that_does_not_build_is_told_with_its_last_lines(stack, tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM busybox:1\nRUN echo the cause is here && exit 7\n")
    stack.services["web"] = {"build": ".", "image": f"{stack.project}-web"}
    stack.make()
    stage = failed(stack.change())
    assert (stage.name, "the cause is here" in stage.tail) == ("build", True)
    assert "build failed" in stage.hint


def test_a_service_that_ends_is_told_with_what_it_said_last(stack):
    stack.services["web"] = {"image": "busybox:1", "command": ["sh", "-c", "echo no configuration; exit 4"]}
    stack.make()
    job = stack.change()
    stage = failed(job)
    assert (stage.name, stage.message) == ("health", "web has ended with status 4.")
    assert stage.tail == "no configuration"
    assert job.message == "Health check: web has ended with status 4."


def test_a_service_that_never_gets_healthy_is_told(stack, monkeypatch):
    monkeypatch.setattr(containers, "HEALTHY_SECONDS", 2.0)
    stack.services["web"]["healthcheck"] = {"test": ["CMD", "false"], "interval": "60s"}
    stack.make()
    stage = failed(stack.change())
    assert (stage.name, stage.message) == ("health", "web did not get healthy within 2 s.")


def test_a_port_that_another_program_has_is_told_with_its_name(stack):
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = taken.getsockname()[1]
        stack.services["web"]["ports"] = [f"{port}:8000"]
        stack.make()
        stage = failed(stack.change())
    assert stage.name == "config"
    assert stage.message.startswith(f"Port {port} is taken by ")
    assert "(process " in stage.message
    assert stack.containers() == {}


def test_a_port_that_another_container_has_is_told_with_its_name(stack, tmp_path):
    port, name = free_port(), f"{stack.project}-other"
    docker("run", "--detach", "--rm", "--name", name, "--publish", f"{port}:80", "busybox:1", "sleep", "60")
    try:
        stack.services["web"]["ports"] = [f"{port}:8000"]
        stack.make()
        stage = failed(stack.change())
    finally:
        docker("kill", name)
    assert stage.message == f"Port {port} is taken by the container {name}."


def test_a_container_over_its_memory_is_killed_and_not_the_machine(stack):
    limits = {"resources": {"limits": {"memory": "24m"}}}
    eat = ["sh", "-c", "sleep 0.5; x=0123456789; while :; do x=$$x$$x; done"]
    stack.services["web"] = {"image": "busybox:1", "command": eat, "deploy": limits, "memswap_limit": "24m"}
    stack.make()
    job = stack.change()
    _until(lambda: docker("inspect", "--format", "{{.State.Running}}", f"{stack.project}-web-1") == "false")
    state = docker("inspect", "--format", "{{.State.OOMKilled}} {{.State.ExitCode}}", f"{stack.project}-web-1")
    assert state == "true 137"
    if job.state == "failed":  # it had died before its health was asked for
        assert failed(job).message == "web has ended with status 137 (out of memory?)."


def test_an_engine_that_does_not_answer_is_told_and_nothing_else_is_tried(stack):
    environment = stack.make()
    Environment.objects.filter(pk=environment.pk).update(engine_url="unix:///no/such.sock")
    job = stack.change()
    stage = failed(job)
    assert (stage.name, stage.message) == ("platform", "No Docker Engine answers.")
    assert "start docker" in stage.hint.lower()
    assert set(stages(job).values()) == {"failed", "skipped"}


# --- one at a time, and stopping ---------------------------------------------------------------------


def test_of_two_changes_the_second_is_told_of_the_first(stack):
    environment = stack.make()
    first = actions.change_stack(by=SYSTEM, environment=environment, action="up")
    with pytest.raises(actions.StackBusy) as refused:
        actions.change_stack(by=SYSTEM, environment=environment, action="down")
    assert refused.value.job == first
    assert "already" in refused.value.message


def test_cancelled_while_it_waits_what_runs_goes_on_running(stack):
    stack.services["web"]["healthcheck"] = {"test": ["CMD", "false"], "interval": "60s"}
    environment = stack.make()
    job = actions.change_stack(by=SYSTEM, environment=environment, action="up")
    worker = threading.Thread(target=executor.execute, args=(job.pk,))
    worker.start()
    _until(lambda: job.stages.filter(name="health", status="running", progress__gt=0).exists(), 60)
    actions.cancel(by=SYSTEM, job=job)
    worker.join(20)
    job.refresh_from_db()
    assert job.state == "cancelled"
    assert stages(job)["health"] == "failed"
    assert len(stack.containers()) == 2
