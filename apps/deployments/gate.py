"""The gate: the record that must be green before a release may go into an environment.

Every piece of evidence says what it found, and where to see it. What is not known is not green. Rooms above add theirs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Max

from apps.common import clock
from apps.deployments import queries
from apps.deployments.models import Deployment, Release
from apps.environments.models import Environment
from apps.environments.observer import LONGEST_GAP_SECONDS
from apps.flows.models import FlowTestResult, FlowVersion
from apps.jobs.states import State
from apps.testruns.cases.model import LAYERS
from apps.testruns.models import TestRun

MOST_RUNS = 100  # of the layers since a deployment, the newest; among more a whole one is to be found


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
    """All layers were run while this release served, and are green; and what was run of them last is green, too."""
    title = f"Layered tests in {environment.name}"
    runs = TestRun.objects.filter(environment=environment, started_at__gte=_undisturbed_since(newest))
    done = list(runs.filter(state__in=[State.SUCCEEDED, State.FAILED]).order_by("-pk")[:MOST_RUNS])
    whole = next((run for run in done if set(LAYERS) <= set(run.layers)), None)
    hint = f"Run them: `manage.py testrun start {environment.slug}`."
    bad = next((run for run in (*done[:1], whole) if run and run.state == State.FAILED), None)
    if bad:
        words, refers = f"Test run {bad.pk} of {environment.slug} failed: {bad.message}", f"testrun:{bad.pk}"
        return Evidence("layers", title, False, words, "See which case, mend it, run the layers again.", refers)
    if whole is None:
        some = f"Only {', '.join(done[0].layers)} of the layers" if done else "No layered test"
        return Evidence("layers", title, False, f"{some} has been run in {environment.slug} since.", hint)
    words = f"Test run {whole.pk}: {', '.join(whole.layers)} passed."
    return Evidence("layers", title, True, words, "", f"testrun:{whole.pk}")


def _undisturbed_since(newest: Deployment) -> datetime | None:
    """Since when this release has served with no other tried meanwhile: one that was taken back has had traffic, too."""
    later = Deployment.objects.filter(environment=newest.environment_id, pk__gte=newest.pk, switched_at__isnull=False)
    last: datetime | None = later.aggregate(last=Max("finished_at"))["last"]
    return max(filter(None, (last, newest.finished_at)), default=None)


def health(environment: Environment, newest: Deployment) -> Evidence:
    """Every service was well at each look for as long as the watch window, and the last look was just now."""
    title = f"Health of {environment.name}"
    refers = f"environment:{environment.slug}"
    now, seen = clock.now(), environment.engine_seen_at
    hint = f"See `manage.py environment status {environment.slug}`; the controller looks by itself."
    if environment.engine_error:
        return Evidence("health", title, False, environment.engine_error, hint, refers)
    if seen is None or now - seen > timedelta(seconds=LONGEST_GAP_SECONDS):
        last = f"since {seen:%Y-%m-%d %H:%M} UTC" if seen else "yet"
        words = f"Whether {environment.slug} is well, nobody has looked {last}."
        return Evidence("health", title, False, words, "Start the controller: it looks by itself.", refers)
    if environment.well_since is None:
        return Evidence("health", title, False, f"Not every service of {environment.slug} is well.", hint, refers)
    rest = environment.well_since + timedelta(seconds=environment.watch_seconds) - now
    if rest > timedelta():
        words = f"{environment.slug} has been well for less than {environment.watch_seconds} s."
        return Evidence("health", title, False, words, f"Wait {math.ceil(rest.total_seconds())} s.", refers)
    since = f"{environment.well_since:%Y-%m-%d %H:%M} UTC"
    return Evidence("health", title, True, f"Every service is well since {since}.", "", refers)


def nothing_open(environment: Environment, newest: Deployment) -> Evidence:
    """Nothing is under way there, and nothing has failed since that nobody has seen to."""
    title = f"Nothing open in {environment.name}"
    later = (
        Deployment.objects.filter(environment=environment, pk__gt=newest.pk)
        .exclude(state=State.CANCELLED)
        .select_related("release")
        .order_by("-pk")
        .first()
    )
    if later is None:
        return Evidence("open", title, True, "Nothing is under way, and nothing has failed since.")
    words = f"Deployment {later.pk} of {later.release} there is {later.status}."
    hint = "Wait until it has ended." if not later.is_final else f"Deploy {newest.release} there once more, or another."
    return Evidence("open", title, False, words, hint, f"deployment:{later.pk}")
