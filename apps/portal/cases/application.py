"""L5 application: the example flows from end to end, and what programs read of us."""

import json
from typing import Any

from django.conf import settings
from django.db import connection

from apps.audit.actors import Actor
from apps.environments.models import Environment
from apps.flows.models import Flow
from apps.jobs import workers
from apps.jobs.states import State
from apps.portal.cases.commands import piped
from apps.runs.actions import start_run
from apps.runs.waiting import wait
from apps.testruns.cases.checks import Skip, check
from apps.testruns.cases.model import Place

BY = Actor("layered tests", "system")


@check("L5", title="each example flow runs through a worker and leaves its outputs", environments=("dev",), timeout=180)
def examples_run(place: Place) -> str:
    try:
        if not workers.alive(Environment.objects.get(slug=place.environment).queue):
            raise Skip("no worker is alive: start the portal with `make run`")
        names = sorted(path.stem for path in settings.EXAMPLES.glob("*/*.flow"))
        flows = Flow.objects.filter(name__in=names, archived_at__isnull=True, current__isnull=False)
        if not flows:
            raise Skip("the examples are not loaded here: `make run` loads them on its first start")
        for flow in flows.select_related("current__flow").order_by("name"):
            _run(flow, place)
        return f"{len(flows)} flows ran"
    finally:
        connection.close()


def _run(flow: Flow, place: Place) -> None:
    environment = Environment.objects.get(slug=place.environment)
    assert flow.current is not None
    run = wait(start_run(by=BY, version=flow.current, environment=environment, params={}))
    assert run.state == State.SUCCEEDED, f"run {run.pk} of {flow.name} {run.state}: {run.message}"
    outputs = list(run.outputs.all())
    assert outputs, f"run {run.pk} of {flow.name} left no output"
    for output in outputs:
        assert (environment.workspace / output.path).exists(), f"{output.path} of run {run.pk} is not there"


@check("L5", title="each command on files answers in the form that is promised", environments=("dev",), timeout=120)
def commands_answer_in_json() -> None:
    flows = sorted(str(path) for path in settings.EXAMPLES.glob("*/*.flow"))
    if not flows:
        raise Skip("the examples are not shipped here")
    for verb, fields in (
        ("check", {"path", "ok", "diagnostics"}),
        ("format", {"path", "ok", "diagnostics"}),
    ):
        extra = ["--check"] if verb == "format" else []
        document = _json("flow", verb, *flows, *extra)
        assert len(document["files"]) == len(flows), f"flow {verb} tells of {len(document['files'])} files"
        for each in document["files"]:
            assert fields <= each.keys(), f"flow {verb} leaves out {', '.join(sorted(fields - each.keys()))}"
    document = _json("flow", "test", *flows)
    assert {"passed", "failed", "cases"} <= document.keys(), "flow test leaves out its counts or cases"
    assert document["failed"] == 0, f"{document['failed']} tests of the examples fail"


def _json(*arguments: str) -> Any:
    done = piped(*arguments, "--json")
    try:
        document = json.loads(done.stdout)
    except ValueError:
        raise AssertionError(f"{' '.join(arguments[:2])} prints no JSON document: {done.stdout[:200]!r}") from None
    assert document["version"] == 1, "its version is not 1"
    return document
