"""What is handed to docker, word by word; what its answers mean; files of variables."""

from pathlib import Path

import pytest

from apps.environments.containers import commands, explain, running
from apps.environments.containers.commands import Compose
from apps.environments.containers.routing import RouteInvalid, proxy_description, routes_of
from apps.environments.containers.settings_file import SettingsFileError, read_settings
from apps.environments.snapshots import databases
from apps.environments.snapshots.hand import Container
from apps.environments.stages.platform import numbers

SHOP = Compose("shop", (Path("/srv/compose.yaml"),))
HEAD = ("docker", "compose", "--project-name", "shop", "--file", "/srv/compose.yaml")
PLAIN = ("--progress", "plain")


def test_up_starts_what_is_built_and_removes_what_is_no_longer_described():
    assert SHOP.up() == (*HEAD, *PLAIN, "up", "--detach", "--no-build", "--remove-orphans")


def test_one_more_touches_no_other_container():
    assert SHOP.one_more("web", 2)[8:] == (
        *("up", "--detach", "--no-build", "--no-deps", "--no-recreate", "--scale", "web=2", "web"),
    )


def test_down_reaches_every_profile_and_no_volume():
    assert SHOP.down() == (*HEAD, "--profile", "*", *PLAIN, "down", "--remove-orphans", "--timeout", "15")


def test_settings_and_further_files_are_named():
    own = Compose("own", (Path("a.yaml"), Path("b.json")), Path(".env.dev"))
    assert own.config()[:10] == (
        *(
            "docker",
            "compose",
            "--project-name",
            "own",
            "--file",
            "a.yaml",
            "--file",
            "b.json",
            "--env-file",
            ".env.dev",
        ),
    )


def test_a_command_in_a_service_gets_no_terminal():
    assert SHOP.execute("web", "true")[8:] == ("exec", "--no-TTY", "web", "true")


def test_who_publishes_a_port_is_asked_with_its_project():
    assert commands.publishers(80)[-1] == '{{.Names}} {{.Label "com.docker.compose.project"}}'


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        (
            "permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock",
            "group docker",
        ),
        ("Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?", "Start Docker Desktop"),
        ("write /var/lib/docker/tmp: no space left on device", "disk is full"),
        ("Bind for 0.0.0.0:80 failed: port is already allocated", "another port"),
        ("Error response from daemon: manifest unknown", "cannot be fetched"),
        ('exec: "nope": executable file not found in $PATH', "no such program"),
        ("something nobody has seen", ""),
    ],
)
def test_what_docker_says_has_a_cure(said, advice):
    assert advice in explain.hint([said])
    assert bool(explain.hint([said])) == bool(advice)


def test_variables_without_a_value_are_found_in_both_forms():
    said = [
        'time="…" level=warning msg="The \\"DB\\" variable is not set. Defaulting to a blank string."',
        "error while interpolating services.b.environment.X: required variable PW is missing a value: give it",
        'time="…" level=warning msg="The \\"DB\\" variable is not set. Defaulting to a blank string."',
    ]
    assert explain.missing_variables(said) == ["DB", "PW"]


@pytest.mark.parametrize(
    ("text", "found"), [("v2.26.1-4", (2, 26, 1, 4)), ("1.45", (1, 45)), ("2.29.7-desktop.1", (2, 29, 7, 1))]
)
def test_versions_are_compared_as_numbers(text, found):
    assert numbers(text) == found


def service(label):
    return {"image": "x", "labels": {"flowcontrol.route": label}}


def test_routes_are_read_from_labels():
    assert routes_of({"services": {"web": service("8080:8000"), "db": {"image": "y"}}}) == {"web": (8080, 8000)}


@pytest.mark.parametrize("label", ["8080", "a:b", ":8000", "8080:"])
def test_a_route_that_cannot_be_read_is_refused(label):
    with pytest.raises(RouteInvalid, match="HOSTPORT"):
        routes_of({"services": {"web": service(label)}})


