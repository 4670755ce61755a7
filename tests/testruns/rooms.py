"""What the tests of the Django half share: an environment's own cases in a data folder of the test's own."""

from pathlib import Path

from apps.audit.actors import SYSTEM
from apps.environments.models import Environment
from apps.testruns import executor
from apps.testruns.actions import start_testrun
from apps.testruns.models import TestRun

PASSES = "#!/bin/sh\nexit 0\n"
FAILS = "#!/bin/sh\necho it is broken; exit 3\n"
POINTS = "#!/bin/sh\nprintf '1..3\\nok 1 - one\\nnot ok 2 - two\\nok 3 - three # SKIP not here\\n'\n"


def dev() -> Environment:
    return Environment.objects.get(slug="dev")


def add_case(data: Path, name: str, text: str = PASSES) -> Path:
    """`name` is like L1/a.sh."""
    path = data / "checks" / "dev" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def start(*layers: str, **options: bool) -> TestRun:
    return start_testrun(by=SYSTEM, environment=dev(), layers=layers or ("L1",), **options)


def done(*layers: str, **options: bool) -> TestRun:
    """A test run that was started and done here."""
    run = executor.execute(start(*layers, **options).pk)
    assert run is not None
    return run


def statuses(run: TestRun) -> dict[str, str]:
    return {row.layer: row.status for row in run.layer_results.all()}


def cases(run: TestRun) -> dict[str, str]:
    return {row.title: row.status for row in run.case_results.all()}
