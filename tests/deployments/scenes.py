"""Releases and deployments as they stand after some weeks, as rows: for pages in a browser, and their pictures."""

import json
from datetime import timedelta
from typing import Any

from apps.audit.actors import SYSTEM
from apps.common import clock
from apps.common.files import sha256
from apps.deployments import plans, releases
from apps.deployments.models import Approval, Deployment, DeploymentStage, Release
from apps.deployments.stages import forward
from apps.environments.models import Environment, Service
from apps.flows.actions import save_version
from apps.flows.models import Flow, FlowTestResult
from apps.testruns.cases.model import LAYERS
from apps.testruns.models import TestRun

FLOW = """flow shop_orders {{ description: "What was ordered, for the ledger" }}

source orders = csv("in/orders.csv") {{ columns: {{ id: int, amount: decimal(12, 2){more} }} }}

step wanted = orders
  | where amount > {least}

sink wanted -> csv("out/orders.csv")
"""
CHAIN = (("shop-dev", "Shop dev"), ("shop-staging", "Shop staging"), ("shop-production", "Shop production"))


def everything() -> dict[str, str]:
    """One line of three environments: in each another release. Returns addresses by what they show; done again it is the
    same."""
    dev, staging, production = environments()
    if not Release.objects.filter(origin=dev).exists():
        _weeks(dev, staging, production)
    return addresses(dev, staging, production)


def addresses(dev: Environment, staging: Environment, production: Environment) -> dict[str, str]:
    made = list(Release.objects.filter(origin=dev).order_by("-pk"))
    reverted = production.deployments.filter(outcome="reverted").latest("pk")
    waiting = production.deployments.filter(state="queued").latest("pk")
    return {
        "DEPLOYMENT": f"/deployments/{reverted.pk}/",
        "WAITING": f"/deployments/{waiting.pk}/",
        "APPROVE": f"/deployments/{waiting.pk}/approve/",
        "PLAN": f"/deployments/plan/{staging.slug}/{made[0].name}/",
        "SHUT": f"/deployments/plan/{production.slug}/{made[0].name}/",
        "ROLLBACK": f"/deployments/rollback/{staging.slug}/",
        "RELEASE": f"/releases/{made[0].name}/",
        "DIFFERENCE": f"/releases/{made[0].name}/diff/?against={made[-1].name}",
    }


def environments() -> list[Environment]:
    found: list[Environment] = []
    for position, (slug, name) in enumerate(CHAIN):
        values = {
            "name": name,
            "position": 10 + position,
            "compose_file": "/srv/shop/compose.yaml",
            "after": found[-1] if found else None,
            "needs_approval": slug.endswith("production"),
            "well_since": clock.now() - timedelta(hours=5),
            "engine_seen_at": clock.now(),
        }
        found.append(Environment.objects.get_or_create(slug=slug, defaults=values)[0])
    return found


def services(*places: Environment) -> None:
    """Their containers, as last seen well."""
    now = clock.now()
    for place in places:
        for name in ("db", "web", "worker"):
            names = {"container": f"{place.slug}-{name}-1", "container_id": f"{place.slug}-{name}", "image": "shop"}
            Service.objects.get_or_create(
                environment=place, name=name, state="running", health="healthy", seen_at=now, started_at=now, **names
            )


def release(
    origin: Environment, word: str, note: str, version: Any, *, web: str, configuration: tuple[str, ...] = ()
) -> Release:
    """A release of a database, a worker, and `web`, whose image has this word in it."""
    ids = {"db": sha256("postgres"), "web": sha256(f"web {web}"), "worker": sha256(f"web {web}")}
    images = {"db": "postgres:17", "web": "shop/web:latest", "worker": "shop/web:latest"}
    description: dict[str, Any] = {
        "services": {name: {"image": f"sha256:{each}", "environment": {}} for name, each in ids.items()},
        "volumes": {"data": {}},
    }
    description["services"]["db"]["volumes"] = [{"type": "volume", "source": "data", "target": "/data"}]
    description["services"]["web"] |= {
        "labels": {"flowcontrol.route": "8000:8000"},
        "environment": {"WORD": word, **{name: f"${{{name}:-}}" for name in configuration}},
    }
    pinned = [{"name": name, "image": images[name], "id": f"sha256:{each}", "digest": ""} for name, each in ids.items()]
    flows = [{"name": "shop_orders", "version": version.number, "sha256": version.sha256}]
    manifest = releases.manifest_of(description, pinned, flows, configuration)
    return releases.keep(by=SYSTEM, origin=origin, manifest=manifest, description=description, note=note)[0]


