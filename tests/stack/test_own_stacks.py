"""`make dev` and `make staging` as somebody at a terminal has them: on a copy of the project, on the real engine.

It takes minutes, so it is no part of `make test`: `make test-stacks` runs it, and CI does.
"""

import json
import os
import re
import shutil
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from http.cookiejar import CookieJar
from pathlib import Path

import pytest

from tests.environments.containers.projects import docker, needs_engine
from tests.stack.portal import ROOT, free_port, wait_for

pytestmark = [pytest.mark.stacks, pytest.mark.slow]

OF_MAKE = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "ARGS")  # of the make that started these tests
DEV_STAGES = ["Platform check", "Bridge protocol", "Start containers", "Health check", "Test framework", "Hot reload"]
STAGING_STAGES = [
    "Platform check",
    "Bridge protocol",
    "Build images",
    "Deploy services",
    "Health check",
    "Monitor state",
]


@dataclass
class Checkout:
    """A copy of what is in version control, with ports and folders of its own."""

    folder: Path
    variables: dict[str, str]
    environment: str
    project: str

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.variables['APP_PORT']}"

    def run(self, *command: str, seconds: float = 1200) -> subprocess.CompletedProcess[str]:
        away = ("DATABASE_URL", "REDIS_URL", "FLOWCONTROL_DATA", "FLOWCONTROL_LOGS", "DJANGO_SETTINGS_MODULE", *OF_MAKE)
        inherited = {name: value for name, value in os.environ.items() if name not in away}
        return subprocess.run(
            command,
            cwd=self.folder,
            env={**inherited, **self.variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run(".venv/bin/python", "manage.py", *arguments)

    def containers(self) -> dict[str, str]:
        """Service → the name of its container."""
        label = f"label=com.docker.compose.project={self.project}"
        form = '{{.Label "com.docker.compose.service"}} {{.Names}}'
        found = [line.split() for line in docker("ps", "--all", "--filter", label, "--format", form).splitlines()]
        return {service: name for service, name in found if not name.endswith("-kept")}

    def is_well(self) -> bool:
        said = json.loads(self.manage("environment", "status", self.environment, "--json").stdout)
        return all(each["health"] == "healthy" for each in said["services"])


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    needs_engine()

    def make(environment, **variables):
        folder = tmp_path_factory.mktemp(environment)
        tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
        for name in filter(None, tracked.stdout.split("\0")):
            if (ROOT / name).exists():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        (folder / ".venv").symlink_to(ROOT / ".venv")
        own = {
            **{name: str(free_port()) for name in ("APP_PORT", "WEBHOOK_PORT", "DEBUGGER_PORT")},
            "FLOWCONTROL_IMAGE": "flow-control:test",
            "FLOWCONTROL_CONTROLLER_IMAGE": "flow-control:test-controller",
            "FLOWCONTROL_DEV_IMAGE": "flow-control:test-dev",
        }
        made = Checkout(folder, {**own, **variables}, environment, f"fct-{environment}-{os.getpid()}")
        # A project of its own, so that no stack of whoever runs this is touched.
        assert made.manage("migrate", "--verbosity", "0").returncode == 0
        name = "from apps.environments.models import Environment as E; E.objects.update_or_create"
        set_project = (
            f"{name}(slug={environment!r}, defaults=dict(name={environment.title()!r}, project={made.project!r}))"
        )
        assert made.manage("shell", "--command", set_project).returncode == 0
        return made

    return make


def told_stages(done):
    return re.findall(r"^(?:✓|ok) (\S.*?) +[\d.]+ s ", done.stderr, re.MULTILINE)


def the_rest_of(project):
    label = f"label=com.docker.compose.project={project}"
    return {
        kind: docker(kind, "ls", *(["--all"] if kind == "container" else []), "--quiet", "--filter", label).split()
        for kind in ("container", "network", "volume")
    }


def sweep(project):
    rest = the_rest_of(project)
    if rest["container"]:
        docker("rm", "--force", "--volumes", *rest["container"], check=False)
    for kind in ("network", "volume"):
        if rest[kind]:
            docker(kind, "rm", *rest[kind], check=False)


class Browser:
    """Somebody who is logged in."""

    def __init__(self, address, password):
        self.address, self.jar = address, CookieJar()
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.jar))
        page = self.get("/admin/login/")
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
        assert token, "the login page has no form"
        fields = {"csrfmiddlewaretoken": token[1], "username": "admin", "password": password, "next": "/"}
        request = urllib.request.Request(
            f"{address}/admin/login/", urllib.parse.urlencode(fields).encode(), {"Referer": f"{address}/admin/login/"}
        )
        with self.opener.open(request, timeout=20) as answer:
            assert "Overview" in answer.read().decode()

    def get(self, path):
        with self.opener.open(self.address + path, timeout=20) as answer:
            return answer.read().decode()

    def sees(self, path, text):
        try:
            return text in self.get(path)
        except (urllib.error.URLError, OSError):
            return False


