"""The compose files hold what they promise of every service. Read by the real docker compose; nothing is started."""

import json
import os
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from apps.environments.containers.proxy import configuration
from apps.environments.containers.routing import HEALTH
from tests.environments.engine import needs_engine

ROOT = Path(__file__).resolve().parent.parent.parent
SERVICES = {
    "dev": {"dev", "test", "worker", "beat", "redis"},
    "staging": {"app", "webhook", "worker", "controller", "beat", "redis", "postgres", "proxy", "prometheus"},
}
PUBLISHING = {"dev": {"dev"}, "staging": {"proxy"}}
EACH = [(stack, service) for stack, services in SERVICES.items() for service in sorted(services)]
NAMES_OF_ITS_OWN = {
    "APP_PORT": "18080",
    "WEBHOOK_PORT": "19001",
    "APP_HOST": "127.0.0.1",
    "FLOWCONTROL_STATE": "/srv/elsewhere",
    "FLOWCONTROL_IMAGE": "mine:1",
    "FLOWCONTROL_CONTROLLER_IMAGE": "mine:2",
}


@cache
def config(stack: str, *variables: str) -> dict[str, Any]:
    """The whole document with its variables filled in, all profiles on. Each of `variables` is NAME=value."""
    files = ("--env-file", f".env.{stack}", "--file", f"compose.{stack}.yaml", "--profile", "*")
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "DOCKER_HOST", "DOCKER_CONFIG") if name in os.environ}
    said = subprocess.run(
        ["docker", "compose", *files, "config", "--format", "json"],
        cwd=ROOT,
        env=kept | dict(each.split("=", 1) for each in variables),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert said.returncode == 0, said.stderr
    found: dict[str, Any] = json.loads(said.stdout)
    return found


def service(stack: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = config(stack)["services"][name]
    return found


@needs_engine
@pytest.mark.parametrize("stack", SERVICES)
def test_a_stack_has_its_services(stack: str) -> None:
    assert set(config(stack)["services"]) == SERVICES[stack]


@needs_engine
@pytest.mark.parametrize(("stack", "name"), EACH)
class TestEachService:
    def test_it_is_held_to_limits(self, stack: str, name: str) -> None:
        found = service(stack, name)
        assert 0 < float(found["cpus"]) <= 2
        assert 0 < int(found["mem_limit"]) <= 4 * 1024**3
        assert 0 < found["pids_limit"] <= 400

    def test_it_is_asked_for_its_health_often_while_it_starts(self, stack: str, name: str) -> None:
        health = service(stack, name)["healthcheck"]
        assert health["test"][0] in ("CMD", "CMD-SHELL")
        assert health["start_interval"] == "1s"

    def test_it_comes_back(self, stack: str, name: str) -> None:
        assert service(stack, name)["restart"] == {"dev": "unless-stopped", "staging": "always"}[stack]

    def test_its_log_is_rotated(self, stack: str, name: str) -> None:
        log = service(stack, name)["logging"]
        assert log["driver"] == "json-file"
        assert log["options"]["max-size"]
        assert int(log["options"]["max-file"]) > 1

    def test_it_has_no_privilege(self, stack: str, name: str) -> None:
        found = service(stack, name)
        assert found["cap_drop"] == ["ALL"]
        assert not found.get("cap_add")
        assert "no-new-privileges:true" in found["security_opt"]
        assert not found.get("privileged")
        assert found.get("network_mode") is None
        assert found.get("user") or name == "prometheus", "prometheus is nobody by its image"

    def test_only_the_door_is_published(self, stack: str, name: str) -> None:
        assert bool(service(stack, name).get("ports")) == (name in PUBLISHING[stack])

    def test_no_secret_is_in_its_variables(self, stack: str, name: str) -> None:
        variables = service(stack, name).get("environment") or {}
        given = [key for key in variables if "PASSWORD" in key or "TOKEN" in key or key.endswith("_KEY")]
        assert [key for key in given if not key.endswith("_FILE") and variables[key]] == []


@needs_engine
class TestDev:
    def test_its_doors_are_on_loopback(self) -> None:
        assert {each["host_ip"] for each in service("dev", "dev")["ports"]} == {"127.0.0.1"}

    def test_the_project_is_mounted(self) -> None:
        for name in SERVICES["dev"] - {"redis"}:
            mounts = {each["target"]: each["source"] for each in service("dev", name)["volumes"]}
            assert mounts["/app"] == str(ROOT)

    def test_the_portal_alone_holds_the_data_folder(self) -> None:
        assert [name for name in SERVICES["dev"] if "--lock" in (service("dev", name).get("command") or [])] == ["dev"]

    def test_the_test_framework_is_a_profile(self) -> None:
        assert service("dev", "test")["profiles"] == ["test"]


@needs_engine
class TestStaging:
    @pytest.mark.parametrize("name", sorted(SERVICES["staging"]))
    def test_its_root_file_system_is_read_only(self, name: str) -> None:
        assert service("staging", name)["read_only"] is True
        assert service("staging", name)["tmpfs"]

    def test_the_controller_alone_has_the_docker_socket(self) -> None:
        having = [
            name
            for name in SERVICES["staging"]
            if any("docker.sock" in str(each.get("source")) for each in service("staging", name).get("volumes", []))
        ]
        assert having == ["controller"]

    def test_a_second_one_of_what_takes_traffic_can_run_beside_the_first(self) -> None:
        taking = {
            name: each
            for name, each in config("staging")["services"].items()
            if "flowcontrol.route" in each.get("labels", {})
        }
        assert set(taking) == {"app", "webhook"}
        for each in taking.values():
            assert "container_name" not in each
            assert not each.get("ports")

    def test_no_service_depends_on_another(self) -> None:
        """With `depends_on` a container that is started alone counts as another description: it is replaced for ever."""
        assert [name for name, each in config("staging")["services"].items() if each.get("depends_on")] == []

    def test_the_proxy_reaches_neither_database_nor_bus(self) -> None:
        networks = {name: set(service("staging", name)["networks"]) for name in SERVICES["staging"]}
        for name in ("postgres", "redis"):
            assert not networks["proxy"] & networks[name]
        for name in ("app", "webhook"):
            assert networks["proxy"] & networks[name]

    def test_the_proxy_starts_with_what_we_would_write_and_is_asked_as_elsewhere(self) -> None:
        kept = (ROOT / "monitoring" / "proxy" / "haproxy.cfg").read_text(encoding="utf-8")
        assert kept == configuration({8080: ("app", 8000), 9001: ("webhook", 9001)})
        routes = {name: service("staging", name)["labels"]["flowcontrol.route"] for name in ("app", "webhook")}
        assert routes == {"app": "8080:8000", "webhook": "9001:9001"}
        asked = [each.replace("$$", "$") for each in service("staging", "proxy")["healthcheck"]["test"]]
        assert asked == ["CMD", *HEALTH]

    def test_ports_names_and_places_are_to_choose(self) -> None:
        found = config("staging", *(f"{name}={value}" for name, value in NAMES_OF_ITS_OWN.items()))["services"]
        assert [(each["host_ip"], each["published"]) for each in found["proxy"]["ports"]] == [
            ("127.0.0.1", "18080"),
            ("127.0.0.1", "19001"),
        ]
        assert found["app"]["image"] == "mine:1"
        assert found["controller"]["image"] == "mine:2"
        assert "/srv/elsewhere/data" in {each["source"] for each in found["app"]["volumes"]}

    def test_a_folder_that_is_missing_is_not_made_by_the_engine(self) -> None:
        mounts = [each for name in SERVICES["staging"] for each in service("staging", name).get("volumes", [])]
        folders = [each for each in mounts if each["type"] == "bind" and "monitoring" not in each["source"]]
        assert folders
        assert [each for each in folders if each.get("bind", {}).get("create_host_path")] == []


def test_the_dockerfile_needs_nothing_fetched_to_be_read() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert "syntax=" not in text
    assert text.count("--require-hashes") == 2
    for target in ("production", "controller", "dev"):
        assert f" AS {target}\n" in text


def test_what_is_built_from_holds_no_secret_and_no_data() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*", "only what is named comes in"
    assert not {"!data", "!logs", "!.env", "!.env.dev", "!.env.staging", "!.git"} & set(rules)


def test_prometheus_asks_all_that_tells_figures() -> None:
    text = (ROOT / "monitoring" / "prometheus" / "prometheus.yml").read_text(encoding="utf-8")
    for target in ("app:8000", "webhook:9001", "proxy:8404", "localhost:9090"):
        assert target in text
    assert "credentials: " not in text, "the token comes from a file"
