"""A secret is planted and made to run through everything that writes or shows; then all bytes of it are searched.

The search itself is proven first: it finds what is really there, in each of the spellings that it looks for.
"""

import base64
import contextlib
import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings as django_settings
from django.contrib import admin
from django.core.management import call_command
from django.db import connection
from django.test import Client, override_settings
from django.urls import path, reverse

from apps.accounts.models import RoleGrant, User
from apps.audit.actors import SYSTEM
from apps.bridge.protocol import Bridge
from apps.common import clock
from apps.environments import variables
from apps.environments.models import Environment, StackJob, StageResult
from apps.environments.stages.attempt import Attempt
from apps.environments.stages.model import StageFailed
from apps.jobs import events, leases
from apps.jobs.registry import kind_of
from apps.jobs.states import State
from apps.jobs.transitions import move
from apps.runs.models import Run
from apps.testruns.models import TestRun
from flowcontrol.urls import urlpatterns as house_urls
from tests.house import world
from tests.house.routes import ADMIN_ROLE, IN_STAGING, ROUTES
from tests.house.walking import admin_routes

# What is left of it in every escaped spelling stands in its middle; around it is what JSON, HTML and URLs escape.
CORE = "Zq8xW3vK-planted-N7tYb2"
PLANTED = f'a"/&ö {CORE} ö&/"z'
NAME = "PLANTED_TOKEN"


def traces(blob: bytes) -> list[str]:
    """The spellings of the planted secret that stand in `blob`. Shares nothing with the masker."""
    core = CORE.encode()
    wanted = {
        "plain": core,
        "in URLs": quote(CORE, safe="").encode(),
        "UTF-16": CORE.encode("utf-16-le"),
        "hexadecimal": core.hex().encode(),
        "backwards": core[::-1],
    }
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + core)
        wanted[f"base64, shifted by {before}"] = encoded[4:-4]
    return [spelling for spelling, text in wanted.items() if text in blob]


@pytest.mark.parametrize(
    "blob",
    [
        PLANTED.encode(),
        json.dumps({"deep": [PLANTED]}).encode(),
        quote(PLANTED).encode(),
        *(base64.b64encode(b"x" * before + PLANTED.encode()) for before in range(3)),
        *(base64.b64encode(b"x" * before + CORE.encode()) for before in range(3)),
        PLANTED.encode("utf-16"),
        PLANTED.encode().hex().encode(),
    ],
)
def test_the_search_finds_what_is_there(blob):
    assert traces(b"before " + blob + b" after")
    assert not traces(b"before and after, hunter2")


@pytest.fixture
def planted(db, settings, tmp_path):
    """The house with one of everything, and the secret in each place that could say it."""
    settings.SECRETS_KEYS_PATH, settings.SECRETS_KEYS = tmp_path / "secrets_keys", ""
    settings.WORKSPACES = tmp_path
    house = world.build()
    staging = Environment.objects.get(slug="staging")
    variables.set_secret(by=SYSTEM, environment=staging, name=NAME, value=PLANTED)
    variables.set_variable(by=SYSTEM, environment=staging, name="TOKEN_TOO", value=f"secret:{NAME}")
    assert variables.resolved(staging)["TOKEN_TOO"] == PLANTED
    for job in (Run.objects.get(pk=house.values["run"]), TestRun.objects.get(pk=house.values["testrun"])):
        events.append(job, "log", {"level": "info", "step": "", "message": f"token {PLANTED}", "line": PLANTED})
        events.append(job, "log", {"level": "info", "step": "", "message": base64.b64encode(PLANTED.encode()).decode()})
    _a_stack_that_failed(staging)
    return house


class Claimed:
    """A lease as far as a failing stage needs it, without threads: they could not write beside the test's transaction."""

    def __init__(self, job):
        self.job, self.events = job, self

    def guarded(self):
        return contextlib.nullcontext()

    def add(self, kind, data):
        events.append(self.job, kind, data)

    def progress(self, fraction):
        pass

    def finish(self, state, message):
        move(kind_of(self.job), self.job.pk, State.RUNNING, state, fields={"message": message}, by=SYSTEM)


