"""What is looked up on the engine is what compose was told to make."""

import os
from dataclasses import replace

import docker.errors
import pytest

from apps.environments.containers import found
from tests.environments.containers import projects
from tests.environments.containers.projects import SLEEPER, needs_engine, up

SERVICES = {
    "limited": {
        **SLEEPER,
        "mem_limit": "64m",
        "cpus": 0.5,
        "pids_limit": 40,
        "restart": "unless-stopped",
        "user": "1000:1000",
        "networks": ["inner"],
        "volumes": ["kept:/kept:ro"],
        "logging": {"driver": "json-file", "options": {"max-size": "1m", "max-file": "2"}},
    },
    "open": {
        "image": "busybox:1",
        "command": ["httpd", "-f", "-p", "8000"],
        "init": True,
        "ports": ["127.0.0.1::8000"],
        "expose": ["9000"],
        "networks": ["inner", "outer"],
        "healthcheck": {"test": ["CMD", "true"], "interval": "1s", "start_interval": "100ms", "start_period": "5s"},
    },
}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    networks = {"inner": {}, "outer": {}}
    with up(tmp_path_factory.mktemp("found"), SERVICES, networks=networks, volumes={"kept": {}}) as name:
        labels = (f"{found.PROJECT_LABEL}={name}", f"{found.SERVICE_LABEL}=ended", f"{found.ONE_OFF_LABEL}=False")
        made = projects.docker("create", *(f"--label={each}" for each in labels), "busybox:1", "sh", "-c", "exit 3")
        try:
            projects.docker("start", "--attach", made, check=False)
            yield name
        finally:
            projects.docker("rm", "--force", made)


@pytest.fixture(scope="module")
def there(project):
    with found.engine() as client:
        return {each.service: each for each in found.services(client, project)}


def test_it_finds_each_service_of_the_project(there):
    assert sorted(there) == ["ended", "limited", "open"]


def test_it_tells_limits_restarts_user_and_logs(there):
    each = there["limited"]
    assert each.limits == found.Limits(64 * 1024**2, 0.5, 40)
    assert (each.restart_policy, each.restarts, each.user, each.privileged) == ("unless-stopped", 0, "1000:1000", False)
    assert each.log_driver == "json-file"
    assert each.log_options == {"max-size": "1m", "max-file": "2"}
    assert (each.image, each.image_id[:7]) == ("busybox:1", "sha256:")


def test_no_limit_is_none(there):
    assert there["open"].limits == found.Limits(None, None, None)


def test_it_tells_what_is_published_and_what_only_exposed(there):
    assert {port.container for port in there["open"].ports} == {"8000/tcp", "9000/tcp"}
    (port,) = there["open"].published
    assert (port.container, port.host_ip) == ("8000/tcp", "127.0.0.1")
    assert port.host_port
    assert there["limited"].published == ()


def test_it_tells_networks_and_mounts(there, project):
    assert set(there["open"].networks) == {f"{project}_inner", f"{project}_outer"}
    assert all(there["open"].networks.values())
    assert there["limited"].mounts == (found.Mount("volume", f"{project}_kept", "/kept", writable=False),)


def test_it_tells_state_and_health(there):
    assert (there["open"].state, there["open"].health, there["open"].works) == ("running", "healthy", True)
    assert (there["limited"].state, there["limited"].health, there["limited"].works) == ("running", "", True)
    assert (there["ended"].state, there["ended"].exit_code, there["ended"].works) == ("exited", 3, False)


def test_unhealthy_does_not_work(there):
    assert not replace(there["open"], health="unhealthy").works
    assert not replace(there["open"], health="starting").works


def test_another_project_has_none_of_it():
    needs_engine()
    with found.engine() as client:
        assert found.services(client, "cases-that-nobody-made") == ()


def test_a_container_finds_itself_and_its_project(there, project, monkeypatch):
    monkeypatch.setattr(found.socket, "gethostname", lambda: there["open"].container[:12])
    with found.engine() as client:
        assert found.own_container(client).service == "open"
        assert found.project_of(client, "staging") == project


def test_on_a_host_the_project_is_named_after_the_environment():
    needs_engine()
    with found.engine() as client:
        assert found.own_container(client) is None
        assert found.project_of(client, "staging") == "flow-control-staging"


def test_no_engine_says_so_and_what_to_do():
    with pytest.raises(found.EngineAway) as caught, found.engine("unix:///nowhere/docker.sock"):
        pass
    assert "No Docker Engine answers on unix:///nowhere/docker.sock" in caught.value.message
    assert "Start Docker" in caught.value.hint


def test_docker_host_is_heard(monkeypatch):
    monkeypatch.setitem(os.environ, "DOCKER_HOST", "unix:///nowhere/docker.sock")
    with pytest.raises(found.EngineAway), found.engine():
        pass


def test_a_container_that_goes_away_is_left_out(there, project, monkeypatch):
    with found.engine() as client:
        inspect = client.api.inspect_container

        def gone(container):
            if container == there["open"].container:
                raise docker.errors.NotFound("it is gone")
            return inspect(container)

        monkeypatch.setattr(client.api, "inspect_container", gone)
        assert [each.service for each in found.services(client, project)] == ["ended", "limited"]