# --- development -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dev(copy):
    made = copy("dev")
    yield made
    sweep(made.project)


@pytest.fixture(scope="module")
def dev_up(dev):
    done = dev.run("make", "dev")
    assert done.returncode == 0, done.stderr[-3000:]
    return done


def test_make_dev_shows_six_stages_that_succeed(dev_up):
    print(dev_up.stderr)
    assert told_stages(dev_up) == DEV_STAGES
    assert "succeeded: Dev is up." in dev_up.stderr


def test_it_says_where_to_log_in(dev, dev_up):
    assert f"http://localhost:{dev.variables['APP_PORT']}" in dev_up.stderr


def test_a_changed_template_and_python_file_are_live_and_nobody_is_logged_out(dev, dev_up):
    person = Browser(dev.address, (dev.folder / "data/run/admin_password").read_text().strip())
    page = dev.folder / "templates/portal/environments.html"
    began = time.monotonic()
    page.write_text(page.read_text().replace("{% block page %}", "{% block page %}<p>changed by hand</p>", 1))
    wait_for(lambda: person.sees("/environments/", "changed by hand"), 30, "the changed template")
    print(f"a template is live after {time.monotonic() - began:.1f} s")
    views = dev.folder / "apps/portal/views.py"
    began = time.monotonic()
    views.write_text(views.read_text().replace('"title": "Overview"', '"title": "Overview by hand"', 1))
    wait_for(lambda: person.sees("/", "Overview by hand"), 30, "the changed view")
    print(f"a Python file is live after {time.monotonic() - began:.1f} s")


def test_a_second_make_dev_leaves_containers_as_they_are(dev, dev_up):
    wait_for(dev.is_well, 120, "the stack after the change")
    before = docker("ps", "--quiet", "--no-trunc", "--filter", f"label=com.docker.compose.project={dev.project}")
    done = dev.run("make", "dev")
    assert done.returncode == 0, done.stderr[-3000:]
    after = docker("ps", "--quiet", "--no-trunc", "--filter", f"label=com.docker.compose.project={dev.project}")
    assert set(after.split()) == set(before.split())


def test_down_leaves_nothing_but_the_volumes(dev, dev_up):
    done = dev.manage("environment", "down", "dev")
    assert done.returncode == 0, done.stderr
    rest = the_rest_of(dev.project)
    assert (rest["container"], rest["network"]) == ([], [])
    assert rest["volume"]
    assert all(name in done.stderr for name in rest["volume"])


# --- staging -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def staging(copy, tmp_path_factory):
    state = tmp_path_factory.mktemp("state")
    made = copy("staging", FLOWCONTROL_STATE=str(state))
    yield made
    sweep(made.project)


@pytest.fixture(scope="module")
def staging_up(staging):
    done = staging.run("make", "staging")
    assert done.returncode == 0, done.stderr[-3000:]
    return done


def in_app(staging, code):
    """What a piece of Python prints in the portal's container."""
    name = staging.containers()["app"]
    return docker("exec", "--interactive", name, "python", "manage.py", "shell", "--command", code)


def test_make_staging_shows_six_stages_that_succeed(staging_up):
    print(staging_up.stderr)
    assert told_stages(staging_up) == STAGING_STAGES


def test_the_portal_and_the_webhook_service_answer_through_the_proxy(staging, staging_up):
    password = (Path(staging.variables["FLOWCONTROL_STATE"]) / "secrets/admin_password").read_text().strip()
    assert "Environments" in Browser(staging.address, password).get("/")
    address = f"http://127.0.0.1:{staging.variables['WEBHOOK_PORT']}/"
    with urllib.request.urlopen(address, timeout=20) as answer:
        assert json.load(answer)["environment"] == "staging"