def _a_stack_that_failed(staging):
    """By the way that a stage takes when a container repeats what it was given."""
    job = StackJob.objects.create(environment=staging, action="up", queue="docker", queued_at=clock.now())
    assert leases.claim(StackJob, job.pk, worker="test")
    StageResult.objects.create(job=job, name="deploy", title="Deploy", position=0)
    attempt, said = Attempt(Claimed(job), job, str), f"psql: bad password {PLANTED}"
    attempt.end_badly(attempt.rows[0], StageFailed(said, hint=said, tail=[said, said]))
    row = StageResult.objects.get(job=job)
    assert (row.message, row.status) == ("psql: bad password •••", "failed")


def _get(client: Client, address: str) -> bytes:
    answer = client.get(address)
    if not getattr(answer, "streaming", False):
        return answer.content
    if not answer.is_async:
        return b"".join(answer.streaming_content)

    async def read() -> bytes:
        return b"".join([chunk async for chunk in answer.streaming_content])

    return async_to_sync(read)()


def test_no_page_shows_it(planted):
    client, read = planted.clients[ADMIN_ROLE], 0
    for route in (*ROUTES, *IN_STAGING):
        if route.get is not None and route.name not in ("jobs:events",):
            args = {name: value.format(**planted.values) for name, value in route.args.items()}
            content = _get(client, reverse(route.name, kwargs=args) + route.query)
            assert traces(content) == [], route.name
            read += len(content)
    assert read > 100_000, "pages were really read"


def test_the_page_of_secrets_shows_its_name_and_would_show_a_variable(planted):
    client = planted.clients[ADMIN_ROLE]
    assert NAME.encode() in _get(client, "/environments/staging/variables/")
    staging = Environment.objects.get(slug="staging")
    variables.set_variable(by=SYSTEM, environment=staging, name="LEAK", value=CORE)
    assert traces(_get(client, "/environments/staging/variables/")), "a value in a variable is found: the search works"


def test_no_page_of_the_admin_shows_it(planted, bridge_data):
    Bridge(bridge_data, "dev").init()
    client = planted.clients[ADMIN_ROLE]
    for name, (label, verb) in admin_routes().items():
        if verb not in ("changelist", "change", "history"):
            continue
        model = next(model for model in admin.site._registry if model._meta.label_lower == label)
        rows = [()] if verb == "changelist" else [(row.pk,) for row in model._default_manager.all()[:30]]
        for args in rows:
            content = _get(client, reverse(name, args=args))
            assert traces(content) == [], (name, args)
            if label == "environments.secret":
                assert b"ciphertext" not in content


@pytest.mark.parametrize(
    "words",
    [
        ("environment", "secret", "list", "staging"),
        ("environment", "secret", "list", "staging", "--json"),
        ("environment", "variable", "list", "staging"),
        ("environment", "variable", "list", "staging", "--json"),
        ("environment", "list", "--json"),
        ("environment", "secret", "rotate", "--json"),
        ("environment", "secret", "set", "staging", NAME, PLANTED),
        ("environment", "secret", "delete", "staging", NAME),
        ("audit", "list"),
        ("audit", "list", "--json"),
        ("audit", "export"),
        ("accounts", "list", "--json"),
    ],
)
def test_no_command_says_it(planted, capsys, words):
    with contextlib.suppress(SystemExit):
        call_command(*words)
    said = capsys.readouterr()
    assert said.out + said.err
    assert traces((said.out + said.err).encode()) == []


def test_no_event_and_no_message_holds_it(planted):
    run = Run.objects.get(pk=planted.values["run"])
    Run.objects.filter(pk=run.pk).update(state="queued", finished_at=None, queued_at=clock.now())
    assert leases.claim(Run, run.pk, worker="test")
    move(kind_of(run), run.pk, State.RUNNING, State.FAILED, fields={"message": f"refused {PLANTED}"}, by=SYSTEM)
    assert Run.objects.get(pk=run.pk).message == "refused •••"


