"""What higher rooms know, for pages of rooms below them: a flow's page shows its runs without importing that room."""

from collections.abc import Sequence
from typing import Any

from django import template

from apps.accounts import policy
from apps.flows.models import Flow
from apps.runs import queries
from apps.runs.models import Run

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