def test_its_own_portal_shows_how_it_came_up_and_what_runs(staging, staging_up):
    password = (Path(staging.variables["FLOWCONTROL_STATE"]) / "secrets/admin_password").read_text().strip()
    person = Browser(staging.address, password)
    for service in staging.containers():
        wait_for(lambda name=service: person.sees("/environments/staging/", f"{name}-1"), 60, f"{service} on the page")
    told = "from apps.environments.models import StackJob; print([(j.action, j.state) for j in StackJob.objects.all()])"
    assert in_app(staging, told).splitlines()[-1] == "[('up', 'succeeded')]"


def test_only_the_proxy_is_published(staging, staging_up):
    published = {
        service: docker("port", name) for service, name in staging.containers().items() if docker("port", name)
    }
    assert set(published) == {"proxy"}


def test_the_layers_of_staging_pass_and_a_flow_runs_on_postgres(staging, staging_up):
    done = staging.run("make", "verify-staging", f"STAGING_PROJECT={staging.project}")
    print(done.stderr + done.stdout)
    assert done.returncode == 0, (done.stderr + done.stdout)[-4000:]
    said = in_app(
        staging,
        "from django.db import connection; from apps.runs.models import Run; "
        "print(connection.vendor, Run.objects.filter(state='succeeded', environment__slug='staging').count())",
    )
    vendor, number = said.splitlines()[-1].split()
    assert (vendor, int(number) > 0) == ("postgresql", True)


def test_the_kill_of_any_service_loses_no_state(staging, staging_up):
    count = (
        "from apps.runs.models import Run; from apps.audit.models import AuditEvent; "
        "print(Run.objects.count(), AuditEvent.objects.filter(kind='account.create').count())"
    )
    before = in_app(staging, count).splitlines()[-1]
    for _service, name in sorted(staging.containers().items()):
        docker("kill", name)
        docker("start", name)
    wait_for(staging.is_well, 180, "the stack after each of its services was killed")
    assert in_app(staging, count).splitlines()[-1] == before


class Load:
    """Asks whether the portal is alive, again and again, until it is left; what it answered, and what failed."""

    def __init__(self, address):
        self.address, self.answers, self.failures = address, [], []
        self._stop, self._thread = threading.Event(), threading.Thread(target=self._run)

    def _run(self):
        while not self._stop.is_set():
            try:
                with urllib.request.urlopen(f"{self.address}/healthz", timeout=20) as answer:
                    self.answers.append(answer.status)
            except (urllib.error.URLError, OSError) as error:
                self.failures.append(str(error))
            self._stop.wait(0.02)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()


def test_a_new_build_is_deployed_without_a_failed_request(staging, staging_up):
    (staging.folder / "apps/portal/__init__.py").write_text('"""Changed."""\n')
    before = staging.containers()["app"]
    with Load(staging.address) as load:
        done = staging.run("make", "staging")
    assert done.returncode == 0, done.stderr[-3000:]
    print(f"{len(load.answers)} answers, {len(load.failures)} failures; {before} became {staging.containers()['app']}")
    assert staging.containers()["app"] != before
    assert (load.failures, set(load.answers)) == ([], {200})


def test_a_release_of_it_goes_in_and_is_taken_back_without_a_failed_request(staging, staging_up):
    def release():
        made = json.loads(staging.manage("release", "create", "staging", "--json").stdout)
        assert made["status"] == "succeeded", made
        return made["release"]

    def deploy(*words):
        with Load(staging.address) as load:
            done = json.loads(staging.manage("deployment", *words, "--wait", "--json").stdout)
        print(words, done["status"], [(row["name"], row["seconds"], row["message"]) for row in done["stages"]])
        print(f"{len(load.answers)} answers, {len(load.failures)} failures")
        assert done["status"] == "succeeded", done
        assert (load.failures, set(load.answers)) == ([], {200})
        return done["release"]

    staging.manage("environment", "change", "staging", "--watch-seconds", "5")
    before = staging.containers()
    first = deploy("start", "staging", "--release", release())
    assert set(before.values()) == set(staging.containers().values()), "it is what runs already"
    (staging.folder / "apps/portal/__init__.py").write_text('"""Changed once more."""\n')
    second = deploy("start", "staging", "--release", release())
    assert second != first
    assert staging.containers()["app"] != before["app"]
    assert deploy("rollback", "staging") == first
    wait_for(staging.is_well, 120, "the stack after the rollback")


def test_down_leaves_nothing_of_staging_but_the_volumes(staging, staging_up):
    done = staging.manage("environment", "down", "staging")
    assert done.returncode == 0, done.stderr
    rest = the_rest_of(staging.project)
    assert (rest["container"], rest["network"]) == ([], [])
    assert all(name in done.stderr for name in rest["volume"])
