"""The gate: the record that must be green before a release may go into an environment.

Every piece of evidence says what it found, and where to see it. What is not known is not green. Rooms above add theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from apps.common import clock
from apps.deployments import queries
from apps.deployments.models import Deployment, Release
from apps.environments.models import Environment
from apps.flows.models import FlowTestResult, FlowVersion
from apps.jobs.states import State
from apps.testruns.models import TestRun


@dataclass(frozen=True, slots=True)
class Evidence:
    """One thing that the gate asks. `refers_to` is where it is seen: "testrun:12"."""

    name: str
    title: str
    ok: bool
    words: str
    hint: str = ""
    refers_to: str = ""


Witness = Callable[[Release, Environment], Evidence | None]

_more: dict[str, Witness] = {}


def register(name: str, witness: Witness) -> None:
    """Ask `witness`, too; None where it has nothing to say. Registering the same name again replaces it."""
    _more[name] = witness


def evidence(release: Release, environment: Environment) -> list[Evidence]:
    """All that is asked before `release` may go into `environment`, in a fixed number of queries. Into the first
    environment of a line a release comes on the tests of its flows alone."""
    found = [flow_tests(release)]
    if environment.after is not None:
        found += below(release, environment.after)
    found += [each for witness in _more.values() if (each := witness(release, environment))]
    return found


def is_open(release: Release, environment: Environment) -> bool:
    return all(each.ok for each in evidence(release, environment))


def flow_tests(release: Release) -> Evidence:
    """The tests of every flow's version that the release names have been run, and passed."""
    title, named = "Tests of its flows", {each["sha256"]: each["name"] for each in release.manifest["flows"]}
    if not named:
        return Evidence("flows", title, True, "It has no flows.")
    versions = FlowVersion.objects.filter(sha256__in=named)
    results = FlowTestResult.objects.filter(version__in=versions, state=State.SUCCEEDED).order_by("pk")
    newest = {
        sha: (passed, failed) for sha, passed, failed in results.values_list("version__sha256", "passed", "failed")
    }
    untested = sorted(name for sha, name in named.items() if sha not in newest)
    failed = sorted(named[sha] for sha, (_, bad) in newest.items() if bad)
    if failed or untested:
        said = [f"{', '.join(failed)}: failed"] if failed else []
        said += [f"{', '.join(untested)}: not run yet"] if untested else []
        hint = (
            "Mend the flow and make another release." if failed else "They run when a version is saved; run them again."
        )
        return Evidence("flows", title, False, f"Tests of flows: {'; '.join(said)}.", hint)
    number = sum(passed for passed, _ in newest.values())
    return Evidence("flows", title, True, f"{number} tests of {len(named)} flows passed.")


def below(release: Release, environment: Environment) -> Iterator[Evidence]:
    """What the environment says from which a release comes."""
    newest = queries.newest_good(environment)
    if newest is None or newest.release_id != release.pk or newest.finished_at is None:
        serves = f"{newest.release} does" if newest else "none does"
        words = f"{release} does not serve in {environment.slug}; {serves}."
        hint = f"Deploy it there first: `manage.py deployment start {environment.slug} --release {release}`."
        yield Evidence("below", f"Serves in {environment.name}", False, words, hint)
        return
    title = f"Serves in {environment.name}"
    since = f"since {newest.finished_at:%Y-%m-%d %H:%M} UTC"
    yield Evidence(
        "below", title, True, f"{release} serves in {environment.slug} {since}.", "", f"deployment:{newest.pk}"
    )
    yield layers(environment, newest)
    yield health(environment, newest)
    yield nothing_open(environment, newest)


def layers(environment: Environment, newest: Deployment) -> Evidence:
    """A layered test run that was begun while this release served is green, and no later one is not."""
    title = f"Layered tests in {environment.name}"
    run = (
        TestRun.objects.filter(environment=environment, started_at__gte=newest.finished_at)
        .exclude(state__in=[State.QUEUED, State.RUNNING, State.CANCELLED])
        .order_by("-pk")
        .first()
    )
    hint = f"Run them: `manage.py testrun start {environment.slug}`."
    if run is None:
        return Evidence("layers", title, False, f"No layered test has been run in {environment.slug} since.", hint)
    refers = f"testrun:{run.pk}"
    if run.state != State.SUCCEEDED:
        words = f"Test run {run.pk} of {environment.slug} failed: {run.message}"
        return Evidence("layers", title, False, words, "See which case, mend it, run the layers again.", refers)
    return Evidence("layers", title, True, f"Test run {run.pk}: {', '.join(run.layers)} passed.", "", refers)


def health(environment: Environment, newest: Deployment) -> Evidence:
    """Every service was well at each look for as long as the watch window."""
    title = f"Health of {environment.name}"
    window = timedelta(seconds=environment.watch_seconds)
    refers = f"environment:{environment.slug}"
    if environment.well_since is None:
        words = f"Not every service of {environment.slug} is well, or nobody looks."
        hint = f"See `manage.py environment status {environment.slug}`; the controller looks by itself."
        return Evidence("health", title, False, words, hint, refers)
    rest = environment.well_since + window - clock.now()
    if rest > timedelta():
        words = f"{environment.slug} has been well for less than {environment.watch_seconds} s."
        return Evidence("health", title, False, words, f"Wait {rest.total_seconds():.0f} s.", refers)
    since = f"{environment.well_since:%Y-%m-%d %H:%M} UTC"
    return Evidence("health", title, True, f"Every service is well since {since}.", "", refers)


def nothing_open(environment: Environment, newest: Deployment) -> Evidence:
    """Nothing is under way there, and nothing has failed since that nobody has seen to."""
    title = f"Nothing open in {environment.name}"
    later = Deployment.objects.filter(environment=environment, pk__gt=newest.pk).order_by("-pk").first()
    if later is None or later.state == State.CANCELLED:
        return Evidence("open", title, True, "Nothing is under way, and nothing has failed since.")
    words = f"Deployment {later.pk} of {later.release} there is {later.status}."
    hint = "Wait until it has ended." if not later.is_final else f"Deploy {newest.release} there once more, or another."
    return Evidence("open", title, False, words, hint, f"deployment:{later.pk}")
