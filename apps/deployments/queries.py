"""What is asked about releases and deployments. Each costs a fixed number of queries, none grows with history."""

from __future__ import annotations

from collections.abc import Collection

from django.db.models import Exists, OuterRef, Q, QuerySet

from apps.deployments.models import Deployment, Release
from apps.environments.models import Environment
from apps.jobs.states import State


def newest_good(environment: Environment) -> Deployment | None:
    """The deployment by which what serves came to serve; None before the first."""
    rows = Deployment.objects.filter(environment=environment, state=State.SUCCEEDED).order_by("-id")
    return rows.select_related("release").first()


def in_force(environment: Environment) -> Release | None:
    """The release that serves in the environment; None before the first."""
    found = newest_good(environment)
    return found.release if found else None


def live(environment: Environment) -> Deployment | None:
    """The one that waits, is queued or runs; there is one at most."""
    rows = Deployment.objects.filter(environment=environment, state__in=[State.QUEUED, State.RUNNING])
    return rows.select_related("release", "environment").first()


def pin(environment: Environment) -> Deployment | None:
    """The rollback that pins the environment; None where it is free."""
    found = newest_good(environment)
    is_pin = found is not None and found.kind == Deployment.Kind.ROLLBACK and found.unpinned_at is None
    return found if is_pin else None


SERVED = 50  # releases that can be rolled back to: the newest


def served(environment: Environment) -> list[Release]:
    """The releases that have served there, the newest first."""
    rows = Deployment.objects.filter(environment=environment, state=State.SUCCEEDED).order_by("-id")
    found: dict[int, Release] = {}
    for row in rows.select_related("release")[:SERVED]:
        found.setdefault(row.release_id, row.release)
    return list(found.values())


def under_way(environment: Environment) -> str:
    """What a deployment is doing with the environment now, in words; "" for nothing."""
    job = live(environment)
    return f"deployment {job.pk} of {job.release} is {job.status}, asked for by {job.requested_by}" if job else ""


# --- what somebody may see -----------------------------------------------------------------------------


def visible(slugs: Collection[str] | None) -> QuerySet[Release]:
    """Releases that were made of one of the environments or went into one; all where `slugs` is None."""
    if slugs is None:
        return Release.objects.all()
    went = Deployment.objects.filter(release=OuterRef("pk"), environment__slug__in=slugs)
    return Release.objects.filter(Q(origin__slug__in=slugs) | Exists(went))


MOST_FOUND = 20


def found(query: str, slugs: Collection[str] | None) -> list[Release]:
    """Releases by name, by the beginning of the digest, by a word of the note."""
    wanted = Q(name__iexact=query) | Q(note__icontains=query)
    if len(query) >= 6:
        wanted |= Q(digest__startswith=query.lower())
    return list(
        visible(slugs).filter(wanted).select_related("origin").defer("description").order_by("-pk")[:MOST_FOUND]
    )


def snapshots(environment: Environment) -> set[str]:
    """The snapshots that deployments of the environment name: they are kept as long as those are."""
    rows = Deployment.objects.filter(environment=environment).exclude(snapshot="")
    return set(rows.values_list("snapshot", flat=True))
