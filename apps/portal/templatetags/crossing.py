"""What higher rooms know, for pages of rooms below them: a flow's page shows its runs without importing that room."""

from collections.abc import Sequence
from typing import Any

from django import template
from django.urls import reverse

from apps.accounts import policy
from apps.deployments.models import Deployment
from apps.deployments.queries import newest_good
from apps.environments.models import Environment
from apps.flows.models import Flow
from apps.runs import queries
from apps.runs.models import Run
from apps.testruns.models import TestRun

register = template.Library()


@register.simple_tag
def last_runs(flows: Sequence[Flow]) -> dict[int, Run]:
    """The newest run of each flow, by the flow's key: one query for all of them."""
    return queries.newest_of(flows)


@register.simple_tag(takes_context=True)
def runs_of(context: dict[str, Any], flow: Flow, most: int = 10) -> list[Run]:
    """The newest runs of a flow that the reader may see."""
    slugs = policy.scope(context["request"].user, "runs.view")
    return list(queries.with_names(queries.within(slugs).filter(flow=flow)).order_by("-pk")[:most])


@register.simple_tag(takes_context=True)
def may_run(context: dict[str, Any]) -> bool:
    """Whether the reader may start a run in at least one environment."""
    return policy.allowed(context["request"].user, "runs.start")


@register.simple_tag(takes_context=True)
def runs_in(context: dict[str, Any], environment: Environment, most: int = 8) -> list[Run]:
    """The newest runs in an environment, for readers who may see them."""
    if not policy.allowed(context["request"].user, "runs.view", environment.slug):
        return []
    return list(queries.with_names(queries.within([environment.slug])).order_by("-pk")[:most])


@register.simple_tag(takes_context=True)
def last_testruns(context: dict[str, Any], environment: Environment, most: int = 6) -> list[TestRun]:
    """The newest test runs of an environment, for readers who may see them."""
    if not policy.allowed(context["request"].user, "testruns.view", environment.slug):
        return []
    return list(TestRun.objects.filter(environment=environment).order_by("-pk")[:most])


@register.simple_tag(takes_context=True)
def serving_in(context: dict[str, Any], environment: Environment) -> Deployment | None:
    """The deployment by which what serves in an environment came, for readers who may see it."""
    if not policy.allowed(context["request"].user, "deployments.view", environment.slug):
        return None
    return newest_good(environment)


# What a stage may refer to ("testrun:12"): the page of it, and what the link says.
_REFERENCES = {
    "testrun": ("testruns:detail", "Test run"),
    "run": ("runs:detail", "Run"),
    "deployment": ("deployments:detail", "Deployment"),
}


@register.simple_tag
def reference(name: str) -> dict[str, str] | None:
    """The page that "kind:number" (or "environment:slug") leads to, as {"href", "text"}; None for a kind that has none."""
    kind, _, number = name.partition(":")
    if kind == "environment" and number:
        return {"href": reverse("environments:detail", args=[number]), "text": f"Environment {number}"}
    if kind not in _REFERENCES or not (number.isascii() and number.isdigit()):
        return None
    address, text = _REFERENCES[kind]
    return {"href": reverse(address, args=[int(number)]), "text": f"{text} #{number}"}