def test_two_services_cannot_take_one_port():
    with pytest.raises(RouteInvalid, match="both want port 8080"):
        routes_of({"services": {"a": service("8080:1"), "b": service("8080:2")}})


def test_the_added_proxy_alone_publishes_and_is_limited():
    added = proxy_description({"web": (8080, 8000), "hook": (9001, 9001)})["services"]["flowcontrol-proxy"]
    assert added["ports"] == ["8080:8080", "9001:9001"]
    assert set(added["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}


def test_a_file_of_variables_is_read(tmp_path):
    path = tmp_path / ".env.x"
    path.write_text('# of staging\nAPP_PORT=8080   # the portal\n\nNAME="a b"\nEMPTY=\n')
    assert read_settings(path) == {"APP_PORT": "8080", "NAME": "a b", "EMPTY": ""}


@pytest.mark.parametrize(("text", "line"), [("APP_PORT 8080\n", 1), ("A=1\nA=2\n", 2), ("\n=x\n", 2)])
def test_a_line_that_is_no_variable_is_told_with_its_number(tmp_path, text, line):
    path = tmp_path / ".env.x"
    path.write_text(text)
    with pytest.raises(SettingsFileError, match=rf"\.env\.x, line {line}, "):
        read_settings(path)


def test_a_file_that_is_not_there_says_what_to_do(tmp_path):
    with pytest.raises(SettingsFileError) as refused:
        read_settings(tmp_path / ".env.x")
    assert refused.value.hint


def test_a_volume_is_reached_through_a_container_that_has_nothing_else():
    assert commands.helper("h", "shop_state", "sha256:1", "shop") == (
        *("docker", "create", "--name", "h", "--label", "flowcontrol.snapshot=shop", "--network", "none"),
        *("--user", "0:0", "--workdir", "/", "--no-healthcheck"),
        *("--mount", "type=volume,source=shop_state,target=/flowcontrol-volume,volume-nocopy"),
        *("--entrypoint", "true", "sha256:1"),
    )
    assert commands.copy_out("h") == ("docker", "cp", "h:/flowcontrol-volume", "-")
    assert commands.copy_in("h") == ("docker", "cp", "-", "h:/")
    assert commands.helper("h", "v", "i", "s", program=commands.EMPTY)[-len(commands.EMPTY) :] == (
        "i",
        *commands.EMPTY[1:],
    )


def test_who_runs_with_a_volume_is_asked_without_those_that_stand_still():
    assert commands.running_users_of("v") == (
        *("docker", "ps", "--filter", "volume=v", "--filter", "status=running", "--format", "{{.Names}}"),
    )


def test_a_dump_is_made_by_the_server_s_own_program_and_no_name_is_taken_for_options():
    server = Container("shop-db-1", "db", "running", "", {"PGDATA": "/p", "POSTGRES_USER": "shop"}, (), ())
    assert databases.dump_command(server, "a=b'c") == (
        *("docker", "exec", "shop-db-1", "pg_dump", "--username", "shop", "--format", "custom"),
        *("--dbname", "dbname='a=b\\'c'"),
    )
    assert databases.load_command(server, "x")[:4] == ("docker", "exec", "--interactive", "shop-db-1")


def test_names_of_databases_are_quoted_and_never_too_long():
    assert databases.drop('a"b') == 'drop database if exists "a""b" with (force);'
    long = databases.beside("x" * 80, "before", "1a2b3c")
    assert len(long) == 63
    assert long.endswith("__fc_before_1a2b3c")
    assert "d.datname = 'it''s'" in databases.create("new", "it's")


def test_large_data_goes_from_a_file_into_a_command_and_into_a_file(tmp_path):
    (tmp_path / "in").write_bytes(b"\0\xff" * 100_000)
    with (tmp_path / "in").open("rb") as source, (tmp_path / "out").open("wb") as sink:
        said = running.run(
            ("cat",), environment={"PATH": "/usr/bin:/bin"}, folder=tmp_path, timeout=20, source=source, sink=sink
        )
    assert said == ""
    assert (tmp_path / "out").read_bytes() == b"\0\xff" * 100_000