def test_no_row_of_any_table_holds_it(planted):
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names():
            cursor.execute(f'SELECT * FROM "{table}"')
            for row in cursor.fetchall():
                blob = b"\0".join(
                    bytes(each) if isinstance(each, bytes | memoryview) else str(each).encode() for each in row
                )
                assert traces(blob) == [], table


def test_the_audit_export_is_searched_line_by_line(planted, capsys):
    call_command("audit", "export")
    out = capsys.readouterr().out
    assert f"secret:staging/{NAME}" in out
    assert traces(out.encode()) == []


def breaks(request):
    local_copy = PLANTED
    raise RuntimeError(f"cannot connect with {local_copy}")


breaks.policy_action = "public: a test"
urlpatterns = [*house_urls, path("breaks/", breaks)]


@pytest.mark.parametrize("debug", [False, True])
def test_no_page_of_an_error_shows_it(planted, debug):
    user = User.objects.create_user("root")
    RoleGrant.objects.create(user=user, role="admin")
    client = Client(raise_request_exception=False)
    client.force_login(user)
    with override_settings(ROOT_URLCONF=__name__, DEBUG=debug):
        answer = client.get("/breaks/")
        refused = client.post("/environments/staging/secrets/set/", {"secret-name": "x", "secret-value": PLANTED})
    assert answer.status_code == 500
    assert traces(answer.content) == []
    assert traces(refused.content) == []


def test_no_log_of_a_process_has_it(tmp_path):
    """Processes of their own, with the house's logging: stderr, the file of JSON lines, the data folder, the database file."""
    folders = {"FLOWCONTROL_DATA": str(tmp_path / "data"), "FLOWCONTROL_LOGS": str(tmp_path / "logs")}

    def manage(*words: str, stdin: str = "", process: str = "") -> bytes:
        done = subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=django_settings.BASE_DIR,
            env={**os.environ, **folders, "FLOWCONTROL_PROCESS": process, "FLOWCONTROL_ENV": "dev"},
            input=stdin.encode(),
            capture_output=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout + done.stderr

    said = manage("migrate", "--verbosity", "0")
    said += manage("environment", "secret", "set", "dev", NAME, stdin=PLANTED)
    assert traces(PLANTED.encode()), "what went in can be found"
    said += manage("shell", "-c", TALKS, stdin=PLANTED, process="talker")
    assert b"RuntimeError" in said
    log = (tmp_path / "logs/talker.jsonl").read_text()
    lines = [json.loads(line) for line in log.splitlines()]
    assert [line["level"] for line in lines if line["logger"] == "talker"] == ["warning", "info", "error"]
    assert "Traceback" in lines[-1]["traceback"]
    assert traces(said) == []
    for file in _files(tmp_path):
        assert traces(file.read_bytes()) == [], file
    (tmp_path / "data/control").write_text(log + base64.b64encode(PLANTED.encode()).decode())
    assert [file.name for file in _files(tmp_path) if traces(file.read_bytes())] == ["control"], (
        "files are really searched"
    )


# The secret comes in by stdin: this process did not set it, and learns of it from the database alone.
TALKS = """
import base64, logging, sys
secret, log = sys.stdin.read(), logging.getLogger("talker")
log.warning("first words: %s", secret)
log.info("as base64 %s", base64.b64encode(secret.encode()).decode(), extra={"header": f"Bearer {secret}"})
try:
    raise RuntimeError(f"refused {secret}")
except RuntimeError:
    log.exception("it failed")
"""


def _files(folder: Path) -> list[Path]:
    return sorted(each for each in folder.rglob("*") if each.is_file())


def test_without_the_filter_the_log_would_have_it(caplog):
    with caplog.at_level(logging.WARNING):
        logging.getLogger("talker").warning("bad password %s", PLANTED)
    assert traces(caplog.text.encode())
