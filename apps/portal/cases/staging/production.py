"""L5 production: an example flow from its file to its output, in the stack's worker and on its database."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
from django.conf import settings
from django.db import connection

from apps.common.files import write_atomic
from apps.environments.models import Environment
from apps.flows.models import Flow
from apps.jobs import workers
from apps.jobs.models import Worker
from apps.jobs.states import State
from apps.portal.cases.staging.integration import host_is_one_of
from apps.portal.cases.staging.stack import STAGING, stack
from apps.portal.cases.visitor import BY
from apps.runs.actions import start_run
from apps.runs.models import Output, Run
from apps.runs.waiting import wait
from apps.testruns.cases.checks import Skip, check
from apps.testruns.cases.model import Place

EXAMPLE = "daily_revenue"


@check(
    "L5",
    title="an example flow runs in the stack's worker, and its output can be read",
    environments=STAGING,
    timeout=180,
)
def example_runs(place: Place) -> str:
    with stack(place) as there:
        try:
            assert connection.vendor == "postgresql" or there.of("postgres") == (), (
                "the run would be kept in another database: run the cases in the stack's controller"
            )
            environment = Environment.objects.get(slug=place.environment)
            if not workers.alive(environment.queue):
                raise Skip(f"no worker takes work from {environment.queue}")
            with example_data(environment.workspace):
                run = _run(environment)
                read = [_read_back(environment, each) for each in run.outputs.all()]
            assert read, f"run {run.pk} left no output"
            host = Worker.objects.filter(name=run.worker).values_list("host", flat=True).first() or ""
            assert host_is_one_of(there.of("worker"), host), f"{run.worker} did it, which is not the stack's worker"
            return f"run {run.pk} by {run.worker}: {', '.join(read)}"
        finally:
            connection.close()


def _run(environment: Environment) -> Run:
    flow = Flow.objects.select_related("current__flow").filter(name=EXAMPLE, archived_at__isnull=True).first()
    if flow is None or flow.current is None:
        raise Skip(f"the example {EXAMPLE} is not loaded here")
    run = wait(start_run(by=BY, version=flow.current, environment=environment, params={}))
    assert run.state == State.SUCCEEDED, f"run {run.pk} of {flow.name} {run.state}: {run.message}"
    return run


@contextmanager
def example_data(workspace: Path) -> Iterator[None]:
    """The example's files in the workspace for a while. What is there already is neither overwritten nor removed."""
    found = [folder for folder in settings.EXAMPLES.glob("*/data") if (folder.parent / f"{EXAMPLE}.flow").exists()]
    if not found:
        raise Skip("the examples are not shipped here")
    added: list[Path] = []
    try:
        for source in sorted(each for each in found[0].rglob("*") if each.is_file()):
            target = workspace / source.relative_to(found[0])
            if not target.exists():
                added.append(target)
                write_atomic(target, source.read_bytes())
        yield
    finally:
        for path in added:
            path.unlink(missing_ok=True)


def _read_back(environment: Environment, output: Output) -> str:
    """It has as many rows as the run has told."""
    path = environment.workspace / output.path
    assert path.exists(), f"{output.path} is not there"
    reader = {".csv": "read_csv", ".parquet": "read_parquet"}.get(path.suffix)
    if reader is None:
        return f"{output.path}: {path.stat().st_size} bytes"
    with duckdb.connect() as database:
        rows = database.execute(f"SELECT count(*) FROM {reader}(?)", [str(path)]).fetchall()[0][0]  # noqa: S608  ours
    assert rows == output.rows, f"{output.path} has {rows} rows, the run told of {output.rows}"
    assert rows, f"{output.path} has no row"
    return f"{output.path}: {rows} rows"