def _weeks(dev: Environment, staging: Environment, production: Environment) -> None:
    first, second = _versions()
    made = [
        release(dev, "1", "the first", first, web="a", configuration=("DB_PASSWORD",)),
        release(dev, "2", "faster search", first, web="b", configuration=("DB_PASSWORD",)),
        release(dev, "3", "gift cards", first, web="c", configuration=("DB_PASSWORD", "CARD_LIMIT")),
        release(dev, "4", "new checkout", second, web="d", configuration=("DB_PASSWORD", "CARD_LIMIT", "CHECKOUT_URL")),
    ]
    hours = iter(range(90, 0, -6))
    for each, places in zip(
        made, ((dev, staging, production), (dev, staging, production), (dev, staging), (dev,)), strict=True
    ):
        for place in places:
            ended(place, each, next(hours))
    _green(dev)
    _green(staging)
    bad = ended(production, made[2], 3, state="failed")
    _revert(bad)
    waiting = _row(production, made[2], clock.now(), state="queued", queued_at=None, requested_by="ann")
    _stages(waiting, {})


def _versions() -> tuple[Any, Any]:
    found = Flow.objects.filter(name="shop_orders").first()
    if found is None:
        first = save_version(by=SYSTEM, text=FLOW.format(more=", region: text", least=1), base_sha256=None)
        second = save_version(by=SYSTEM, text=FLOW.format(more="", least=2), base_sha256=first.sha256)
        for version in (first, second):
            now = clock.now()
            FlowTestResult.objects.create(version=version, state="succeeded", passed=4, failed=0, finished_at=now)
    versions = Flow.objects.get(name="shop_orders").versions.order_by("number")
    return versions[0], versions[1]


def _row(place: Environment, what: Release, at: Any, **fields: Any) -> Deployment:
    previous = place.deployments.filter(state="succeeded").order_by("-pk").first()
    plan = plans.make(what, place)
    values = {
        "requested_by": "ann",
        "queue": "docker",
        "queued_at": at,
        "previous": previous.release if previous else None,
        "plan": plan,
        "plan_digest": plan["digest"],
        "created_at": at,
        **fields,
    }
    return Deployment.objects.create(environment=place, release=what, **values)


def ended(place: Environment, what: Release, hours: int, state: str = "succeeded") -> Deployment:
    """A deployment that ended well so many hours ago."""
    at = clock.now() - timedelta(hours=hours)
    job = _row(place, what, at, state=state, started_at=at, finished_at=at + timedelta(seconds=36), worker="worker@box")
    job.attempt, job.switched_at, job.progress = 1, at + timedelta(seconds=4), 1.0
    job.message = f"{what} serves in {place.name}."
    job.watched = {"seconds": 30.0, "requests": 3210, "errors": 0}
    job.save()
    _stages(job, dict.fromkeys([each.name for each in forward.STAGES], "succeeded"))
    if place.needs_approval:
        Approval.objects.create(deployment=job, by="bob", note="seen in staging", at=at)
    return job


def _stages(job: Deployment, statuses: dict[str, str]) -> None:
    at = job.started_at or clock.now()
    for position, each in enumerate(forward.STAGES):
        status = statuses.get(each.name, "queued")
        begun = (
            {} if status in ("queued", "skipped") else {"started_at": at, "finished_at": at + timedelta(seconds=2.4)}
        )
        DeploymentStage.objects.create(
            job=job, name=each.name, title=each.title, position=position, status=status, progress=1.0, **begun
        )


def _revert(job: Deployment) -> None:
    """It was bad: taken back in its watch window."""
    job.message = (
        "Watch it serve: The new release answers with errors: 412 answers, 61 of them errors, in 9 s. r2 serves again."
    )
    job.outcome, job.reverting = "reverted", job.message
    job.watched = {"seconds": 9.0, "requests": 412, "errors": 61}
    job.save()
    watch = job.stages.get(name="watch")
    job.stages.filter(position__gt=watch.position).update(status="queued", started_at=None, finished_at=None)
    watch.status, watch.message = (
        "failed",
        "The new release answers with errors: 412 answers, 61 of them errors, in 9 s.",
    )
    watch.hint = "Mend it, make another release, and deploy that."
    watch.tail = "GET /checkout 500\nTraceback (most recent call last):\n  File \"/app/checkout.py\", line 41, in total\nKeyError: 'CARD_LIMIT'"
    watch.save()


def _green(place: Environment) -> None:
    at = clock.now() - timedelta(hours=1)
    TestRun.objects.create(
        environment=place,
        layers=list(LAYERS),
        state="succeeded",
        started_at=at,
        finished_at=at,
        message="All passed.",
    )


def printed() -> None:
    print(json.dumps(everything()))
